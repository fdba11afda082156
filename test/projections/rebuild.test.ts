// A read model that is built again beside the live one: what serves meanwhile, what differs, and what becomes of it after a crash.
import { setTimeout as delay } from 'node:timers/promises'
import type { Pool } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { projections } from '../../src/projections/all.ts'
import { hashReadModels } from '../../src/projections/hash-read-models.ts'
import { createProjectionKeeper } from '../../src/projections/keeper.ts'
import type { Projection } from '../../src/projections/projection.ts'
import { type Rebuild, readRebuilds } from '../../src/projections/rebuild-record.ts'
import { startProjector } from '../../src/projections/start.ts'
import { createReached } from '../../src/queries/reached.ts'
import { mixInto } from '../support/mixed-log.ts'
import { postgresKinds, silent, type TestDatabases } from '../support/postgres.ts'
import { type RecordedLog, recordedLog, until } from '../support/recorded-log.ts'
import { begun, completed, completedRun, registered, scheduled, started } from '../support/runs.ts'
import { skipFor } from '../support/skip.ts'

/** A log with so many runs, and what adds more. */
function mixed(runs: number) {
  const log = recordedLog()
  const more = mixInto(log)
  more(runs)
  return { log, more }
}

const ASKED = { by: 'user:ada', reason: 'to see', hold: false }

describe.each(await postgresKinds())('on $name', ({ reason, start, noCrash, startToCrash }) => {
  let postgres: TestDatabases
  beforeAll(async () => {
    if (reason === undefined) postgres = await start()
  })
  afterAll(() => postgres?.stop())
  beforeEach((context) => skipFor(reason, context))

  type Options = Partial<Parameters<typeof startProjector>[0]>

  async function project(log: RecordedLog, options: Options = {}) {
    const pool = options.pool ?? (await postgres.createReadModels()).pool
    const stop = new AbortController()
    const { stopped } = startProjector({ store: log, pool, logger: silent, signal: stop.signal, ...options })
    const end = async () => {
      stop.abort()
      await stopped
      if (!options.pool) await pool.end()
    }
    const caughtUp = async () => expect(await createReached(pool)(await log.head(), 30_000)).toBe(true)
    const keeper = createProjectionKeeper(pool, options.projections)
    return { pool, keeper, caughtUp, end, [Symbol.asyncDispose]: end }
  }

  const rebuildOf = async (pool: Pool, name = 'executions'): Promise<Rebuild | undefined> =>
    (await readRebuilds(pool).catch(() => [])).find((one) => one.name === name)
  const ended = (pool: Pool, name = 'executions') =>
    until(`the rebuild of ${name}`, async () => {
      const rebuild = await rebuildOf(pool, name)
      return rebuild !== undefined && rebuild.status !== 'running' && rebuild
    })
  const inPhase = (pool: Pool, phase: string) =>
    until(`the phase ${phase}`, async () => {
      const rebuild = await rebuildOf(pool)
      return rebuild?.phase === phase && rebuild
    })

  /** What the schema says of the tables: indexes, constraints, storage. */
  async function shapeOf(pool: Pool): Promise<unknown> {
    const tables = projections.flatMap((one) => one.tables)
    const indexes =
      'SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = ANY($1) ORDER BY 1'
    const constraints = `SELECT conrelid::regclass::text AS table, conname, contype, pg_get_constraintdef(oid) AS says FROM pg_constraint
      WHERE conrelid = ANY(SELECT to_regclass(t) FROM unnest($1::text[]) t) ORDER BY 1, 2`
    const columns = `SELECT c.relname, c.reloptions, a.attname, a.attstorage, a.attnotnull, format_type(a.atttypid, a.atttypmod) AS type
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
      WHERE c.oid = ANY(SELECT to_regclass(t) FROM unnest($1::text[]) t) ORDER BY c.relname, a.attnum`
    const all = await Promise.all([indexes, constraints, columns].map((sql) => pool.query(sql, [tables])))
    return all.map(({ rows }) => rows)
  }

  const besides = async (pool: Pool, schema: 'next' | 'previous'): Promise<readonly string[]> => {
    const sql = `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() || $1 ORDER BY 1`
    return (await pool.query(sql, [`_${schema}`])).rows.map(({ tablename }) => tablename)
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

  test('an event that cannot be taken fails the rebuild alone; left out on record, it is left out of both', async () => {
    const log = recordedLog()
    const lost = completedRun()
    const poisonous = completedRun()
    for (const run of [lost, poisonous]) log.record(run.stream, [started(run.id), scheduled('build')])
    const poison = log.record(poisonous.stream, [begun('build')], { version: 2 })
    log.record(lost.stream, [begun('build'), completed('build')])
    await using projector = await project(log)
    const { pool, keeper } = projector
    const checkpoint = async () => (await pool.query(`SELECT * FROM checkpoints WHERE name = 'executions'`)).rows[0]
    await until('the failure', async () => (await checkpoint())?.status === 'failed')
    await keeper.request('executions', ASKED)
    const failed = await ended(pool)
    expect(failed).toMatchObject({ status: 'failed', position: poison - 1 })
    expect(failed.error).toContain('StageStarted has schema version 2, this program knows up to 1')
    expect(await besides(pool, 'next')).toEqual([])

    expect(await keeper.retry('executions')).toBe(true)
    await until('the failure again', async () => (await checkpoint()).status === 'failed')
    const { id, type, stream, revision, position } = log.events[poison]!
    const data = { event: { id, type, stream, revision, position }, error: failed.error!, reason: 'of a trial' }
    log.record('projection-executions', [{ type: 'ProjectionEventSkipped', data }])
    await projector.caughtUp()
    expect(await checkpoint()).toMatchObject({ status: 'running', error: null, failed_event: null })
    const { rows } = await pool.query(`SELECT status FROM stages WHERE stage = 'build' ORDER BY status`)
    expect(rows).toEqual([{ status: 'completed' }, { status: 'scheduled' }])
    await keeper.request('executions', ASKED)
    expect(await ended(pool)).toMatchObject({ status: 'swapped', difference: { total: 0 } })
    expect((await pool.query(`SELECT FROM events WHERE type = 'ProjectionEventSkipped'`)).rowCount).toBe(1)
  })

  test('what was built and is gone, as after a migration, is built anew, and the live rows are left alone', async () => {
    const { log, more } = mixed(20)
    await using projector = await project(log)
    const { pool, keeper } = projector
    await projector.caughtUp()
    for (const name of ['executions', 'schedules', 'pools']) await keeper.request(name, { ...ASKED, hold: true })
    await inPhase(pool, 'held')
    const tables = await besides(pool, 'next')
    expect(tables).toContain('executions')
    await pool.query(`DROP TABLE ${tables.map((name) => `public_next."${name}"`).join(', ')} CASCADE`)
    more(20)
    await projector.caughtUp()
    for (const name of ['executions', 'schedules', 'pools']) {
      await until(`${name} to be held again`, async () => (await rebuildOf(pool, name))?.phase === 'held')
      await keeper.release(name)
      expect(await ended(pool, name)).toMatchObject({ status: 'swapped', difference: { total: 0 } })
    }
    await using whole = await project(log, { batchSize: 1_000_000 })
    await whole.caughtUp()
    expect(await hashReadModels(pool)).toEqual(await hashReadModels(whole.pool))
  })

  test('an event that is left out while a rebuild is held is left out of it', async () => {
    const { log } = mixed(5)
    const { stream, id } = completedRun()
    const taken = log.record(stream, [started(id)])
    log.record('workflow-default.other', [registered('other')])
    await using projector = await project(log)
    const { pool, keeper } = projector
    await projector.caughtUp()
    await keeper.request('workflows', { ...ASKED, hold: true })
    await until('it to be held', async () => (await rebuildOf(pool, 'workflows'))?.phase === 'held')
    const event = log.events.at(-1)!
    expect(event.position).toBeGreaterThan(taken)
    const data = { event, error: 'none', reason: 'of a trial' }
    log.record('projection-workflows', [{ type: 'ProjectionEventSkipped', data }])
    await projector.caughtUp()
    await keeper.release('workflows')
    // The live row was there before; that is the difference.
    await until('it to be held again, or swapped', async () => {
      const rebuild = await rebuildOf(pool, 'workflows')
      return rebuild?.status === 'swapped'
    })
    expect((await pool.query(`SELECT FROM workflows WHERE name = 'other'`)).rowCount).toBe(0)
  })

  test('two projectors at once build one after the other, and wait for nobody for ever', async () => {
    const { log, more } = mixed(30)
    const { pool } = await postgres.createReadModels()
    await using first = await project(log, { pool, rebuildBatchSize: 60 })
    await using second = await project(log, { pool, rebuildBatchSize: 60 })
    await first.caughtUp()
    for (let times = 0; times < 2; times++) {
      for (const { name } of projections) await second.keeper.request(name, ASKED)
      more(10)
      for (const { name } of projections) expect(await ended(pool, name)).toMatchObject({ status: 'swapped' })
    }
    await second.caughtUp()
    await using whole = await project(log, { batchSize: 1_000_000 })
    await whole.caughtUp()
    expect(await hashReadModels(pool)).toEqual(await hashReadModels(whole.pool))
  })

  test('PostgreSQL is killed in the middle of rebuilds, and nothing is missing or twice', async (context) => {
    skipFor(noCrash, context)
    const { log, more } = mixed(100)
    const own = await startToCrash()
    try {
      const { pool } = await own.createReadModels()
      await using projector = await project(log, { pool, batchSize: 50, rebuildBatchSize: 40 })
      await projector.caughtUp()
      for (const name of ['executions', 'events']) await projector.keeper.request(name, ASKED)
      for (let kill = 1; kill <= 3; kill++) {
        const reach = (log.events.length * kill) / 5
        await until('some of it', async () => {
          const rebuild = await rebuildOf(pool)
          return rebuild !== undefined && (rebuild.position > reach || rebuild.status !== 'running')
        })
        expect(await rebuildOf(pool)).toMatchObject({ status: 'running' })
        await own.crash()
        more(10)
        await until('an answer', () => pool.query('SELECT 1').catch(() => false as const))
      }
      for (const name of ['executions', 'events']) expect(await ended(pool, name)).toMatchObject({ status: 'swapped' })
      await until('the end', () => createReached(pool)(log.events.length - 1, 20_000).catch(() => false as const))
      await using whole = await project(log, { batchSize: 1_000_000 })
      await whole.caughtUp()
      expect(await hashReadModels(pool)).toEqual(await hashReadModels(whole.pool))
    } finally {
      await own.stop()
    }
  })
})
