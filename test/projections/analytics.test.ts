// What is counted of runs, against the same worked out from the log by other means.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ExecutionEvent } from '../../src/domain/execution/events.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { startProjector } from '../../src/projections/start.ts'
import { createAnalyticsQueries, percentileOf } from '../../src/queries/analytics.ts'
import { createReached } from '../../src/queries/reached.ts'
import { mixedLog } from '../support/mixed-log.ts'
import { silent, startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { type RecordedLog, recordedLog } from '../support/recorded-log.ts'
import { begun, completed, completedRun, failed, scheduled, started } from '../support/runs.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

async function projected(log: RecordedLog) {
  const { pool } = await postgres.createReadModels()
  const stop = new AbortController()
  const { stopped } = startProjector({ store: log, pool, logger: silent, signal: stop.signal, batchSize: 37 })
  expect(await createReached(pool)(await log.head(), 30_000)).toBe(true)
  stop.abort()
  await stopped
  return createAnalyticsQueries(pool)
}

const ALL = { from: '2020-01-01T00:00:00.000Z', to: '2030-01-01T00:00:00.000Z', limit: 200 } as const

type Run = {
  workflow: string
  labels: Record<string, string>
  startedMs: number
  endedMs: number
  status: string
}

/** From the beginning and the end of each run alone. */
function runsOf(log: RecordedLog): readonly Run[] {
  const runs = new Map<string, Partial<Run>>()
  for (const event of log.events as readonly RecordedEvent<ExecutionEvent>[]) {
    if (!event.stream.startsWith('execution-')) continue
    const run = runs.get(event.stream) ?? {}
    runs.set(event.stream, run)
    if (event.type === 'ExecutionStarted')
      Object.assign(run, { workflow: event.data.workflow, labels: event.data.labels, startedMs: Date.parse(event.at) })
    const [, status] = /^Execution(Completed|Failed|Cancelled)$/.exec(event.type) ?? []
    if (status) Object.assign(run, { status: status.toLowerCase(), endedMs: Date.parse(event.at) })
  }
  return [...runs.values()].filter((run): run is Run => run.status !== undefined)
}

const exactly = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(share * values.length) - 1]!

const expectNear = (is: number, ought: number): void => {
  expect(Math.abs(is - ought)).toBeLessThanOrEqual(Math.max(1, ought * 0.05))
}

test('counts, rates and percentiles of runs are those of the log, of hours and of days', async () => {
  const log = mixedLog(150)
  const analytics = await projected(log)
  const runs = runsOf(log)
  expect(runs.length).toBeGreaterThan(50)
  for (const grain of ['hour', 'day'] as const) {
    const [whole] = await analytics.by('default', { ...ALL, grain, by: 'namespace' })
    const count = (status: string) => runs.filter((run) => run.status === status).length
    expect(whole).toMatchObject({
      ...{ key: '', ended: runs.length, completed: count('completed'), failed: count('failed') },
      cancelled: count('cancelled'),
    })
    const ms = runs.map(({ startedMs, endedMs }) => endedMs - startedMs)
    for (const [name, share] of [
      ['p50Ms', 0.5],
      ['p95Ms', 0.95],
      ['p99Ms', 0.99],
    ] as const)
      expectNear(whole!.duration![name], exactly(ms, share))
    expectNear(whole!.averageMs, ms.reduce((sum, one) => sum + one, 0) / ms.length)
    const decided = count('completed') + count('failed')
    expect(whole!.successRate).toBeCloseTo(count('completed') / decided, 3)
    const byLabel = await analytics.by('default', { ...ALL, grain, by: 'label' })
    const labels = new Set(
      runs.flatMap(({ labels: own }) => Object.entries(own).map(([name, value]) => `${name}=${value}`)),
    )
    expect(new Set(byLabel.map(({ key }) => key))).toEqual(labels)
    const byWorkflow = await analytics.by('default', { ...ALL, grain, by: 'workflow' })
    for (const { key, ended } of byWorkflow) expect(ended).toBe(runs.filter(({ workflow }) => workflow === key).length)
  }
  const series = await analytics.series('default', { ...ALL, of: 'namespace', key: '', grain: 'hour', step: 'hour' })
  for (const { since, ended } of series) {
    const from = Date.parse(since)
    expect(ended).toBe(runs.filter(({ endedMs }) => endedMs >= from && endedMs < from + 3_600_000).length)
  }
  expect(await analytics.by('other', { ...ALL, grain: 'day', by: 'namespace' })).toEqual([])
})

test('of stages it knows attempts, waits, what is flaky, and what takes the time', async () => {
  const log = recordedLog()
  const at = (second: number) => ({ at: new Date(Date.UTC(2026, 0, 1, 10, 0, second)).toISOString() })
  const run = (seconds: { waits: number; takes: number; fails: boolean }) => {
    const id = randomUUID()
    const stream = `execution-${id}`
    const { waits, takes, fails } = seconds
    log.record(stream, [started(id), scheduled('build')], at(0))
    if (fails) {
      log.record(stream, [begun('build'), failed('build', 1, 'retry')], at(0))
      log.record(stream, [scheduled('build', 2)], at(0))
    }
    log.record(stream, [begun('build', fails ? 2 : 1)], at(waits))
    log.record(stream, [completed('build', fails ? 2 : 1)], at(waits + takes))
    log.record(stream, [{ type: 'ExecutionCompleted', data: { stages: 1 } }], at(waits + takes + 10))
  }
  run({ waits: 2, takes: 10, fails: false })
  run({ waits: 4, takes: 20, fails: true })
  const analytics = await projected(log)
  const stages = await analytics.by('default', { ...ALL, grain: 'hour', by: 'stage', workflow: 'release' })
  const build = stages.find(({ key }) => key === 'release/build')!
  expect(build).toMatchObject({ ended: 2, completed: 2, attempts: 3, retries: 1, flakiness: 0.5, averageMs: 15_000 })
  // 30 s of attempts in 56 s of runs.
  expect(build.bottleneckShare).toBeCloseTo(30 / 56, 3)
  expectNear(build.duration!.p99Ms, 20_000)
  expectNear(build.wait!.p99Ms, 4_000)
  expectNear(build.wait!.p50Ms, 2_000)
  expect(await analytics.by('default', { ...ALL, grain: 'hour', by: 'stage', workflow: 'rele' })).toEqual([])
  const [whole] = await analytics.by('default', { ...ALL, grain: 'day', by: 'namespace' })
  expect(whole).toMatchObject({ attempts: 3, retries: 1, flakiness: 0.5, successRate: 1 })
  expect(
    await analytics.series('default', { ...ALL, of: 'stage', key: 'release/build', grain: 'day', step: 'week' }),
  ).toMatchObject([
    // 1 January 2026 is a Thursday.
    { since: '2025-12-29T00:00:00.000Z', ended: 2 },
  ])
})

test('an attempt that was lost with its worker makes nothing flaky', async () => {
  const log = recordedLog()
  const { stream, id } = completedRun()
  log.record(stream, [started(id), scheduled('build'), begun('build')])
  const error = { code: 'WORKER_LOST', message: 'gone' }
  const lost = { stage: 'build', attempt: 1, error, class: 'infrastructure', rule: 'worker-lost', recovery: 'retry' }
  log.record(stream, [{ type: 'StageFailed', data: lost }, scheduled('build', 2), completed('build', 2)])
  log.record(stream, [{ type: 'ExecutionCompleted', data: { stages: 1 } }])
  const analytics = await projected(log)
  const [whole] = await analytics.by('default', { ...ALL, grain: 'day', by: 'namespace' })
  expect(whole).toMatchObject({ ended: 1, attempts: 2, retries: 1, flakiness: 0 })
})

test('percentiles of buckets are those of what was put together', () => {
  expect(percentileOf([[0, 5]], 0.99)).toBe(1)
  const bucket = (ms: number) => Math.ceil(Math.log(ms) / Math.log(1.1))
  const values = Array.from({ length: 1_000 }, (_, n) => 2 + n * n)
  const counts = new Map<number, number>()
  for (const value of values) counts.set(bucket(value), (counts.get(bucket(value)) ?? 0) + 1)
  const sorted = [...counts].sort(([a], [b]) => a - b)
  for (const share of [0.01, 0.5, 0.95, 0.99, 1]) expectNear(percentileOf(sorted, share), exactly(values, share))
})
