// What workers say of their attempts.
import { Rejected } from '../rejected.ts'
import { settle } from './advance.ts'
import type { StageReport } from './commands.ts'
import { Draft } from './draft.ts'
import type { ExecutionEvent, StageError } from './events.ts'
import { findStage, requireOpen } from './find.ts'
import { validateGraph } from './graph.ts'
import { lose } from './recover.ts'
import { generatedFault } from './schedule.ts'
import { type Execution, type StageState, stageOf } from './state.ts'

export function report(command: StageReport, state: Execution): readonly ExecutionEvent[] {
  const { index, stage } = findStage(command.stage, state)
  if (isRepeat(command, stage)) return []
  const open = requireOpen(state)
  const { attempt } = command
  if ((stage.status !== 'scheduled' && stage.status !== 'running') || stage.attempt !== attempt)
    throw stale(command.stage, attempt, stage)
  if (stage.status === 'running' && command.worker !== undefined && command.worker !== stage.worker)
    throw new Rejected(
      'ATTEMPT_STALE',
      `attempt ${attempt} of ${command.stage} is ${stage.worker}'s, not ${command.worker}'s`,
    )
  const draft = new Draft(open, command.at)
  // A short attempt is reported by its outcome alone: that it started is then part of the same news.
  if (stage.status === 'scheduled' && command.worker !== undefined) {
    const execution = command.type === 'StartStage' ? command.execution : undefined
    draft.emit({
      type: 'StageStarted',
      data: {
        ...{ stage: command.stage, attempt, worker: command.worker, timeoutMs: timeoutOf(draft, index) },
        ...(execution === undefined ? {} : { execution }),
      },
    })
  }
  take(draft, command, index)
  settle(draft)
  return draft.events
}

function timeoutOf(draft: Draft, index: number): number {
  const now = draft.now(index)
  const stage = stageOf(draft.state.run, index)
  return ('fallback' in now && now.fallback ? (stage.fallback ?? stage) : stage).timeoutMs
}

function take(draft: Draft, command: StageReport, index: number): void {
  const { stage, attempt } = command
  switch (command.type) {
    case 'StartStage':
      return
    case 'CheckpointStage':
      draft.emit({
        type: 'StageCheckpointed',
        data: { stage, attempt, sequence: command.sequence, state: command.state },
      })
      return
    case 'CompleteStage':
      complete(draft, command, index)
      return
    case 'StopStage':
      stop(draft, index, attempt)
      return
    case 'FailStage':
      draft.failed.push({ index, attempt, error: command.error })
      return
    case 'LoseStage':
      lose(draft, index, attempt, command.error)
  }
}

function complete(draft: Draft, command: StageReport & { type: 'CompleteStage' }, index: number): void {
  const { stage, attempt, output, stages = [] } = command
  if (stages.length === 0) {
    draft.emit({ type: 'StageCompleted', data: { stage, attempt, output } })
    draft.ended.push(index)
    return
  }
  if (draft.isEnding(index)) {
    // What it was to go on as will not start any more, and would keep the run from its end.
    stop(draft, index, attempt)
    return
  }
  const undoes = draft.stage(index).compensates !== undefined ? 'what undoes a run goes on as no others' : undefined
  const message = undoes ?? validateGraph(stages)[0]?.message ?? generatedFault(draft, stages)
  if (message === undefined) {
    const children = stages.map((child) => ({ ...child, parent: stage }))
    draft.emit({ type: 'StagesGenerated', data: { parent: stage, attempt, output, stages: children } })
    draft.expanded.push(index)
    return
  }
  draft.failed.push({ index, attempt, error: { code: 'GENERATED_INVALID', message, retryable: false } })
}

/** An attempt that nobody asked to stop is made again, like one that was lost. */
const STOPPED_UNASKED: StageError = { code: 'WORKER_LOST', message: 'the attempt stopped without being asked to' }

function stop(draft: Draft, index: number, attempt: number): void {
  if (!draft.isEnding(index)) {
    lose(draft, index, attempt, STOPPED_UNASKED)
    return
  }
  const now = draft.now(index)
  const { state } = draft
  const asked = now.status === 'running' ? now.stopping : undefined
  const reason = asked ?? (state.status === 'cancelling' ? state.reason : 'another stage failed')
  draft.emit({ type: 'StageCancelled', data: { stage: draft.stage(index).id, attempt, reason } })
  draft.ended.push(index)
}

/** True where the log already says exactly this. */
function isRepeat(command: StageReport, stage: StageState): boolean {
  const current = 'attempt' in stage && stage.attempt === command.attempt
  switch (command.type) {
    case 'StartStage':
      return stage.status === 'running' && current && stage.worker === command.worker
    case 'CheckpointStage': {
      if (stage.status !== 'running' || !current || stage.worker !== command.worker) return false
      return stage.checkpoint?.attempt === command.attempt && stage.checkpoint.sequence >= command.sequence
    }
    case 'CompleteStage':
      return (stage.status === 'completed' || stage.status === 'expanded') && current
    case 'FailStage':
    case 'LoseStage':
      return stage.status === 'failed' && current
    case 'StopStage':
      return stage.status === 'cancelled' && current
  }
}

const stale = (id: string, attempt: number, stage: StageState): Rejected =>
  new Rejected(
    'ATTEMPT_STALE',
    `attempt ${attempt} of ${id} is not under way: the stage is ${stage.status}${'attempt' in stage ? ` at attempt ${stage.attempt}` : ''}`,
  )
