// Whether the tables are those that the migrations make, and what migrations would do.
import { join } from 'node:path'
import { defineEntity, p } from '@mikro-orm/core'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { schemaFaults } from '../../src/adapters/read-models/check-schema.ts'
import { FOLDER, migrate, migrationStatus } from '../../src/adapters/read-models/migrate.ts'
import { entities } from '../../src/projections/entities.ts'
import { postgresKinds, query, type TestDatabases } from '../support/postgres.ts'
import { endPrograms, runNode } from '../support/programs.ts'
import { skipFor } from '../support/skip.ts'

const main = join(import.meta.dirname, '../../src/main.ts')

describe.each(await postgresKinds())('on $name', ({ reason, start }) => {
  let postgres: TestDatabases
  beforeAll(async () => {
    if (reason === undefined) postgres = await start()
  })
  afterAll(async () => {
    await endPrograms()
    await postgres?.stop()
  })
  beforeEach((context) => skipFor(reason, context))

  async function database() {
    const url = await postgres.createDatabase()
    await migrate(url)
    const names = (await migrationStatus(url)).applied.map(({ name }) => name)
    return {
      url,
      faults: (of: readonly unknown[] = entities) =>
        schemaFaults(url, { folder: FOLDER, names, entities: of as never }),
    }
  }

  test('what the migrations have made has no fault, and is not touched', async () => {
    const { url, faults } = await database()
    const tables = () =>
      query(url, `SELECT schemaname, tablename FROM pg_tables WHERE schemaname LIKE 'p%' ORDER BY 1, 2`)
    const before = await tables()
    expect(await faults()).toEqual([])
    expect(await tables()).toEqual(before)
    expect(await query(url, `SELECT FROM pg_namespace WHERE nspname LIKE 'millrace%'`)).toEqual([])
  })

  const harms = [
    ['DROP INDEX executions_by_status', 'missing: index CREATE INDEX executions_by_status ON executions'],
    ['ALTER TABLE stages ALTER ordinal TYPE integer', 'made by no migration: column stages.ordinal integer'],
    ['ALTER TABLE attempts DROP COLUMN rule', 'missing: column attempts.rule text'],
    ['ALTER TABLE executions ALTER namespace DROP NOT NULL', 'missing: column executions.namespace text not null'],
    [
      'ALTER TABLE pools DROP CONSTRAINT pools_pkey CASCADE',
      'missing: constraint pools_pkey of pools: PRIMARY KEY (namespace, name)',
    ],
    ['ALTER TABLE executions SET (fillfactor = 100)', 'missing: table executions with (fillfactor=60'],
    ['CREATE TABLE other (id integer)', 'made by no migration: column other.id integer'],
    [
      'ALTER TABLE events ALTER actor SET DEFAULT $$nobody$$',
      "made by no migration: column events.actor text not null, storage x, default 'nobody'",
    ],
  ] as const
  test('what was changed by hand is found', async () => {
    const { url, faults } = await database()
    for (const [harm] of harms) await query(url, harm)
    const found = await faults()
    for (const [harm, fault] of harms)
      expect(
        found.some((one) => one.startsWith(fault)),
        `${harm}: ${found.join('\n')}`,
      ).toBe(true)
  })

  test('an entity that expects what the tables do not have is found', async () => {
    const { faults } = await database()
    const wrong = defineEntity({
      name: 'Wrong',
      tableName: 'workers',
      properties: {
        id: p.uuid().primary(),
        host: p.integer(),
        reason: p.text(),
        queues: p.json().columnType('json'),
        colour: p.text(),
      },
    })
    expect(await faults([wrong])).toEqual([
      'entity Wrong: workers.host is text not null, not integer not null',
      'entity Wrong: workers.reason is text, not text not null',
      'entity Wrong: workers.colour is missing, not text not null',
    ])
  })

  test('millrace migrate prints what it would do, does it, and holds the tables against that', {
    timeout: 60_000,
  }, async () => {
    const url = await postgres.createDatabase()
    const run = async (...flags: string[]) => {
      const program = runNode(main, ['migrate', '--database', url, ...flags])
      const { code } = await program.ended
      return { code, lines: program.lines, errors: program.errors }
    }
    const dry = await run('--dry-run')
    expect(dry).toMatchObject({ code: 0, errors: [] })
    expect(dry.lines).toEqual(
      expect.arrayContaining(['-- 0001-read-models', 'create table executions (', '-- 0006-rebuilds']),
    )
    expect((await migrationStatus(url)).applied).toEqual([])
    // What it prints is what it would do.
    const other = await postgres.createDatabase()
    await query(other, dry.lines.join('\n'))
    expect((await run()).code).toBe(0)
    const shape = `SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'
      AND table_name NOT IN ('mikro_orm_migrations', 'migration_checksums') ORDER BY 1, 2`
    expect(await query(other, shape)).toEqual(await query(url, shape))
    expect((await run('--dry-run')).lines).toEqual(['-- nothing is pending'])
    expect((await run('--validate')).lines[0]).toBe(
      'the schema is as the migrations make it, and has what the entities say',
    )
    await query(url, 'DROP INDEX executions_by_status')
    const invalid = await run('--validate')
    expect(invalid.code).toBe(1)
    expect(invalid.errors[0]).toMatch(/^millrace: missing: index CREATE INDEX executions_by_status/)
    expect(await run('--validate', '--down')).toMatchObject({ code: 78 })
  })
})
