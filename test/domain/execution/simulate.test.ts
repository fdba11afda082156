import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import { executionDecider } from '../../../src/domain/execution/decide.ts'
import type { ExecutionEvent } from '../../../src/domain/execution/events.ts'
import { recordingOf } from '../../../src/domain/execution/recording.ts'
import { simulate } from '../../../src/domain/execution/simulate.ts'
import { type Execution, isOpen, stageOf } from '../../../src/domain/execution/state.ts'
import type { RecordedEvent } from '../../../src/domain/message.ts'
import type { CompiledStage, CompiledWorkflow } from '../../../src/domain/workflow/definition.ts'
import { later, stage, start, workflow } from '../../support/executions.ts'

/** How an attempt goes: what it reports, and after how long. */
type Fate = { readonly kind: 'complete' | 'fail' | 'lose'; readonly ms: number }
type Recorded = readonly RecordedEvent<ExecutionEvent>[]

/** Runs a definition with the fates in turn, the attempt that ends first going first, and records what came of it. */
function record(definition: CompiledWorkflow, fates: readonly Fate[]): { events: Recorded; state: Execution } {
  const events: ExecutionEvent[] = []
  const recorded: unknown[] = []
  let state: Execution = executionDecider.initialState
  const planned: { ms: number; command: ExecutionCommand }[] = []
  let taken = 0
  const apply = (command: ExecutionCommand, ms: number): void => {
    for (const event of executionDecider.decide(command, state)) {
      state = executionDecider.evolve(state, event)
      events.push(event)
      recorded.push({ ...event, at: later(ms), stream: 'execution-x', revision: events.length - 1 })
      if (event.type === 'StageRetried') {
        const { stage: id, attempt, dueAt } = event.data
        const dueMs = Date.parse(dueAt) - Date.parse(later(0))
        planned.push({ ms: dueMs, command: { type: 'RetryStage', by: 'timer', stage: id, attempt, at: dueAt } })
      }
      if (event.type === 'StageScheduled') {
        const { stage: id, attempt } = event.data
        const { kind, ms: takes } = fates[taken++ % fates.length]!
        const endMs = ms + takes
        const about = { stage: id, attempt, worker: 'w', at: later(endMs) }
        const error = { code: kind === 'lose' ? 'WORKER_LOST' : 'X', message: 'x' }
        planned.push({ ms, command: { type: 'StartStage', ...about, at: later(ms) } })
        if (kind === 'complete') planned.push({ ms: endMs, command: { type: 'CompleteStage', ...about, output: id } })
        else
          planned.push({ ms: endMs, command: { type: kind === 'fail' ? 'FailStage' : 'LoseStage', ...about, error } })
      }
    }
  }
  apply(start(definition), 0)
  for (let step = 0; isOpen(state) && step < 1_000; step++) {
    planned.sort((a, b) => a.ms - b.ms)
    const next = planned.shift()
    if (!next) break
    apply(next.command, next.ms)
  }
  return { events: recorded as Recorded, state }
}

const stages = fc
  .array(
    fc.record({
      needs: fc.array(fc.nat(9), { maxLength: 2 }),
      maxAttempts: fc.integer({ min: 1, max: 3 }),
      trigger: fc.constantFrom('all-success', 'all-done', 'any-failure'),
      extra: fc.constantFrom<Partial<CompiledStage>>(
        {},
        {},
        { continueOnError: true },
        { matrix: { axes: { n: [1, 2, 3] }, maxParallel: 2, failFast: false } },
      ),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((specs) =>
    specs.map(({ needs, maxAttempts, trigger, extra }, index) =>
      stage(`s${index}`, {
        needs: index === 0 ? [] : [...new Set(needs.map((need) => `s${need % index}`))],
        trigger,
        retry: { maxAttempts, backoff: { type: 'fixed', initialMs: 500, maxMs: 500, jitter: 0 } },
        ...extra,
      }),
    ),
  )
const fates = fc.array(
  fc.record({ kind: fc.constantFrom('complete', 'complete', 'fail', 'lose'), ms: fc.integer({ min: 1, max: 5_000 }) }),
  { minLength: 1, maxLength: 12 },
)

describe('a simulation', () => {
  it('of the definition that ran is what was recorded', () => {
    fc.assert(
      fc.property(stages, fates, (list, chosen) => {
        // Nothing in flight is cut off, so every attempt that was made has said what it would do.
        const definition = workflow(list, { onFailure: 'continue' })
        const { events, state } = record(definition, chosen)
        fc.pre(!isOpen(state) && state.status !== 'none')
        const simulated = simulate(definition, {}, recordingOf(events))
        expect(simulated.status).toBe(state.status)
        const statuses = state.stages.map(({ status }, index) => [stageOf(state.run, index).id, status])
        expect(simulated.stages.map(({ stage: id, status }) => [id, status])).toEqual(statuses)
        expect(simulated.retries).toBe(events.filter(({ type }) => type === 'StageRetried').length)
        expect(simulated.durationMs).toBe(Date.parse(events.at(-1)!.at) - Date.parse(later(0)))
        expect(simulated.stages.every(({ assumed }) => !assumed)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  const flaky: readonly Fate[] = [
    { kind: 'fail', ms: 100 },
    { kind: 'complete', ms: 200 },
  ]
  const once = (retries: number) =>
    workflow([
      stage('a', { retry: { maxAttempts: retries, backoff: { type: 'fixed', initialMs: 50, maxMs: 50, jitter: 0 } } }),
    ])

  it('with fewer attempts fails where the run had recovered, and with more recovers where it had failed', () => {
    const recovered = recordingOf(record(once(2), flaky).events)
    expect(simulate(once(2), {}, recovered)).toMatchObject({ status: 'completed', retries: 1, durationMs: 350 })
    expect(simulate(once(1), {}, recovered)).toMatchObject({ status: 'failed', retries: 0, durationMs: 100 })
    const gaveUp = recordingOf(record(once(1), flaky).events)
    // What the second attempt would have done nobody knows.
    expect(simulate(once(2), {}, gaveUp)).toMatchObject({
      status: 'completed',
      stages: [{ stage: 'a', assumed: true }],
    })
  })

  it('ends what now takes longer than its timeout, and stages side by side take the time of the longer', () => {
    const chain = workflow([stage('a'), stage('b', { needs: ['a'] })])
    const recorded = recordingOf(record(chain, [{ kind: 'complete', ms: 2_000 }]).events)
    expect(simulate(chain, {}, recorded)).toMatchObject({ durationMs: 4_000, path: ['a', 'b'] })
    expect(simulate(workflow([stage('a'), stage('b')]), {}, recorded)).toMatchObject({ durationMs: 2_000 })
    const impatient = workflow([stage('a', { timeoutMs: 500 }), stage('b', { needs: ['a'] })])
    expect(simulate(impatient, {}, recorded)).toMatchObject({
      status: 'failed',
      durationMs: 500,
      stages: [{ status: 'failed' }, { status: 'skipped' }],
    })
  })
})
