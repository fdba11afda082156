import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createPathFinder, recordedPath } from '../../src/queries/advice/critical-path.ts'
import { type RecordedRun, spanOf } from '../../src/queries/advice/recorded-run.ts'
import { percentile, rateAtLeast, spelled } from '../../src/queries/advice/statistics.ts'
import { stage, workflow } from '../support/executions.ts'
import { acyclic } from '../support/graphs.ts'
import { recordedRun, recordedRuns } from '../support/recorded-runs.ts'

const values = fc.array(fc.nat(), { minLength: 1, maxLength: 40 })
const share = fc.double({ min: 0, max: 1, noNaN: true })

test('a percentile is one of the values, grows with its share, and leaves no more above it than it says', () => {
  expect(percentile([], 0.5)).toBe(0)
  expect(percentile([9, 1, 5], 0.5)).toBe(5)
  expect(
    percentile(
      Array.from({ length: 20 }, (_, at) => at + 1),
      0.95,
    ),
  ).toBe(19)
  fc.assert(
    fc.property(values, share, share, (all, a, b) => {
      const [low, high] = [percentile(all, Math.min(a, b)), percentile(all, Math.max(a, b))]
      expect(all).toContain(low)
      expect(low).toBeLessThanOrEqual(high)
      expect(all.filter((value) => value > low).length).toBeLessThanOrEqual((1 - Math.min(a, b)) * all.length + 1e-9)
    }),
  )
})

test('the lower end of a rate is below it, grows with the hits, and is low while little was seen', () => {
  // Newcombe, Two-sided confidence intervals for the single proportion (1998), table I: 81 of 263 and 15 of 148.
  expect(rateAtLeast(81, 263)).toBeCloseTo(0.2553, 4)
  expect(rateAtLeast(15, 148)).toBeCloseTo(0.0624, 4)
  expect(rateAtLeast(1, 3)).toBeLessThan(0.07)
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), fc.nat(999), (count, picked) => {
      const hits = picked % count
      expect(rateAtLeast(hits, count)).toBeLessThanOrEqual(hits / count)
      expect(rateAtLeast(hits, count)).toBeGreaterThanOrEqual(0)
      expect(rateAtLeast(hits + 1, count)).toBeGreaterThan(rateAtLeast(hits, count))
    }),
  )
})

test('durations are spelled in the unit that people would take', () => {
  const spelledOut = ['0 ms', '999 ms', '1 s', '59.9 s', '1 min 30 s', '59 min 59 s', '1 h 30 min', '24 h']
  expect([0, 999, 1_000, 59_999, 90_500, 3_599_999, 5_400_000, 86_400_000].map(spelled)).toEqual(spelledOut)
})

test('of any run the path is a chain of needs, its parts add up to the run, and no stage took longer', () => {
  const timed = acyclic.chain((stages) =>
    fc.tuple(fc.constant(stages), fc.array(fc.nat(3), { minLength: stages.length, maxLength: stages.length })),
  )
  fc.assert(
    fc.property(timed, (drawn) => {
      const [stages, workMs] = drawn
      const definition = workflow(stages.map(({ id, needs }) => stage(id, { needs })))
      const plan = Object.fromEntries(stages.map(({ id }, at) => [id, [{ workMs: workMs[at]!, waitMs: at % 2 }]]))
      const run = recordedRun(definition, plan)
      const { path, partsMs, totalMs } = createPathFinder(definition)(run)
      for (const [at, id] of path.slice(1).entries())
        expect(stages.find((one) => one.id === id)!.needs).toContain(path[at])
      expect(stages.find(({ id }) => id === path[0])!.needs).toEqual([])
      expect(partsMs.reduce((sum, ms) => sum + ms, 0)).toBe(totalMs)
      expect(totalMs).toBe(run.finishedMs - run.startedMs)
      for (const recorded of run.stages.values()) {
        const { readyMs, endMs } = spanOf(recorded)!
        expect(totalMs).toBeGreaterThanOrEqual(endMs - readyMs)
      }
    }),
  )
})

const diamond = workflow([
  stage('build'),
  stage('unit', { needs: ['build'] }),
  stage('e2e', { needs: ['build'] }),
  stage('ship', { needs: ['unit', 'e2e'] }),
])

test('the path that most completed runs took is answered with its times, waits and retries included', () => {
  const e2eLonger = { e2e: [{ workMs: 4_000, waitMs: 500 }], unit: [{ workMs: 2_000 }] }
  const retried = { e2e: [{ workMs: 4_000, fails: 'unknown' as const }, { workMs: 5_000 }] }
  const unitLonger = { unit: [{ workMs: 60_000 }] }
  const failing = { ship: [{ workMs: 90_000, fails: 'unknown' as const }] }
  const plans = [e2eLonger, e2eLonger, e2eLonger, retried, unitLonger, unitLonger, failing, failing, failing, failing]
  const runs = recordedRuns(diamond, plans.length, (at) => plans[at]!)
  // Seconds: build 1, e2e 4.5 thrice and 4 + 1 + 5 once, ship 1.
  expect(recordedPath(diamond, runs)).toEqual({
    path: ['build', 'e2e', 'ship'],
    runs: 4,
    completedRuns: 6,
    p50Ms: 6_500,
    p95Ms: 12_000,
    stages: [
      { stage: 'build', p50Ms: 1_000, p95Ms: 1_000, shareOfRun: 0.127 },
      { stage: 'e2e', p50Ms: 4_500, p95Ms: 10_000, shareOfRun: 0.746 },
      { stage: 'ship', p50Ms: 1_000, p95Ms: 1_000, shareOfRun: 0.127 },
    ],
  })
})

test('of two paths that as many runs took, the longer one is answered', () => {
  const plans = [{ unit: [{ workMs: 9_000 }] }, { e2e: [{ workMs: 5_000 }] }]
  for (const order of [plans, plans.toReversed()]) {
    const runs = recordedRuns(diamond, 4, (at) => order[at % 2]!)
    expect(recordedPath(diamond, runs)).toMatchObject({ path: ['build', 'unit', 'ship'], runs: 2, completedRuns: 4 })
  }
})

test('there is no path without a run that completed', () => {
  expect(recordedPath(diamond, [])).toBeUndefined()
  expect(recordedPath(diamond, [recordedRun(diamond, { build: [{ workMs: 1, fails: 'unknown' }] })])).toBeUndefined()
})

test('a skipped stage is walked through and not named', () => {
  const run = recordedRun(diamond, { e2e: 'skipped', unit: 'skipped' })
  expect(createPathFinder(diamond)(run)).toEqual({ path: ['build', 'ship'], partsMs: [1_000, 1_000], totalMs: 2_000 })
})

test('a stage that starts on the first success came after that one, whatever ended later', () => {
  const definition = workflow([
    stage('fast'),
    stage('slow'),
    stage('tell', { needs: ['fast', 'slow'], trigger: 'any-success' }),
  ])
  const attempt = (scheduledMs: number, finishedMs: number) => ({
    finishedMs,
    attempts: [{ scheduledMs, startedMs: scheduledMs, finishedMs, ...completed }],
  })
  const completed = { outcome: 'completed', class: null, rule: null, recovery: null } as const
  const stages = new Map([
    ['fast', attempt(0, 10)],
    ['slow', attempt(0, 20)],
    ['tell', attempt(10, 40)],
  ])
  const run: RecordedRun = { status: 'completed', startedMs: 0, finishedMs: 40, stages }
  expect(createPathFinder(definition)(run)).toEqual({ path: ['fast', 'tell'], partsMs: [10, 30], totalMs: 40 })
})
