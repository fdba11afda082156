import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { copyFile, mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startEmbeddedPostgres } from '../../src/adapters/read-models/embedded-postgres.ts'
import { MigrationsDiffer, migrate, migrationStatus } from '../../src/adapters/read-models/migrate.ts'
import { createPool, isHealthy } from '../../src/adapters/read-models/pool.ts'
import { readPidFile } from '../../src/adapters/read-models/postmaster.ts'
import type { Logger } from '../../src/ports/logger.ts'
import { postgresKinds, query, silent, type TestDatabases } from '../support/postgres.ts'
import { until } from '../support/recorded-log.ts'
import { skipFor } from '../support/skip.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'millrace-read-models-'))
  cleanups.push(() => rm(path, { recursive: true, force: true }))
  return path
}

async function start(dataDir: string, logger: Logger = silent) {
  const server = await startEmbeddedPostgres(dataDir, logger)
  cleanups.push(() => server.stop())
  return server
}

const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('it keeps what it holds, to itself, over a stop and a start', async () => {
  const dataDir = await folder()
  const first = await start(dataDir)
  expect(new URL(first.url).hostname).toBe('127.0.0.1')
  await query(first.url, 'CREATE TABLE kept AS SELECT 1 AS one')
  const { pid } = (await readPidFile(join(dataDir, 'postgres')))!
  expect(getPriority(pid)).toBe(10)
  expect((await stat(join(dataDir, 'postgres.password'))).mode & 0o777).toBe(0o600)
  expect((await stat(join(dataDir, 'postgres'))).mode & 0o077).toBe(0)
  const wrong = new URL(first.url)
  wrong.password = 'guessed'
  await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/)
  const [settings] = await query(
    first.url,
    `SELECT current_setting('fsync') f, current_setting('listen_addresses') l, current_setting('server_encoding') e`,
  )
  expect(settings).toEqual({ f: 'on', l: '127.0.0.1', e: 'UTF8' })
  await first.stop()
  expect(alive(pid)).toBe(false)
  const second = await start(dataDir)
  expect(await query(second.url, 'SELECT * FROM kept')).toEqual([{ one: 1 }])
})

test('a second start on the same directory joins, and does not stop what it joined', async () => {
  const dataDir = await folder()
  const [first, second] = await Promise.all([start(dataDir), start(dataDir)])
  expect(second.url).toBe(first.url)
  const owner = (await readPidFile(join(dataDir, 'postgres')))!.pid
  await (await start(dataDir)).stop()
  expect(alive(owner)).toBe(true)
  expect(await query(first.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
})

test('what a killed parent left is stopped before the next start', async () => {
  const dataDir = await folder()
  const script = join(import.meta.dirname, '../support/start-postgres.ts')
  const child = spawn(process.execPath, [script, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  const left = (await readPidFile(join(dataDir, 'postgres')))!.pid
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(alive(left)).toBe(true)
  const warnings: string[] = []
  const server = await start(dataDir, { ...silent, warn: (_, message) => warnings.push(message) })
  expect(alive(left)).toBe(false)
  expect(warnings).toEqual(['stopped the PostgreSQL that an earlier process left'])
  expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
})

test('a pid file that names some other living process is no leftover', async () => {
  const dataDir = await folder()
  const server = await start(dataDir)
  const file = join(dataDir, 'postgres', 'postmaster.pid')
  const text = await readFile(file, 'utf8')
  await server.stop()
  const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  cleanups.push(async () => bystander.kill('SIGKILL'))
  await writeFile(file, text.replace(/^\d+/, String(bystander.pid)), { mode: 0o600 })
  await start(dataDir)
  expect(alive(bystander.pid!)).toBe(true)
})

test('it comes back on the same address when it dies', async () => {
  const dataDir = await folder()
  const server = await start(dataDir)
  const pool = createPool(server.url)
  cleanups.push(() => pool.end())
  expect(await isHealthy(pool)).toBe(true)
  const { pid } = (await readPidFile(join(dataDir, 'postgres')))!
  process.kill(pid, 'SIGKILL')
  await until('another postmaster', async () => {
    const file = await readPidFile(join(dataDir, 'postgres'))
    return file?.ready && file.pid !== pid
  })
  await until('health', () => isHealthy(pool))
  await server.stop()
  expect(await isHealthy(pool)).toBe(false)
})

test('it says what is wrong when it cannot start', async () => {
  const dataDir = await folder()
  await (await start(dataDir)).stop()
  await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '9\n')
  await expect(startEmbeddedPostgres(dataDir)).rejects.toThrow(/made by PostgreSQL 9, this is 18.*delete it/)
  await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '18\n')
  await rename(join(dataDir, 'postgres', 'global'), join(dataDir, 'postgres', 'gone'))
  await expect(startEmbeddedPostgres(dataDir)).rejects.toThrow(/PostgreSQL did not start: .*global/)
  await rename(join(dataDir, 'postgres', 'gone'), join(dataDir, 'postgres', 'global'))
  await rm(join(dataDir, 'postgres.password'))
  await expect(startEmbeddedPostgres(dataDir)).rejects.toThrow(/password of PostgreSQL.*is gone/)
})

test.runIf(process.getuid?.() === 0)(
  'as root it also works below a directory that is closed to everybody else',
  async () => {
    const closed = await folder()
    expect((await stat(closed)).mode & 0o777).toBe(0o700)
    await start(join(closed, 'inner', 'data'))
    expect((await stat(closed)).mode & 0o777).toBe(0o700)
  },
)

const program = join(import.meta.dirname, '../../migrations')
/** The migrations of the program, in order. */
const own = readdirSync(program)
  .map((file) => file.slice(0, -'.ts'.length))
  .sort()

/** A folder with the migrations of the program and some made up ones after it. */
async function migrations(...names: string[]): Promise<string> {
  const path = await folder()
  // So that a migration finds the package it imports.
  await symlink(join(import.meta.dirname, '../../node_modules'), join(path, 'node_modules'))
  for (const name of own) await copyFile(join(program, `${name}.ts`), join(path, `${name}.ts`))
  for (const name of names) await addMigration(path, name, `create table "${name}" (id integer)`)
  return path
}

const addMigration = (path: string, name: string, up: string): Promise<void> =>
  writeFile(
    join(path, `${name}.ts`),
    `import { Migration } from '@mikro-orm/migrations'
export class Made extends Migration {
  override up() { this.addSql(${JSON.stringify(up)}) }
  override down() { this.addSql('drop table "${name}"') }
}
`,
  )

/** Everything in the database that a migration could change; the first run makes MikroORM's own list, empty, ahead of its transaction. */
const schemaOf = (url: string) =>
  query(
    url,
    `SELECT table_name, column_name, data_type FROM information_schema.columns
     WHERE table_schema = 'public' AND table_name <> 'mikro_orm_migrations' ORDER BY 1, 2`,
  )

describe.each(await postgresKinds())('on $name', ({ reason, start }) => {
  let postgres: TestDatabases
  beforeAll(async () => {
    if (reason === undefined) postgres = await start()
  })
  afterAll(() => postgres?.stop())
  beforeEach((context) => skipFor(reason, context))

  test('migrations go up and down, one step back at a time', async () => {
    const url = await postgres.createDatabase()
    const path = await migrations('9002-two')
    expect(await migrationStatus(url, { folder: path })).toEqual({
      applied: [],
      pending: [...own, '9002-two'],
    })
    expect(await migrate(url, { folder: path })).toEqual([...own, '9002-two'])
    expect(await migrate(url, { folder: path })).toEqual([])
    const after = await schemaOf(url)
    expect(await migrate(url, { folder: path, direction: 'down' })).toEqual(['9002-two'])
    for (const name of own.toReversed()) expect(await migrate(url, { folder: path, direction: 'down' })).toEqual([name])
    expect((await migrationStatus(url, { folder: path })).pending).toHaveLength(own.length + 1)
    expect(await schemaOf(url)).not.toEqual(after)
    await migrate(url, { folder: path })
    expect(await schemaOf(url)).toEqual(after)
  })

  test('rows that were wrong before references came do not keep the program from starting; new ones are refused', async () => {
    const url = await postgres.createDatabase()
    const path = await migrations()
    const later = ['0009-references', '0010-retention', '0011-failures', '0012-stage-logs']
    for (const name of later) await rename(join(path, `${name}.ts`), join(path, `${name}.kept`))
    await migrate(url, { folder: path })
    const orphan = (stage: string) =>
      query(
        url,
        `INSERT INTO stages (execution_id, stage, ordinal, status, attempt) VALUES (gen_random_uuid(), '${stage}', 0, 'odd', 0)`,
      )
    await orphan('before')
    for (const name of later) await rename(join(path, `${name}.kept`), join(path, `${name}.ts`))
    expect(await migrate(url, { folder: path })).toEqual(later)
    await expect(orphan('after')).rejects.toThrow(/violates (foreign key|check) constraint/)
  })

  test('a database in which an older text of a migration ran is brought up to date', async () => {
    const url = await postgres.createDatabase()
    const path = await migrations()
    const later = ['0010-retention', '0011-failures', '0012-stage-logs']
    for (const name of later) await rename(join(path, `${name}.ts`), join(path, `${name}.kept`))
    await migrate(url, { folder: path })
    const older = 'ba58bc532d9ae65e75dbd967b457c388fc0123f1fb22807fa1445e6dffb14918'
    await query(url, `UPDATE migration_checksums SET checksum = '${older}' WHERE name = '0009-references'`)
    for (const name of later) await rename(join(path, `${name}.kept`), join(path, `${name}.ts`))
    expect(await migrate(url, { folder: path })).toEqual(later)
  })

  test('a migration drops what stands beside the live tables, which may lack what those have now', async () => {
    const url = await postgres.createDatabase()
    const path = await migrations()
    await migrate(url, { folder: path })
    await query(
      url,
      'CREATE TABLE public_next.executions (id integer); CREATE TABLE public_previous.executions (id integer)',
    )
    await query(url, `INSERT INTO projection_previous VALUES ('executions', 1, 5, now())`)
    expect(await migrate(url, { folder: path })).toEqual([])
    expect(await query(url, 'SELECT FROM projection_previous')).toHaveLength(1)
    await addMigration(path, '9002-two', 'alter table executions add colour text')
    await migrate(url, { folder: path })
    expect(await query(url, `SELECT FROM pg_tables WHERE schemaname IN ('public_next', 'public_previous')`)).toEqual([])
    expect(await query(url, 'SELECT FROM projection_previous')).toEqual([])
  })

  test('an edited, missing, reordered or newer migration is refused, and nothing changes', async () => {
    const url = await postgres.createDatabase()
    const path = await migrations('9002-two', '9004-four')
    await migrate(url, { folder: path })
    const before = await schemaOf(url)
    const refused = async (reason: RegExp): Promise<void> => {
      await expect(migrate(url, { folder: path })).rejects.toThrow(MigrationsDiffer)
      await expect(migrate(url, { folder: path, direction: 'down' })).rejects.toThrow(reason)
      await expect(migrationStatus(url, { folder: path })).rejects.toThrow(reason)
      expect(await schemaOf(url)).toEqual(before)
    }
    await addMigration(path, '9005-five', 'create table five (id integer)')
    const two = join(path, '9002-two.ts')
    const text = await readFile(two, 'utf8')
    await writeFile(two, `${text}// later\n`)
    await refused(/9002-two was edited after it ran/)
    await writeFile(two, text)

    await addMigration(path, '9003-three', 'create table three (id integer)')
    await refused(/9003-three comes before 9004-four, which ran without it/)
    await rm(join(path, '9003-three.ts'))

    await rm(two)
    await refused(/9002-two ran in the database and is missing here|comes before/)
    await writeFile(two, text)

    await rm(join(path, '9004-four.ts'))
    await refused(/9004-four ran in the database and is missing here/)
    await rm(join(path, '9005-five.ts'))
    await refused(/9004-four in the database is newer than this program/)
  })

  test('of two at once one runs and the other waits', async () => {
    const url = await postgres.createDatabase()
    const ran = await Promise.all([1, 2, 3].map(() => migrate(url)))
    expect(ran.filter((names) => names.length > 0)).toEqual([own])
    expect((await migrationStatus(url)).pending).toEqual([])
  })

  test('a migration that fails or is killed halfway leaves nothing, and runs again', async () => {
    const url = await postgres.createDatabase()
    const path = await migrations()
    await addMigration(path, '9002-failing', `create table two (id integer); select 1 / 0`)
    await expect(migrate(url, { folder: path })).rejects.toThrow(/division by zero/)
    expect((await migrationStatus(url, { folder: path })).applied).toEqual([])
    expect(await schemaOf(url)).toEqual([])

    await rename(join(path, '9002-failing.ts'), join(path, 'failed'))
    await addMigration(path, '9002-two', `create table two (id integer); select pg_sleep(600)`)
    const killed = migrate(url, { folder: path }).catch((error: Error) => error)
    await until('the migration under way', async () => {
      const rows = await query(
        url,
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event = 'PgSleep' AND pid <> pg_backend_pid()`,
      )
      return rows.length > 0
    })
    expect(await killed).toBeInstanceOf(Error)
    expect(await schemaOf(url)).toEqual([])

    // Between the last migration and its checksum: the table is there first, and refuses the second row.
    await query(
      url,
      `CREATE TABLE migration_checksums (ordinal integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
       name text UNIQUE NOT NULL CHECK (name <> '9003-three'), checksum text NOT NULL,
       applied_at timestamptz NOT NULL DEFAULT now())`,
    )
    const made = await schemaOf(url)
    const other = await migrations('9003-three')
    await expect(migrate(url, { folder: other })).rejects.toThrow(/check constraint/)
    expect(await schemaOf(url)).toEqual(made)
    expect(await migrate(url)).toEqual(own)
  })
})
