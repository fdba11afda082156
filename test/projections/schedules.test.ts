import { afterAll, beforeAll, expect, test } from 'vitest'
import { scheduleDecider } from '../../src/commands/schedule-decider.ts'
import { scheduleStream } from '../../src/domain/schedule/events.ts'
import type { ScheduleState } from '../../src/domain/schedule/state.ts'
import { startProjector } from '../../src/projections/start.ts'
import { createQueries } from '../../src/queries/create-queries.ts'
import { BadCursor } from '../../src/queries/page.ts'
import { hashReadModels } from '../support/hash-read-models.ts'
import { silent, startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { randomSchedules, recordedSchedules } from '../support/random-schedules.ts'
import { type RecordedLog, recordedLog } from '../support/recorded-log.ts'
import { backfill, define, on, pause, remove, resume, spec, tick } from '../support/schedules.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

async function project(log: RecordedLog, batchSize = 1_000) {
  const { url, pool } = await postgres.createReadModels()
  const stop = new AbortController()
  const { stopped } = startProjector({ store: log, pool, logger: silent, signal: stop.signal, batchSize })
  const queries = createQueries({ url, pool, head: log.head })
  return {
    pool,
    queries,
    settled: async () => expect(await queries.reached(await log.head(), 20_000, ['schedules'])).toBe(true),
    async [Symbol.asyncDispose]() {
      stop.abort()
      await stopped
      await queries.close()
      await pool.end()
    },
  }
}

test('a schedule shows what runs, what waits and what has been', async () => {
  const log = recordedLog()
  const { take, end } = recordedSchedules(log)
  await using it = await project(log)
  const view = async () => {
    await it.settled()
    return (await it.queries.schedule('default', 'nightly'))!
  }
  take('nightly', define({ overlap: 'queue', jitterMs: 60_000 }))
  expect(await view()).toMatchObject({
    status: 'active',
    workflow: 'release',
    spec: { every: '15m', from: on('00:00'), overlap: 'queue', queueLimit: 10, misfire: 'once', jitter: '1m' },
    nextAt: on('00:15'),
    counts: { fired: 0, passed: 0 },
    open: 0,
    queued: 0,
    createdAt: on('00:01'),
    openRuns: [],
    queue: [],
  })
  const fired = take('nightly', tick('00:16'), tick('00:31')).open[0]!
  expect(await view()).toMatchObject({
    nextAt: on('00:45'),
    lastRun: { nominalAt: on('00:15'), executionId: fired.executionId, status: 'open' },
    open: 1,
    queued: 1,
    openRuns: [{ nominalAt: on('00:15'), executionId: fired.executionId }],
    queue: [on('00:30')],
  })
  const error = { code: 'INPUT_INVALID', message: 'with \0 in it' }
  take('nightly', { type: 'RefuseRun', executionId: fired.executionId, error, at: on('00:32') })
  end('nightly', '00:33', 'failed')
  take('nightly', pause('00:34'))
  expect(await view()).toMatchObject({
    status: 'paused',
    counts: { fired: 2, failed: 1, refused: 1 },
    lastRun: { status: 'failed' },
    open: 0,
    queued: 0,
  })
  expect(await view()).not.toHaveProperty('nextAt')
  take('nightly', resume('02:00'), backfill('00:30', '01:30', 2, '02:01', '0190b6a0-0000-7000-8000-0000000000b1'))
  const going = await view()
  expect(going).toMatchObject({ counts: { passed: 6 }, backfill: { count: 4, maxConcurrent: 2 }, open: 2 })
  expect(going.openRuns[0]).toHaveProperty('backfill')
  end('nightly', '02:03')
  end('nightly', '02:04')
  expect(await view()).not.toHaveProperty('backfill')
  expect((await it.queries.upcomingTimes('default', 'nightly', 2))!.map(({ nominalAt }) => nominalAt)).toEqual([
    on('02:15'),
    on('02:30'),
  ])
  take('nightly', remove('03:00'))
  await it.settled()
  expect(await it.queries.schedule('default', 'nightly')).toBeUndefined()
  expect(await it.queries.upcomingTimes('default', 'nightly', 2)).toBeUndefined()
  take('nightly', define(spec({ priority: 3 }), on('03:05')))
  expect(await view()).toMatchObject({ createdAt: on('03:05'), spec: { priority: 3 }, counts: { fired: 6 } })
})

test('lists page by name, and filter', async () => {
  const log = recordedLog()
  const { take } = recordedSchedules(log)
  await using it = await project(log)
  for (const name of ['c', 'a', 'b', 'd']) take(name, define({ workflow: name === 'c' ? 'other' : 'release' }))
  take('d', remove('00:02'))
  await it.settled()
  const list = (filter: { workflow?: string }, cursor?: string) =>
    it.queries.schedules('default', filter, { limit: 2, ...(cursor === undefined ? {} : { cursor }) })
  const first = await list({})
  expect(first.items.map(({ name }) => name)).toEqual(['a', 'b'])
  const second = await list({}, first.nextCursor!)
  expect(second).toMatchObject({ items: [{ name: 'c' }], nextCursor: null })
  expect((await list({ workflow: 'other' })).items.map(({ name }) => name)).toEqual(['c'])
  expect((await it.queries.schedules('elsewhere', {}, { limit: 2 })).items).toEqual([])
  await expect(list({}, 'forged')).rejects.toThrow(BadCursor)
})

function anyLog(count: number): RecordedLog {
  const log = recordedLog()
  const step = randomSchedules(log)
  for (let n = 0; n < count; n++) step()
  return log
}

test('however the log is cut into batches, the rows are the same, and what they say is the state', async () => {
  const log = anyLog(600)
  await using whole = await project(log, 1_000_000)
  await whole.settled()
  const expected = await hashReadModels(whole.pool)
  expect(expected.schedules).not.toMatch(/^0:/)
  for (const batchSize of [1, 7, 60]) {
    await using cut = await project(log, batchSize)
    await cut.settled()
    expect(await hashReadModels(cut.pool), `in batches of ${batchSize}`).toMatchObject({
      schedules: expected.schedules,
      schedule_runs: expected.schedule_runs,
    })
  }
  for (const name of ['s0', 's1', 's2', 's3']) {
    const state = log.events
      .filter(({ stream }) => stream === scheduleStream('default', name))
      .reduce<ScheduleState>((folded, event) => scheduleDecider.evolve(folded, event as never), { status: 'unknown' })
    if (state.status === 'unknown' || state.status === 'deleted') continue
    const view = (await whole.queries.schedule('default', name))!
    expect(view.status).toBe(state.status)
    expect(view.queue).toEqual(state.queue)
    expect(view.openRuns.map(({ executionId }) => executionId).sort()).toEqual(
      state.open.map(({ executionId }) => executionId).sort(),
    )
    expect(view.backfill?.id).toBe(state.backfill?.id)
  }
})
