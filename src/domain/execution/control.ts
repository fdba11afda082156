// What people ask of a run and its stages, and what its time asks.
import type { Json } from '../message.ts'
import { Rejected } from '../rejected.ts'
import { beginReady, requestEnd, settle } from './advance.ts'
import type { ControlCommand } from './commands.ts'
import { Draft } from './draft.ts'
import type { ExecutionEvent } from './events.ts'
import { findStage, requireGoing, requireOpen } from './find.ts'
import { requireInput } from './given-input.ts'
import { abandon as giveUp } from './recover.ts'
import {
  type Execution,
  hasEnded,
  hasSucceeded,
  isOpen,
  isStopped,
  type OpenExecution,
  type StageState,
  stageOf,
} from './state.ts'

type Of<T extends ControlCommand['type']> = Extract<ControlCommand, { type: T }>

/** Nothing new starts; what runs finishes, and the run's own time stands still. */
export function pause({ reason, at }: Of<'PauseExecution'>, state: Execution): readonly ExecutionEvent[] {
  const open = requireGoing(state)
  if (open.status === 'paused') return []
  if (open.status === 'queued')
    throw new Rejected('EXECUTION_QUEUED', 'nothing of the execution has begun: it waits for its concurrency group')
  const remainingMs = Math.max(Date.parse(open.timeoutAt) - Date.parse(at), 0)
  return [{ type: 'ExecutionPaused', data: { reason, remainingMs } }]
}

export function resume({ reason, at }: Of<'ResumeExecution'>, state: Execution): readonly ExecutionEvent[] {
  const open = requireGoing(state)
  if (open.status !== 'paused') return []
  const draft = new Draft(open, at)
  const timeoutAt = new Date(Date.parse(at) + open.remainingMs).toISOString()
  draft.emit({ type: 'ExecutionResumed', data: { reason, timeoutAt } })
  beginReady(draft)
  settle(draft)
  return draft.events
}

export function cancel({ reason, at }: Of<'CancelExecution'>, state: Execution): readonly ExecutionEvent[] {
  if (state.status === 'cancelled' || state.status === 'cancelling') return []
  const draft = new Draft(requireOpen(state), at)
  requestEnd(draft, reason, 'cancelled')
  settle(draft)
  return draft.events
}

export function timeOut({ at }: Of<'TimeOutExecution'>, state: Execution): readonly ExecutionEvent[] {
  if (state.status !== 'running' || state.timeoutAt > at) return []
  // What undoes the run has its own time, as it has where the timeout was what the run failed of.
  if (state.stages.some((_, index) => stageOf(state.run, index).compensates !== undefined)) return []
  const draft = new Draft(state, at)
  requestEnd(draft, `the run took longer than ${state.run.definition.timeoutMs} ms`, 'failed')
  settle(draft)
  return draft.events
}

export function retry(command: Of<'RetryStage'>, state: Execution): readonly ExecutionEvent[] {
  const { index, stage } = findStage(command.stage, state)
  if (command.by === 'timer') {
    // The timer may be late, early or double; only the attempt that is due now concerns anybody.
    const due = stage.status === 'retrying' && stage.attempt === command.attempt && stage.dueAt <= command.at
    if (!due || !isOpen(state)) return []
  }
  const draft = new Draft(command.by === 'timer' ? requireOpen(state) : requireGoing(state, index), command.at)
  if (command.by === 'person') announce(draft, index, stage, command)
  draft.due.push(index)
  settle(draft)
  return draft.events
}

function announce(draft: Draft, index: number, stage: StageState, command: Of<'RetryStage'> & { by: 'person' }): void {
  const { at: dueAt, comment } = command
  const attempt = nextAttempt(draft.state, index, stage)
  const reopens = stage.status === 'failed' ? skippedBecauseOf(draft, index) : []
  const changed = changedInput(draft, index, command.with)
  if (changed !== undefined) requireInput(draft, index, changed)
  draft.emit({
    type: 'StageRetried',
    data: {
      ...{ stage: command.stage, attempt, dueAt, backoffMs: 0, reason: 'manual' },
      ...(changed === undefined ? {} : { with: changed }),
      ...(reopens.length === 0 ? {} : { reopens }),
      ...(comment === undefined ? {} : { comment }),
    },
  })
}

/** @throws Rejected STAGE_NOT_RETRYABLE */
function nextAttempt({ run, failing, stages }: OpenExecution, index: number, stage: StageState): number {
  const { id, parent, compensates } = run.definition.stages[index]!
  const group = parent === undefined ? undefined : stages[run.graph.indexOf(parent)]
  const ended = failing !== false && compensates === undefined
  if (stage.status === 'retrying' && !ended) return stage.attempt
  if (stage.status === 'waiting' && stage.waits.for === 'person' && !ended) return stage.attempt + 1
  const alone =
    group === undefined || (group.status === 'expanded' && !group.children.some((child) => isStopped(stages[child]!)))
  const generated = stages.some((other, at) => other && run.definition.stages[at]?.parent === id)
  if (stage.status === 'failed' && !ended && alone && !generated && compensates === undefined) return stage.attempt + 1
  const advice = ended
    ? 'the run is failing; restore it once it has ended'
    : 'only a stage that failed or waits to be retried can be'
  throw new Rejected('STAGE_NOT_RETRYABLE', `${id} is ${stage.status}; ${advice}`)
}

/** The stages after it that were skipped because their trigger could not hold any more, and for which it may now. */
function skippedBecauseOf({ state }: Draft, index: number): string[] {
  const { graph } = state.run
  const found = new Set<number>()
  const mayHold = (dependent: number) =>
    stageOf(state.run, dependent).trigger !== 'all-success' ||
    graph.needsOf(dependent).every((need) => {
      const now = state.stages[need]!
      return need === index || found.has(need) || !hasEnded(now) || hasSucceeded(now)
    })
  const queue = [index]
  for (let next = queue.pop(); next !== undefined; next = queue.pop())
    for (const dependent of graph.dependentsOf(next)) {
      const stage = state.stages[dependent]!
      const skipped = stage.status === 'skipped' && stage.reason === 'trigger'
      if (!skipped || found.has(dependent) || !mayHold(dependent)) continue
      found.add(dependent)
      queue.push(dependent)
    }
  return [...found].map((at) => state.run.definition.stages[at]!.id)
}

function changedInput(draft: Draft, index: number, changes: { readonly [key: string]: Json } | undefined) {
  if (changes === undefined) return undefined
  const { fallback, with: own } = draft.stage(index)
  const now = draft.now(index)
  return { ...('fallback' in now && now.fallback && fallback ? fallback.with : own), ...changes }
}

export function skip({ stage: id, reason, at }: Of<'SkipStage'>, state: Execution): readonly ExecutionEvent[] {
  const { index, stage } = findStage(id, state)
  if (stage.status === 'skipped' && stage.reason === 'person') return []
  const draft = new Draft(requireGoing(state, index), at)
  const idle = ['blocked', 'waiting', 'scheduled', 'retrying'].includes(stage.status)
  // What is undone is undone one after another: out of its turn nothing of it is passed over.
  const early = stage.status === 'blocked' && draft.stage(index).compensates !== undefined
  if (!idle || early || draft.isEnding(index))
    throw new Rejected(
      'STAGE_NOT_SKIPPABLE',
      early
        ? `${id} undoes what was done before others; skip it when its turn has come`
        : `${id} is ${stage.status}; only a stage that has not begun or waits can be skipped`,
    )
  draft.emit({ type: 'StageSkipped', data: { stage: id, reason: 'person', detail: reason } })
  draft.ended.push(index)
  settle(draft)
  return draft.events
}

/** The word of a person that a stage which failed and waited for it stays failed. */
export function abandon({ stage: id, reason, at }: Of<'AbandonStage'>, state: Execution): readonly ExecutionEvent[] {
  const { index, stage } = findStage(id, state)
  if (!isOpen(state) || stage.status !== 'waiting' || stage.waits.for !== 'person')
    throw new Rejected('STAGE_NOT_WAITING', `${id} is ${stage.status}; it does not wait for a person's decision`)
  const draft = new Draft(requireGoing(state), at)
  giveUp(draft, index, stage.attempt, reason)
  settle(draft)
  return draft.events
}
