import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { violations } from '../../src/checker/violations.ts'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import { backoffMs, lostDelayMs, seedOf } from '../../src/domain/execution/failure.ts'
import { restore } from '../../src/domain/execution/restore.ts'
import { type Execution, hasEnded, isOpen, type OpenExecution } from '../../src/domain/execution/state.ts'
import { asRecorded } from '../support/as-recorded.ts'
import { start } from '../support/executions.ts'
import { decided, definitions, finish, moves, play, type Step } from '../support/random-runs.ts'

const RUNS = Number(process.env.PROPERTY_RUNS ?? 10_000)
const seed = Number(process.env.PROPERTY_SEED ?? Date.now() % 2 ** 31)

/** `StageRestored` is missing: how runs are restored has tests of its own. */
const TYPES = [
  ...['ExecutionStarted', 'ExecutionPaused', 'ExecutionResumed', 'ExecutionCancellationRequested'],
  ...['ExecutionCompleted', 'ExecutionFailed', 'ExecutionCancelled', 'CompensationStarted', 'SignalReceived'],
  ...['StageScheduled', 'StageStarted', 'StageCheckpointed', 'StageCompleted', 'StageFailed', 'StageAbandoned'],
  ...['StageRetried', 'StageSkipped', 'StageCancelled', 'StagesGenerated'],
  ...['ApprovalRequested', 'ApprovalGranted', 'ApprovalRejected'],
]

/** What the state counts along the way is what there is. */
function checkBooks(state: Execution): void {
  if (!isOpen(state)) return
  const { run, stages } = state
  expect(state.open).toBe(stages.filter((one) => !hasEnded(one)).length)
  for (const [index, one] of stages.entries()) {
    const needs = run.graph.needsOf(index).filter((need) => !hasEnded(stages[need]!))
    if (one.status === 'blocked' && one.pending !== needs.length) expect(one.pending).toBe(needs.length)
    if (one.status !== 'expanded') continue
    expect(one.open).toBe(one.children.filter((child) => !hasEnded(stages[child]!)).length)
  }
}

/** 32: the recorded commands, decided again, give the recorded events; and a command twice in a row adds nothing. */
function checkAgain({ command, before, events, after }: Step): void {
  if (events.length === 0) return
  expect(executionDecider.decide(command, before)).toEqual(events)
  // What is refused may fall back, and what that asks of the pool is refused as well.
  const mayDoMore = ['RetryStage', 'ResumeExecution', 'RefuseStage'].includes(command.type)
  if (!mayDoMore) expect(decided(command, after).events).toEqual([])
}

const accusations = (steps: readonly Step[]) =>
  violations(asRecorded(steps.filter(({ events }) => events.length > 0)), { withoutPools: true })

/** The whole course of a run that is accused, a line for each command. */
const told = (steps: readonly Step[]): string[] =>
  steps
    .filter(({ events }) => events.length > 0)
    .map(({ command, events }) => {
      const of = (data: object) => ['stage', 'parent', 'attempt', 'recovery', 'reason'].map((key) => data[key as never])
      const lines = events.map(({ type, data }) => `  ${type} ${of(data).filter(Boolean).join(' ')}`)
      return [`${command.type} ${'stage' in command ? command.stage : ''}`, ...lines].join('\n')
    })

describe('any run, whatever the world does', () => {
  it(`keeps the invariants and can come to its end (PROPERTY_SEED=${seed})`, { timeout: 120_000 }, () => {
    console.log(`PROPERTY_SEED=${seed}`)
    const seen = new Map<string, number>()
    const property = fc.property(definitions, moves, (definition, chosen) => {
      const played = play(definition, chosen)
      const steps = [
        ...played,
        ...finish(played.at(-1)!.after, (['kind', 'unkind', 'late'] as const)[chosen.length % 3]!),
      ]
      const faults = accusations(steps)
      if (faults.length > 0) expect.fail([...faults, ...told(steps)].join('\n'))
      for (const { after } of steps) checkBooks(after)
      for (const step of played) checkAgain(step)
      const stored = JSON.parse(JSON.stringify(steps.flatMap(({ events }) => events))) as Step['events']
      const folded = stored.reduce(executionDecider.evolve, executionDecider.initialState)
      expect(JSON.stringify(folded)).toBe(JSON.stringify(steps.at(-1)!.after))
      for (const { type } of steps.flatMap(({ events }) => events)) seen.set(type, (seen.get(type) ?? 0) + 1)
    })
    fc.assert(property, { numRuns: RUNS, seed })
    // A run in which nothing happens would keep every invariant, too.
    expect(TYPES.filter((type) => (seen.get(type) ?? 0) < RUNS / 200)).toEqual([])
  })
})

describe('any run that is restored from any place', () => {
  it(`does nothing again that had completed, and comes to its end (PROPERTY_SEED=${seed})`, { timeout: 60_000 }, () => {
    let kept = 0
    const property = fc.property(definitions, moves, fc.nat(), (definition, chosen, place) => {
      const open = play(definition, chosen).filter(({ after }) => isOpen(after))
      if (open.length === 0) return
      const until = open.slice(0, 1 + (place % open.length))
      const state = until.at(-1)!.after as OpenExecution
      const generated = until.flatMap(({ events }) => events.filter((event) => event.type === 'StagesGenerated'))
      const { restored, definition: again } = restore({ state, generated }, undefined, {})
      const first = decided(start(again, { restored, input: state.run.input }), executionDecider.initialState)
      const steps = [first, ...finish(first.after, 'unkind')]
      const faults = accusations(steps)
      if (faults.length > 0) expect.fail([...faults, ...told(until), '---', ...told(steps)].join('\n'))
      kept += restored.filter(({ type, data }) => type === 'StageRestored' && data.as === 'completed').length
    })
    fc.assert(property, { numRuns: RUNS / 4, seed })
    expect(kept).toBeGreaterThan(RUNS / 40)
  })
})

describe('the time before a retry', () => {
  const backoffs = fc.record({
    type: fc.constantFrom('fixed' as const, 'linear' as const, 'exponential' as const),
    initialMs: fc.integer({ min: 0, max: 1e7 }),
    maxMs: fc.integer({ min: 0, max: 1e9 }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  it('is finite, not negative, at most the limit and its jitter, and the same for the same seed', () => {
    fc.assert(
      fc.property(backoffs, fc.integer({ min: 1, max: 10_000 }), fc.string(), (backoff, failed, text) => {
        const seed = seedOf(text)
        expect(seed).toBeGreaterThanOrEqual(0)
        expect(seed).toBeLessThan(1)
        const ms = backoffMs({ maxAttempts: 1, backoff }, failed, seed)
        expect(Number.isSafeInteger(ms)).toBe(true)
        expect(ms).toBeGreaterThanOrEqual(0)
        expect(ms).toBeLessThanOrEqual(Math.round(backoff.maxMs * (1 + backoff.jitter)))
        expect(backoffMs({ maxAttempts: 1, backoff }, failed, seedOf(text))).toBe(ms)
      }),
    )
  })
  it('grows as its type says', () => {
    const of = (type: 'fixed' | 'linear' | 'exponential', n: number) =>
      backoffMs({ maxAttempts: 9, backoff: { type, initialMs: 100, maxMs: 1_000, jitter: 0 } }, n, 0.9)
    expect([1, 2, 3, 4, 5].map((n) => of('fixed', n))).toEqual([100, 100, 100, 100, 100])
    expect([1, 2, 3, 4, 11].map((n) => of('linear', n))).toEqual([100, 200, 300, 400, 1_000])
    expect([1, 2, 3, 4, 5].map((n) => of('exponential', n))).toEqual([100, 200, 400, 800, 1_000])
    expect([0, 1, 2, 3, 4, 5, 9].map(lostDelayMs)).toEqual([0, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000])
  })
})
