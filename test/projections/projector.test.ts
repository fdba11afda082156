import { randomInt, randomUUID } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Batch } from '../../src/ports/event-store.ts'
import type { Logger } from '../../src/ports/logger.ts'
import { projections } from '../../src/projections/all.ts'
import type { Projection } from '../../src/projections/projection.ts'
import { hashReadModels } from '../support/hash-read-models.ts'
import { mixedLog } from '../support/mixed-log.ts'
import { postgresKinds, silent, type TestDatabases } from '../support/postgres.ts'
import { projectorsOn } from '../support/projecting.ts'
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

  /** The hashes that one pass over the whole log gives. */
  async function hashesOf(log: RecordedLog) {
    await using whole = await project(log, { batchSize: 1_000_000 })
    expect(await whole.reached(await log.head(), 30_000)).toBe(true)
    return await hashReadModels(whole.pool)
  }

  test('however the log is cut into batches, the rows are the same bit for bit', async () => {
    const log = mixedLog(70)
    const expected = await hashesOf(log)
    expect(Object.values(expected).every((hash) => !hash.startsWith('0:'))).toBe(true)
    for (const most of [2, 7, 40, 300]) {
      const store = recordedLog({ batchOf: () => randomInt(1, most) })
      for (const event of log.events) (store.events as unknown[]).push(event)
      await using incremental = await project(store)
      expect(await incremental.reached(await log.head(), 40_000)).toBe(true)
      expect(await hashReadModels(incremental.pool)).toEqual(expected)
    }
  })

  test('events that come again change nothing', async () => {
    const log = mixedLog(60)
    const again: RecordedLog = {
      ...log,
      async *subscribe(options) {
        let last: Batch | undefined
        for await (const batch of log.subscribe({ ...options, batchSize: 20 })) {
          const events = [...(last?.events ?? []), ...batch.events]
          yield { ...batch, events, caughtUp: false }
          yield batch
          last = batch
        }
      },
    }
    await using projector = await project(again)
    expect(await projector.reached(await log.head(), 30_000)).toBe(true)
    expect(await hashReadModels(projector.pool)).toEqual(await hashesOf(log))
  })

  test('what has been written is kept in memory no longer', async () => {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    const log = mixedLog(60)
    const given: WeakRef<Batch>[] = []
    const watched: RecordedLog = {
      ...log,
      async *subscribe(options) {
        for await (const batch of log.subscribe({ ...options, batchSize: 20 })) {
          const one = { ...batch }
          given.push(new WeakRef(one))
          yield one
        }
      },
    }
    await using projector = await project(watched)
    expect(await projector.reached(await log.head(), 40_000)).toBe(true)
    expect(given.length).toBeGreaterThan(20)
    const kept = () => {
      collect()
      return given.filter((batch) => batch.deref() !== undefined).length
    }
    // A loop that waits for the next one may have its first and its last at hand yet.
    await until('batches to be let go', async () => kept() <= 2)
  })

  test('two projectors at once do no harm', async () => {
    const log = mixedLog(100)
    const expected = await hashesOf(log)
    await using first = await project(log, { batchSize: 13 })
    await using second = await project(log, { batchSize: 29, pool: first.pool })
    expect(await second.reached(await log.head(), 30_000)).toBe(true)
    expect(await hashReadModels(first.pool)).toEqual(expected)
  })

  async function failureOf(pool: Awaited<ReturnType<typeof project>>['pool'], name: string) {
    const { rows } = await pool.query(`SELECT * FROM checkpoints WHERE name = $1 AND status = 'failed'`, [name])
    return rows[0] as
      | { position: string; failed_position: string; error: string; failed_event: { id: string } }
      | undefined
  }

  test('an event of a future version stops its projection alone, before it, and a newer program goes on', async () => {
    const log = recordedLog()
    const { stream, id } = completedRun()
    log.record(stream, [started(id), scheduled('build')])
    const poison = log.record(stream, [begun('build')], { version: 2 })
    log.record(stream, [completed('build')])
    const errors: string[] = []
    const logger: Logger = { ...silent, error: (_, message) => errors.push(message) }
    const { pool } = await postgres.createReadModels()
    {
      await using projector = await project(log, { pool, logger })
      const failure = await until('the failure', () => failureOf(pool, 'executions'))
      expect(failure).toMatchObject({ position: String(poison - 1), failed_position: String(poison) })
      expect(failure.failed_event.id).toBe(log.events[poison]!.id)
      expect(failure.error).toContain('StageStarted has schema version 2, this program knows up to 1')
      expect(errors.join()).toContain('projection executions stopped')
      const { rows } = await pool.query('SELECT status FROM stages WHERE execution_id = $1 AND stage = $2', [
        id,
        'build',
      ])
      expect(rows).toEqual([{ status: 'scheduled' }])
      // The others go on, past the end of what the failed one has seen.
      const later = log.record('workflow-default.release', [registered('release')])
      await until('the others', async () => {
        const { rows } = await pool.query('SELECT name FROM checkpoints WHERE position = $1', [later])
        return rows.length === projections.length - 1
      })
      expect(await failureOf(pool, 'executions')).toBeDefined()
      // Nor do queries that read the others wait for it.
      expect(await projector.reached(later, 10_000, ['workflows', 'events'])).toBe(true)
      expect(await projector.reached(later, 20, ['workflows', 'executions'])).toBe(false)
    }
    const newer = projections.map(
      (one): Projection =>
        one.name === 'executions' ? { ...one, handles: { ...(one.handles as object), StageStarted: 2 } } : one,
    )
    await using healed = await project(log, { pool, projections: newer })
    expect(await healed.reached(await log.head(), 10_000)).toBe(true)
    expect(await failureOf(pool, 'executions')).toBeUndefined()
  })

  test('an event that a projection cannot take is found inside a large batch', async () => {
    const log = recordedLog()
    for (let count = 0; count < 50; count++) {
      const { stream, events } = completedRun()
      log.record(stream, events)
    }
    // No such run started, so there is no row to change.
    const poison = log.record(`execution-${randomUUID()}`, [completed('build')])
    log.record(completedRun().stream, [started(randomUUID())])
    const throwing = log.record('workflow-default.release', [{ type: 'WorkflowRegistered', data: { name: 'release' } }])
    await using projector = await project(log)
    const failure = await until('the failure', () => failureOf(projector.pool, 'executions'))
    expect(failure).toMatchObject({ position: String(poison - 1), failed_position: String(poison) })
    expect(failure.error).toContain('a row is missing')
    expect(await until('the other', () => failureOf(projector.pool, 'workflows'))).toMatchObject({
      failed_position: String(throwing),
    })
    const { rows } = await projector.pool.query('SELECT count(*) AS runs FROM executions')
    expect(rows).toEqual([{ runs: '50' }])
  })

  test('an event that lacks what the audit asks of it stops the audit, before it, and is not tried for ever', async () => {
    const log = recordedLog()
    const poison = log.record('execution-odd', [started(randomUUID())])
    Object.assign(log.events[poison]!, { metadata: {} })
    await using projector = await project(log)
    const failure = await until('the failure', () => failureOf(projector.pool, 'events'))
    expect(failure).toMatchObject({ failed_position: String(poison) })
  })

  test('a NUL, half a surrogate pair and quotes in what people sent stop nothing', async () => {
    const log = recordedLog()
    const { stream, id } = completedRun()
    const odd = 'a\0b\ud800 "\\u0000" \\ \t\n€ 😀'
    log.record(stream, [started(id, { input: { odd }, labels: { [odd]: odd } }), scheduled('build'), begun('build')])
    log.record(stream, [{ type: 'StageCompleted', data: { stage: 'build', attempt: 1, output: { odd } } }])
    log.record(stream, [{ type: 'StageCancelled', data: { stage: 'test', attempt: 0, reason: odd } }])
    await using projector = await project(log, { batchSize: 1 })
    expect(await projector.reached(await log.head(), 10_000)).toBe(true)
    const { rows } = await projector.pool.query('SELECT input, labels FROM executions')
    const shown = 'a\ufffdb\ufffd "\\u0000" \\ \t\n€ 😀'
    expect(rows).toEqual([{ input: { odd }, labels: { [shown]: shown } }])
    const { rows: stages } = await projector.pool.query(
      `SELECT output, reason FROM stages WHERE stage IN ('build', 'test') ORDER BY 2`,
    )
    expect(stages).toEqual([
      { output: null, reason: shown },
      { output: { odd }, reason: null },
    ])
  })

  test('PostgreSQL is killed in the middle, and the projector catches up', async (context) => {
    skipFor(noCrash, context)
    const log = mixedLog(100)
    const warnings: string[] = []
    const logger: Logger = { ...silent, warn: (_, message) => warnings.push(message) }
    const own = await startToCrash()
    try {
      const { pool } = await own.createReadModels()
      await using projector = await project(log, { pool, logger, batchSize: 5 })
      for (let kill = 1; kill <= 3; kill++) {
        const reach = Math.floor((log.events.length * kill) / 5)
        expect(await projector.reached(reach, 30_000)).toBe(true)
        await own.crash()
        await until('an answer', () => pool.query('SELECT 1').catch(() => false as const))
      }
      await until('the end', () => projector.reached(log.events.length - 1, 20_000).catch(() => false as const))
      expect(await hashReadModels(pool)).toEqual(await hashesOf(log))
      expect(warnings.join()).toMatch(/trying again|reading again/)
    } finally {
      await own.stop()
    }
  })
})
