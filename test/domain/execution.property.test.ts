import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../src/domain/execution/commands.ts'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import type { ExecutionEvent } from '../../src/domain/execution/events.ts'
import { backoffMs, lostDelayMs, MAX_LOST_ATTEMPTS, seedOf } from '../../src/domain/execution/failure.ts'
import { type Execution, hasEnded, isOpen, type OpenExecution } from '../../src/domain/execution/state.ts'
import { Rejected } from '../../src/domain/rejected.ts'
import type { CompiledStage, Trigger } from '../../src/domain/workflow/definition.ts'
import { later, stage, start, workflow } from '../support/executions.ts'

const triggers: Trigger[] = ['all-success', 'all-done', 'any-success', 'any-failure']

/** An acyclic graph: each stage may need any of those before it. */
const stages = fc
  .array(
    fc.record({
      needs: fc.array(fc.nat(20), { maxLength: 4 }),
      trigger: fc.constantFrom(...triggers),
      maxAttempts: fc.integer({ min: 1, max: 3 }),
      kind: fc.constantFrom('shell', 'shell', 'shell', 'wait', 'conditional', 'broken'),
    }),
    { minLength: 1, maxLength: 9 },
  )
  .map((specs) =>
    specs.map(({ needs, trigger, maxAttempts, kind }, index): CompiledStage => {
      const before = index === 0 ? [] : [...new Set(needs.map((n) => `s${n % index}`))]
      const backoff = { type: 'fixed', initialMs: 1_000, maxMs: 1_000, jitter: 0.5 } as const
      return stage(`s${index}`, {
        needs: before,
        trigger,
        retry: { maxAttempts, backoff },
        ...(kind === 'wait' ? { uses: 'wait', with: { duration: '1m' } } : {}),
        ...(kind === 'conditional' ? { when: 'input.yes' } : {}),
        ...(kind === 'broken' ? { with: { run: 'true', env: { X: '${{ input.nowhere }}' } } } : {}),
      })
    }),
  )

const definitions = fc
  .record({ stages, onFailure: fc.constantFrom('fail-fast' as const, 'continue' as const) })
  .map(({ stages: list, onFailure }) => workflow(list, { onFailure }))

/** What the world may do next, right or wrong: the choice is made again on the state of the moment. */
type Move = { readonly kind: number; readonly pick: number; readonly stale: boolean }
const moves = fc.array(fc.record({ kind: fc.nat(99), pick: fc.nat(1_000), stale: fc.boolean() }), { maxLength: 60 })

function commandFor(move: Move, state: OpenExecution, atMs: number): ExecutionCommand {
  const at = later(atMs)
  const going = state.stages.flatMap((s, index) => (hasEnded(s) || s.status === 'blocked' ? [] : [index]))
  const index =
    going.length > 0 && move.pick % 10 > 0 ? going[move.pick % going.length]! : move.pick % state.stages.length
  const now = state.stages[index]!
  const id = state.run.definition.stages[index]!.id
  const attempt = ('attempt' in now ? now.attempt : 1) + (move.stale && move.pick % 7 === 0 ? 1 : 0)
  const worker = now.status === 'running' && !(move.stale && move.pick % 5 === 0) ? now.worker : `w${move.pick % 2}`
  const about = { stage: id, attempt, worker, at }
  if (move.kind < 25) return { type: 'StartStage', ...about }
  if (move.kind < 50) return { type: 'CompleteStage', ...about, output: { n: move.pick } }
  if (move.kind < 62)
    return { type: 'FailStage', ...about, error: { code: 'X', message: 'x', retryable: move.pick % 4 > 0 } }
  if (move.kind < 68) return { type: 'LoseStage', ...about, error: { code: 'WORKER_LOST', message: 'x' } }
  if (move.kind < 74) return { type: 'StopStage', ...about }
  if (move.kind < 84) return { type: 'RetryStage', by: 'timer', stage: id, attempt, at }
  if (move.kind < 88) return { type: 'RetryStage', by: 'person', stage: id, at }
  if (move.kind < 96) return { type: 'WakeStage', stage: id, attempt, at }
  return move.kind < 98 ? { type: 'CancelExecution', reason: 'enough', at } : { type: 'TimeOutExecution', at }
}

type Step = {
  readonly command: ExecutionCommand
  readonly before: Execution
  readonly events: readonly ExecutionEvent[]
}

/** Plays moves on a run; every event is folded once, and again from nothing at the end. */
function play(definition: ReturnType<typeof workflow>, chosen: readonly Move[]): { steps: Step[]; state: Execution } {
  const steps: Step[] = []
  let state = executionDecider.initialState
  let atMs = 0
  const apply = (command: ExecutionCommand): void => {
    const before = state
    try {
      const events = executionDecider.decide(command, state)
      state = events.reduce(executionDecider.evolve, state)
      steps.push({ command, before, events })
    } catch (error) {
      if (!(error instanceof Rejected)) throw error
      steps.push({ command, before, events: [] })
    }
  }
  apply(start(definition, { input: { yes: chosen.length % 2 === 0 } }))
  for (const move of chosen) {
    atMs += move.pick % 2_000
    if (!isOpen(state)) break
    apply(commandFor(move, state, atMs))
  }
  return { steps, state }
}

const allEvents = (steps: readonly Step[]): ExecutionEvent[] => steps.flatMap(({ events }) => events)
const isTerminal = ({ type }: ExecutionEvent): boolean =>
  type === 'ExecutionCompleted' || type === 'ExecutionFailed' || type === 'ExecutionCancelled'

function checkRun(definition: ReturnType<typeof workflow>, steps: readonly Step[], state: Execution): void {
  const events = allEvents(steps)
  // 6, 7: started once and first; nothing after the end.
  expect(events.map(({ type }) => type).lastIndexOf('ExecutionStarted')).toBe(0)
  expect(events.slice(0, -1).some(isTerminal)).toBe(false)
  // 10: nothing is scheduled once its end was asked for.
  const asked = events.findIndex(({ type }) => type === 'ExecutionCancellationRequested')
  if (asked >= 0) expect(events.slice(asked).some(({ type }) => type === 'StageScheduled')).toBe(false)
  for (const { id, retry } of definition.stages) checkStage(id, retry.maxAttempts, events)
  // 8 in the small: a run is over exactly when all its stages are.
  expect(isOpen(state)).toBe(!(state.status !== 'none' && state.stages.every(hasEnded)))
  // 22: completed means every stage completed or skipped; failed has a cause.
  if (state.status === 'completed')
    expect(state.stages.every(({ status }) => status === 'completed' || status === 'skipped')).toBe(true)
  if (state.status === 'failed') {
    const last = events.at(-1) as ExecutionEvent & { type: 'ExecutionFailed' }
    expect(['STAGE_FAILED', 'EXECUTION_TIMED_OUT']).toContain(last.data.error.code)
  }
}

/** 11 to 14 and 16 for one stage. */
function checkStage(id: string, maxAttempts: number, events: readonly ExecutionEvent[]): void {
  let scheduled = 0
  let open = false
  let dueAt: string | undefined
  let free = 0
  for (const event of events) {
    if (!('stage' in event.data) || event.data.stage !== id) continue
    if (event.type === 'StageScheduled') {
      expect(open).toBe(false)
      expect(event.data.attempt).toBe(scheduled + 1)
      if (scheduled > 0) expect(dueAt).toBeDefined()
      scheduled++
      dueAt = undefined
      open = true
    } else if (event.type === 'StageRetried') {
      dueAt = event.data.dueAt
      if (event.data.reason === 'lost') free++
    } else if (event.type !== 'StageSkipped' && 'attempt' in event.data && event.data.attempt > 0) {
      expect(event.data.attempt).toBe(scheduled)
      if (event.type !== 'StageStarted' && event.type !== 'StageCancelled') expect(open).toBe(true)
      if (event.type !== 'StageStarted') open = false
    }
  }
  expect(scheduled).toBeLessThanOrEqual(maxAttempts + free)
  expect(free).toBeLessThanOrEqual(MAX_LOST_ATTEMPTS)
}

describe('any run, whatever the world does', () => {
  it('keeps the invariants, folds to the same state again, and decides the same again', () => {
    let ended = 0
    fc.assert(
      fc.property(definitions, moves, (definition, chosen) => {
        const { steps, state } = play(definition, chosen)
        checkRun(definition, steps, state)
        const stored = JSON.parse(JSON.stringify(allEvents(steps))) as ExecutionEvent[]
        const folded = stored.reduce(executionDecider.evolve, executionDecider.initialState)
        expect(JSON.stringify(folded)).toBe(JSON.stringify(state))
        // 32: the recorded commands, decided again, give the recorded events.
        for (const { command, before, events } of steps)
          if (events.length > 0) expect(executionDecider.decide(command, before)).toEqual(events)
        if (!isOpen(state)) ended++
      }),
      { numRuns: 3_000 },
    )
    // An all-rejected run would keep every invariant, too.
    expect(ended).toBeGreaterThan(500)
  })

  it('can always come to its end', () => {
    fc.assert(
      fc.property(definitions, moves, (definition, chosen) => {
        let { state } = play(definition, chosen)
        for (let guard = 0; isOpen(state); guard++) {
          expect(guard).toBeLessThan(200)
          const command = helpful(state, guard)
          state = executionDecider.decide(command, state).reduce(executionDecider.evolve, state)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('is repeated without news: a report twice in a row adds nothing', () => {
    fc.assert(
      fc.property(definitions, moves, (definition, chosen) => {
        const { steps } = play(definition, chosen)
        for (const { command, before, events } of steps) {
          const after = events.reduce(executionDecider.evolve, before)
          if (events.length === 0 || command.type === 'RetryStage') continue
          const again = () => executionDecider.decide(command, after)
          let news: readonly ExecutionEvent[] = []
          try {
            news = again()
          } catch (error) {
            expect(error).toBeInstanceOf(Rejected)
          }
          expect(news).toEqual([])
        }
      }),
      { numRuns: 1_000 },
    )
  })
})

/** The next thing that a healthy world would do. */
function helpful({ stages: list, run }: OpenExecution, turn: number): ExecutionCommand {
  const index = list.findIndex((s) => !hasEnded(s) && s.status !== 'blocked')
  expect(index, 'a run is open and nothing of it goes on').toBeGreaterThanOrEqual(0)
  const now = list[index]!
  const id = run.definition.stages[index]!.id
  const at = later(1e9 + turn * 1e6)
  if (now.status === 'waiting') return { type: 'WakeStage', stage: id, attempt: now.attempt, at }
  if (now.status === 'retrying') return { type: 'RetryStage', by: 'timer', stage: id, attempt: now.attempt, at }
  if (now.status !== 'scheduled' && now.status !== 'running') throw new Error(`${id} is ${now.status}`)
  const worker = now.status === 'running' ? now.worker : 'w'
  return { type: 'CompleteStage', stage: id, attempt: now.attempt, worker, output: null, at }
}

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
