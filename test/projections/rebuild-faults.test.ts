// Rebuilds that meet what they cannot take, lose what they have built, or are not alone.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { projections } from '../../src/projections/all.ts'
import { createReached } from '../../src/queries/reached.ts'
import { hashReadModels } from '../support/hash-read-models.ts'
import { postgresKinds, type TestDatabases } from '../support/postgres.ts'
import { projectorsOn } from '../support/projecting.ts'
import { ASKED, besides, ended, inPhase, mixed, rebuildOf } from '../support/rebuilding.ts'
import { type RecordedLog, recordedLog, until } from '../support/recorded-log.ts'
import { begun, completed, completedRun, registered, scheduled, started } from '../support/runs.ts'
import { skipFor } from '../support/skip.ts'

describe.each(await postgresKinds())('on $name', ({ reason, start, noCrash, startToCrash }) => {
  let postgres: TestDatabases
  beforeAll(async () => {
    if (reason === undefined) postgres = await start()
  })
  afterAll(() => postgres?.stop())
  beforeEach((context) => skipFor(reason, context))

  const project = projectorsOn(() => postgres)

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

  test('what PostgreSQL has lost of rows and place is built anew', async () => {
    const { log, more } = mixed(20)
    await using projector = await project(log)
    const { pool, keeper } = projector
    await projector.caughtUp()
    await keeper.request('executions', { ...ASKED, hold: true })
    const { position } = await inPhase(pool, 'held')
    // Its last moments are gone, both of the rows and of where they stand.
    const tables = (await besides(pool, 'next')).map((name) => `public_next.${name}`).join(', ')
    await pool.query(`BEGIN; TRUNCATE ${tables}; UPDATE projection_rebuilds SET position = ${position - 50}; COMMIT`)
    await pool.query(`UPDATE projection_rebuilds SET started_at = NULL`)
    more(10)
    await keeper.release('executions')
    expect(await ended(pool)).toMatchObject({ status: 'swapped', difference: { total: 0 } })
    await using whole = await project(log, { batchSize: 1_000_000 })
    await projector.caughtUp()
    await whole.caughtUp()
    expect(await hashReadModels(pool)).toEqual(await hashReadModels(whole.pool))
  })

  test('an index that is gone before the swap is made again', async () => {
    const { log } = mixed(10)
    await using projector = await project(log)
    const { pool, keeper } = projector
    await projector.caughtUp()
    const indexes = async () =>
      (await pool.query(`SELECT indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`)).rows
    const before = await indexes()
    await keeper.request('executions', { ...ASKED, hold: true })
    await inPhase(pool, 'held')
    await pool.query('DROP INDEX public_next.executions_by_start, public_next.stages_in_pools')
    await keeper.release('executions')
    expect(await ended(pool)).toMatchObject({ status: 'swapped' })
    expect(await indexes()).toEqual(before)
  })

  test('live rows that go on meanwhile are compared as they were at one position', async () => {
    const { log, more } = mixed(20)
    const { pool } = await postgres.createReadModels()
    let moved = false
    const moving: RecordedLog = {
      ...log,
      // The last thing that is asked before both are held against each other.
      async head() {
        if (!moved && (await rebuildOf(pool))?.phase === 'comparing') {
          moved = true
          more(5)
          const head = await log.head()
          await until('the live rows', async () => {
            const { rows } = await pool.query(`SELECT position FROM checkpoints WHERE name = 'executions'`)
            return Number(rows[0].position) === head
          })
        }
        return log.head()
      },
    }
    await using projector = await project(moving, { pool })
    await projector.caughtUp()
    await projector.keeper.request('executions', ASKED)
    expect(await ended(pool)).toMatchObject({ status: 'swapped', difference: { total: 0 } })
    expect(moved).toBe(true)
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
