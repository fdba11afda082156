// A read model that is built again beside the live one: what serves meanwhile, what differs, and what becomes of it.
import { setTimeout as delay } from 'node:timers/promises'
import type { Pool } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { projections } from '../../src/projections/all.ts'
import type { Projection } from '../../src/projections/projection.ts'
import { hashReadModels } from '../support/hash-read-models.ts'
import { postgresKinds, type TestDatabases } from '../support/postgres.ts'
import { projectorsOn } from '../support/projecting.ts'
import { ASKED, besides, ended, inPhase, mixed, rebuildOf } from '../support/rebuilding.ts'
import { type RecordedLog, until } from '../support/recorded-log.ts'
import { completedRun, scheduled, started } from '../support/runs.ts'
import { skipFor } from '../support/skip.ts'

describe.each(await postgresKinds())('on $name', ({ reason, start }) => {
  let postgres: TestDatabases
  beforeAll(async () => {
    if (reason === undefined) postgres = await start()
  })
  afterAll(() => postgres?.stop())
  beforeEach((context) => skipFor(reason, context))

  const project = projectorsOn(() => postgres)

  /** What the schema says of the tables: indexes, constraints, storage. */
  async function shapeOf(pool: Pool): Promise<unknown> {
    const tables = projections.flatMap((one) => one.tables)
    const indexes =
      'SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = ANY($1) ORDER BY 1'
    const constraints = `SELECT conrelid::regclass::text AS table, conname, contype, replace(pg_get_constraintdef(oid), ' NOT VALID', '') AS says FROM pg_constraint
      WHERE conrelid = ANY(SELECT to_regclass(t) FROM unnest($1::text[]) t) ORDER BY 1, 2`
    const columns = `SELECT c.relname, c.reloptions, a.attname, a.attstorage, a.attnotnull, format_type(a.atttypid, a.atttypmod) AS type
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      WHERE c.oid = ANY(SELECT to_regclass(t) FROM unnest($1::text[]) t) ORDER BY c.relname, a.attnum`
    const all = await Promise.all([indexes, constraints, columns].map((sql) => pool.query(sql, [tables])))
    return all.map(({ rows }) => rows)
  }

  test('every read model is built again with the same rows and the same schema, while the live ones serve and grow', async () => {
    const { log, more } = mixed(60)
    await using projector = await project(log, { rebuildBatchSize: 200 })
    const { pool, keeper } = projector
    await projector.caughtUp()
    const shape = await shapeOf(pool)
    let fewest = Number.POSITIVE_INFINITY
    const stop = new AbortController()
    const looking = (async () => {
      for (let last = 0; !stop.signal.aborted; await delay(2)) {
        const { rows } = await pool.query('SELECT count(*)::int AS count FROM executions')
        fewest = Math.min(fewest, rows[0].count - last)
        last = rows[0].count
      }
    })()
    looking.catch(() => {})
    for (const { name } of projections) expect(await keeper.request(name, ASKED)).toBe(true)
    for (let times = 0; times < 20; times++) {
      more(10)
      await delay(10)
    }
    for (const { name } of projections) {
      const rebuild = await ended(pool, name)
      expect(rebuild).toMatchObject({ status: 'swapped', error: null, requestedBy: 'user:ada' })
      expect(rebuild.difference).toMatchObject({ total: 0 })
    }
    await projector.caughtUp()
    stop.abort()
    await looking
    expect(fewest).toBeGreaterThanOrEqual(0)
    expect(await shapeOf(pool)).toEqual(shape)
    expect(await besides(pool, 'next')).toEqual([])
    expect(await besides(pool, 'previous')).toEqual(projections.flatMap((one) => one.tables).sort())
    await using whole = await project(log, { batchSize: 1_000_000 })
    await whole.caughtUp()
    expect(await hashReadModels(pool)).toEqual(await hashReadModels(whole.pool))
  })

  test('what has drifted is named, and right after the swap; the rows before can be had back, and left again', async () => {
    const { log } = mixed(30)
    await using projector = await project(log)
    const { pool, keeper } = projector
    await projector.caughtUp()
    const right = await hashReadModels(pool)
    await pool.query(`UPDATE executions SET workflow = 'wrong' WHERE id IN (SELECT id FROM executions LIMIT 3)`)
    await pool.query(
      'DELETE FROM attempts WHERE (execution_id, stage, attempt) IN (SELECT execution_id, stage, attempt FROM attempts LIMIT 1)',
    )
    expect(await keeper.rollBack('executions')).toBe(false)
    await keeper.request('executions', ASKED)
    const { difference } = await ended(pool)
    expect(difference).toMatchObject({
      total: 4,
      items: expect.arrayContaining([
        expect.objectContaining({ where: 'executions', what: 'differs from what the log says in workflow' }),
        expect.objectContaining({ where: 'attempts', what: 'is missing' }),
      ]),
    })
    expect(await hashReadModels(pool)).toEqual(right)

    const wrong = async () => (await pool.query(`SELECT FROM executions WHERE workflow = 'wrong'`)).rowCount
    expect(await keeper.rollBack('executions')).toBe(true)
    expect(await wrong()).toBe(3)
    const { stream, id } = completedRun()
    log.record(stream, [started(id), scheduled('build')])
    await projector.caughtUp()
    expect(await keeper.rollBack('executions')).toBe(true)
    // It goes on from where it stood.
    await until('the run', async () => (await pool.query('SELECT FROM executions WHERE id = $1', [id])).rowCount === 1)
    expect(await wrong()).toBe(0)
    expect(await keeper.forget('executions')).toBe(true)
    expect(await besides(pool, 'previous')).toEqual([])
    expect(await keeper.rollBack('executions')).toBe(false)
    expect(await keeper.forget('executions')).toBe(false)
  })

  test('one that is held follows the log until it is swapped in by hand, or cancelled', async () => {
    const { log, more } = mixed(20)
    await using projector = await project(log)
    const { pool, keeper } = projector
    await projector.caughtUp()
    await pool.query(`UPDATE executions SET workflow = 'wrong'`)
    expect(await keeper.release('executions')).toBe(false)
    await keeper.request('executions', { ...ASKED, hold: true })
    const { difference } = await inPhase(pool, 'held')
    expect(difference).toMatchObject({ total: 20 })
    expect(await keeper.request('executions', ASKED)).toBe(false)
    expect(await keeper.rollBack('executions')).toBe(false)
    more(10)
    await projector.caughtUp()
    expect((await pool.query(`SELECT FROM executions WHERE workflow = 'wrong'`)).rowCount).toBe(20)
    expect(await keeper.cancel('executions')).toBe(true)
    expect(await keeper.cancel('executions')).toBe(false)
    expect(await rebuildOf(pool)).toMatchObject({ status: 'cancelled' })
    expect(await besides(pool, 'next')).toEqual([])

    await keeper.request('executions', { ...ASKED, hold: true })
    await inPhase(pool, 'held')
    expect(await keeper.release('executions')).toBe(true)
    expect(await ended(pool)).toMatchObject({ status: 'swapped' })
    expect((await pool.query(`SELECT FROM executions WHERE workflow = 'wrong'`)).rowCount).toBe(0)
  })

  const newer = (version: number): readonly Projection[] =>
    projections.map((one) => (one.name === 'executions' ? { ...one, version } : one))

  test('a projection whose version changed is built beside; who goes back to the older program has its rows at once', async () => {
    const { log, more } = mixed(20)
    const { pool } = await postgres.createReadModels()
    const { version } = projections.find(({ name }) => name === 'executions')!
    {
      await using projector = await project(log, { pool })
      await projector.caughtUp()
    }
    await pool.query(`UPDATE executions SET workflow = 'wrong'`)
    const versionNow = async () =>
      (await pool.query(`SELECT version FROM checkpoints WHERE name = 'executions'`)).rows[0].version
    {
      await using projector = await project(log, { pool, projections: newer(version + 1) })
      const rebuild = await ended(pool)
      expect(rebuild).toMatchObject({ status: 'swapped', version: version + 1, requestedBy: 'system:projector' })
      expect(rebuild.reason).toContain(`its rows are of version ${version}`)
      expect(await versionNow()).toBe(version + 1)
      expect((await pool.query(`SELECT FROM executions WHERE workflow = 'wrong'`)).rowCount).toBe(0)
      more(5)
      await projector.caughtUp()
    }
    await using projector = await project(log, { pool })
    await until('the older version', async () => (await versionNow()) === version)
    await projector.caughtUp()
    expect((await pool.query(`SELECT FROM executions WHERE workflow = 'wrong'`)).rowCount).toBe(20)
    expect((await pool.query('SELECT FROM executions')).rowCount).toBe(25)
  })

  test('a projector that ends in the middle is gone on from; more than two wait their turn', async () => {
    const { log } = mixed(80)
    const { pool } = await postgres.createReadModels()
    const slow: RecordedLog = {
      ...log,
      async *subscribe(options) {
        for await (const batch of log.subscribe(options)) {
          await delay(options.batchSize === 100 ? 20 : 0)
          yield batch
        }
      },
    }
    const first = await project(slow, { pool, rebuildBatchSize: 100 })
    await first.caughtUp()
    for (const name of ['executions', 'events', 'pools']) await first.keeper.request(name, ASKED)
    const before = await until('some of it', async () => {
      const rebuild = await rebuildOf(pool)
      return rebuild !== undefined && rebuild.position > 200 && rebuild
    })
    expect(await rebuildOf(pool, 'pools')).toMatchObject({ status: 'running', phase: 'queued' })
    expect(before).toMatchObject({ status: 'running', phase: 'replaying' })
    expect(before.eventsPerSecond).toBeGreaterThan(0)
    expect(before.head).toBe(await log.head())
    await first.end()
    const left = (await rebuildOf(pool))!
    const reads: number[] = []
    const watched: RecordedLog = {
      ...log,
      subscribe(options) {
        if (options.batchSize === 100) reads.push(options.after)
        return log.subscribe(options)
      },
    }
    await using second = await project(watched, { pool, rebuildBatchSize: 100 })
    for (const name of ['executions', 'events', 'pools'])
      expect(await ended(pool, name)).toMatchObject({ status: 'swapped' })
    expect(left.position).toBeGreaterThan(200)
    expect(reads).toContain(left.position)
    await second.caughtUp()
    await using whole = await project(log, { batchSize: 1_000_000 })
    await whole.caughtUp()
    expect(await hashReadModels(pool)).toEqual(await hashReadModels(whole.pool))
  })
})
