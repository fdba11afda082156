// What follows from a stage's end: which stages become ready, which never will, and when the run is over.
import { boundedText } from '../bounded-text.ts'
import type { Json } from '../message.ts'
import { resolvedInputs } from '../workflow/builtin-inputs.ts'
import type { ExecutionEvent, Recovery, StageError } from './events.ts'
import { ExpressionFailed, type ExpressionScope, evaluateCondition } from './expression.ts'
import { classify } from './failure.ts'
import { evolve, hasEnded, isOpen, type OpenExecution, type StageState, stageOf } from './state.ts'
import { resolveValues } from './template.ts'

/** A decision in the making: the events so far and the state that they lead to. */
export class Draft {
  readonly events: ExecutionEvent[] = []
  readonly at: string
  state: OpenExecution
  #ended = false

  constructor(state: OpenExecution, at: string) {
    this.state = state
    this.at = at
  }

  emit(event: ExecutionEvent): void {
    if (this.#ended) throw new Error(`${event.type} would come after the end of the run`)
    this.events.push(event)
    const next = evolve(this.state, event)
    if (isOpen(next)) this.state = next
    else this.#ended = true
  }
}

/** Schedules every stage that needs none, and what follows where those are skipped. */
export function begin(draft: Draft): void {
  const { run } = draft.state
  const ended: number[] = []
  run.definition.stages.forEach((stage, index) => {
    // One that fails at once may have ended those after it.
    if (stage.needs.length > 0 || draft.state.stages[index]!.status !== 'blocked') return
    const starts = stage.trigger === 'all-success' || stage.trigger === 'all-done'
    if (starts) ended.push(...startStage(draft, index))
    else {
      draft.emit({
        type: 'StageSkipped',
        data: { stage: stage.id, reason: 'trigger', detail: `${stage.trigger} over no needs` },
      })
      ended.push(index)
    }
  })
  settle(draft, ended)
}

/** Follows the ends of stages through the graph, then ends the run if nothing of it is open any more. */
export function settle(draft: Draft, ended: readonly number[]): void {
  const queue = [...ended]
  for (let index = queue.pop(); index !== undefined; index = queue.pop()) {
    if (draft.state.status === 'cancelling') continue
    queue.push(...dependentsAfter(draft, index))
  }
  end(draft)
}

/** Ends a stage as failed and, under `fail-fast`, everything that is not under way already. */
export function fail(draft: Draft, index: number, attempt: number, error: StageError): number[] {
  const { run, status, failing } = draft.state
  // Once a run is failing, what still runs is there for its sake: one clean-up that fails does not end the others.
  const goesOn = status === 'running' && (failing || run.definition.onFailure === 'continue')
  const recovery: Recovery = goesOn ? 'continue' : 'fail-fast'
  draft.emit({
    type: 'StageFailed',
    data: { stage: stageOf(run, index).id, attempt, error, ...classify(error), recovery },
  })
  const ended = [index]
  if (recovery === 'fail-fast' && !failing && status === 'running')
    ended.push(...failFast(draft, stageOf(run, index).id))
  return ended
}

function failFast(draft: Draft, cause: string): number[] {
  const detail = `${cause} failed`
  const ended: number[] = []
  draft.state.stages.forEach((state, index) => {
    const stage = stageOf(draft.state.run, index)
    if (state.status === 'blocked') {
      if (stage.trigger === 'all-done' || stage.trigger === 'any-failure') return
      draft.emit({ type: 'StageSkipped', data: { stage: stage.id, reason: 'fail-fast', detail } })
    } else if (!cancelIdle(draft, index, state, detail)) return
    ended.push(index)
  })
  return ended
}

/** Cancels a stage of which nothing runs; false when something does, or it has ended. */
function cancelIdle(draft: Draft, index: number, state: StageState, reason: string): boolean {
  if (state.status !== 'scheduled' && state.status !== 'waiting' && state.status !== 'retrying') return false
  // The attempt of a stage that is `retrying` has not been scheduled, so the one before is the one that is cancelled.
  const attempt = state.status === 'retrying' ? state.attempt - 1 : state.attempt
  draft.emit({ type: 'StageCancelled', data: { stage: stageOf(draft.state.run, index).id, attempt, reason } })
  return true
}

function dependentsAfter(draft: Draft, index: number): number[] {
  const ended: number[] = []
  for (const dependent of draft.state.run.graph.dependentsOf(index)) {
    const state = draft.state.stages[dependent]!
    if (state.status !== 'blocked') continue
    const verdict = judge(draft, index, dependent, state.pending)
    if (verdict === 'start') ended.push(...startStage(draft, dependent))
    else if (verdict !== 'wait') {
      const { id } = stageOf(draft.state.run, dependent)
      draft.emit({ type: 'StageSkipped', data: { stage: id, reason: 'trigger', detail: verdict.skip } })
      ended.push(dependent)
    }
  }
  return ended
}

/** Whether a blocked stage starts, waits on or never starts, now that the need at `index` has ended. Looks at no other need. */
function judge(draft: Draft, index: number, dependent: number, pending: number): 'start' | 'wait' | { skip: string } {
  const { run, stages } = draft.state
  const need = stages[index]!
  const said = `${stageOf(run, index).id} is ${need.status}`
  const { trigger } = stageOf(run, dependent)
  switch (trigger) {
    case 'all-success':
      if (!succeeded(need)) return { skip: said }
      return pending === 0 ? 'start' : 'wait'
    case 'all-done':
      return pending === 0 ? 'start' : 'wait'
    case 'any-success':
      if (succeeded(need)) return 'start'
      return pending === 0 ? { skip: 'no need succeeded' } : 'wait'
    case 'any-failure':
      if (need.status === 'failed') return 'start'
      return pending === 0 ? { skip: 'no need failed' } : 'wait'
  }
}

/** A stage skipped by its own condition stands in nobody's way. */
const succeeded = (stage: StageState): boolean =>
  stage.status === 'completed' || (stage.status === 'skipped' && stage.reason === 'condition')

/** Schedules the first attempt, or skips the stage where its condition does not hold; answers what has ended by that. */
function startStage(draft: Draft, index: number): number[] {
  const stage = stageOf(draft.state.run, index)
  if (stage.when === undefined) return schedule(draft, index, 1)
  try {
    if (evaluateCondition(stage.when, scopeOf(draft.state))) return schedule(draft, index, 1)
  } catch (error) {
    return failedExpression(draft, index, 0, error)
  }
  draft.emit({ type: 'StageSkipped', data: { stage: stage.id, reason: 'condition', detail: stage.when } })
  return [index]
}

/** Schedules an attempt with its values resolved; answers the stage where a value has no answer. */
export function schedule(draft: Draft, index: number, attempt: number): number[] {
  const { run } = draft.state
  const stage = stageOf(run, index)
  try {
    const input = resolveValues(stage.with, scopeOf(draft.state)) as { [key: string]: Json }
    if (input !== stage.with) assertBounded(input)
    const { id, queue, uses: handler, timeoutMs } = stage
    const wake: Wake = handler === 'wait' ? wakeTime(input, draft.at) : {}
    if ('invalid' in wake)
      return fail(draft, index, attempt - 1, { code: 'INPUT_INVALID', message: wake.invalid, retryable: false })
    draft.emit({
      type: 'StageScheduled',
      data: {
        stage: id,
        attempt,
        queue,
        handler,
        input,
        timeoutMs,
        priority: run.priority,
        ...wake,
      },
    })
    return []
  } catch (error) {
    return failedExpression(draft, index, attempt - 1, error)
  }
}

/** Values of earlier stages can add up; an event has a limit, and this leaves room for what goes into the log with it. */
const MAX_INPUT_LENGTH = 262_144

function assertBounded(input: { readonly [key: string]: Json }): void {
  const { length } = JSON.stringify(input)
  if (length <= MAX_INPUT_LENGTH) return
  const reason = `its values make an input of ${length} characters, the limit is ${MAX_INPUT_LENGTH}`
  throw new ExpressionFailed(Object.keys(input).join(', '), reason)
}

function failedExpression(draft: Draft, index: number, attempt: number, error: unknown): number[] {
  if (!(error instanceof ExpressionFailed)) throw error
  return fail(draft, index, attempt, { code: 'EXPRESSION_FAILED', message: error.message, retryable: false })
}

type Wake = { readonly wakeAt?: string } | { readonly invalid: string }

/** The end of a wait, or what is wrong with its values. Says where that is, never what stands there: it may be a secret. */
function wakeTime(input: { readonly [key: string]: Json }, at: string): Wake {
  const { data, error } = resolvedInputs.wait.safeParse(input)
  if (error) {
    const faults = error.issues.map(({ path, message }) => `${['with', ...path].join('.')}: ${message}`)
    return { invalid: boundedText(faults.join('; '), 4_096) }
  }
  const { duration = 0, until = Date.parse(at) + duration } = data
  return { wakeAt: new Date(until).toISOString() }
}

/** `stages` is made only when an expression asks for it: most stages have none, and it costs as much as the graph is large. */
function scopeOf({ run, stages }: OpenExecution): ExpressionScope {
  const { executionId: id, workflow, version, namespace, input } = run
  return {
    input,
    execution: { id, workflow, version, namespace },
    get stages() {
      const states = stages.map((state, index) => [
        stageOf(run, index).id,
        { status: state.status, output: state.status === 'completed' ? state.output : null },
      ])
      return Object.fromEntries(states)
    },
  }
}

function end(draft: Draft): void {
  const { state } = draft
  if (state.open > 0) return
  const ids = (status: StageState['status']) =>
    state.stages.flatMap((stage, index) => (stage.status === status ? [stageOf(state.run, index).id] : []))
  const failed = ids('failed')
  if (state.status === 'cancelling') {
    const { reason, outcome } = state
    if (outcome === 'cancelled') draft.emit({ type: 'ExecutionCancelled', data: { reason } })
    else {
      const error = { code: 'EXECUTION_TIMED_OUT', message: reason, stages: ids('cancelled') }
      draft.emit({ type: 'ExecutionFailed', data: { error } })
    }
  } else if (failed.length > 0) {
    const error = { code: 'STAGE_FAILED', message: `failed: ${failed.join(', ')}`, stages: failed }
    draft.emit({ type: 'ExecutionFailed', data: { error } })
  } else draft.emit({ type: 'ExecutionCompleted', data: { stages: ids('completed').length } })
}

/** Asks an open run to end: what is idle ends now, what runs is asked to stop and ends with its report. */
export function requestEnd(draft: Draft, reason: string, outcome: 'cancelled' | 'failed'): void {
  draft.emit({ type: 'ExecutionCancellationRequested', data: { reason, outcome } })
  draft.state.stages.forEach((state, index) => {
    if (hasEnded(state) || cancelIdle(draft, index, state, reason) || state.status === 'running') return
    draft.emit({ type: 'StageCancelled', data: { stage: stageOf(draft.state.run, index).id, attempt: 0, reason } })
  })
  end(draft)
}
