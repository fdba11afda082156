import type { ExecutionEvent, ExecutionEventOf } from './events.ts'
import type { Checkpoint, StageState } from './state.ts'

type DataOf<T extends ExecutionEvent['type']> = ExecutionEventOf<T>['data']

export type StageEvent = Extract<ExecutionEvent, { data: { readonly stage: string } }>

/** Before the first attempt there is nothing behind a stage but what it was restored with. */
export function triedOf(before: StageState) {
  if ('lost' in before) {
    const { lost, checkpoint, fallback, replaced } = before
    return { lost, checkpoint, fallback, replaced }
  }
  return { lost: 0, checkpoint: checkpointOf(before), fallback: false, replaced: 0 }
}

/** What the stage's own work could go on from; what its fallback had saved is nothing to it. */
function checkpointOf(before: StageState): Checkpoint | undefined {
  if ('fallback' in before && before.fallback) return undefined
  return 'checkpoint' in before ? before.checkpoint : undefined
}

/** Folds one event into the stage that it names. */
export function evolveStage(before: StageState, event: StageEvent): StageState {
  switch (event.type) {
    case 'StageDeferred': {
      const { stage: _, attempt, workflow: __, priority: ___, ...said } = event.data
      const waits = { for: 'pool', ...said, queue: queueOf(before) } as const
      return { status: 'waiting', attempt, ...triedOf(before), waits }
    }
    case 'StageScheduled': {
      const { attempt, waitsFor, grant } = event.data
      const tried = { attempt, ...triedOf(before) }
      if (waitsFor === undefined) return { status: 'scheduled', ...tried, fence: grant?.fence }
      if (waitsFor.for !== 'approval') return { status: 'waiting', ...tried, waits: waitsFor }
      const nobody = { approvers: [], required: 1, selfApproval: true, granted: [] }
      return { status: 'waiting', ...tried, waits: { ...waitsFor, ...nobody } }
    }
    case 'StageStarted': {
      const { attempt, worker } = event.data
      const fence = before.status === 'scheduled' ? before.fence : undefined
      return { status: 'running', attempt, ...triedOf(before), fence, worker, stopping: undefined }
    }
    case 'StageCheckpointed': {
      if (before.status !== 'running') throw new Error(`StageCheckpointed comes to a stage that is ${before.status}`)
      const { attempt, sequence, state } = event.data
      return { ...before, checkpoint: { attempt, sequence, state } }
    }
    case 'StageCompleted':
      return { status: 'completed', attempt: event.data.attempt, output: event.data.output }
    case 'StageFailed':
      return failedStage(before, event.data)
    case 'StageAbandoned':
      return { status: 'failed', attempt: event.data.attempt, error: errorOf(before), checkpoint: checkpointOf(before) }
    case 'StageRetried':
      return retriedStage(before, event.data)
    case 'StageSkipped': {
      const { reason, detail } = event.data
      const attempt = 'attempt' in before ? before.attempt : 0
      const error = reason === 'recovery' ? errorOf(before) : undefined
      return { status: 'skipped', attempt, reason, detail, error }
    }
    case 'StageCancelled': {
      const { attempt, reason } = event.data
      return { status: 'cancelled', attempt, reason, checkpoint: checkpointOf(before) }
    }
    case 'ApprovalRequested':
    case 'ApprovalGranted':
    case 'ApprovalRejected':
      return withApproval(before, event)
    case 'StageRestored':
      return restoredStage(before, event.data)
  }
}

/** Where the next attempt goes, where that is not the stage's own queue. */
export function queueOf(stage: StageState): string | undefined {
  if (stage.status === 'retrying') return stage.queue
  return stage.status === 'waiting' && stage.waits.for === 'pool' ? stage.waits.queue : undefined
}

function failedStage(before: StageState, { attempt, error, recovery }: DataOf<'StageFailed'>): StageState {
  if (recovery === 'ask' || recovery === 'skip')
    return { status: 'waiting', attempt, ...triedOf(before), waits: { for: 'person', error } }
  if (recovery === 'retry' || recovery === 'fallback')
    return { status: 'retrying', attempt: attempt + 1, ...triedOf(before), dueAt: '', queue: undefined, error }
  return { status: 'failed', attempt, error, checkpoint: checkpointOf(before) }
}

function retriedStage(before: StageState, data: DataOf<'StageRetried'>): StageState {
  const { attempt, dueAt, queue, reason } = data
  const { lost, checkpoint, fallback, replaced } = triedOf(before)
  const falls = reason === 'fallback'
  return {
    status: 'retrying',
    attempt,
    lost: reason === 'lost' ? lost + 1 : lost,
    // What the work had saved is nothing that its fallback could go on from.
    checkpoint: falls ? undefined : checkpoint,
    fallback: falls || fallback,
    replaced: falls ? attempt - 1 - lost : replaced,
    dueAt,
    queue: queue ?? queueOf(before),
    error: errorOf(before),
  }
}

function errorOf(stage: StageState) {
  if (stage.status === 'retrying' || stage.status === 'failed') return stage.error
  if (stage.status === 'waiting' && stage.waits.for === 'person') return stage.waits.error
  throw new Error(`a stage that is ${stage.status} has no error to go on from`)
}

function withApproval(
  before: StageState,
  event: ExecutionEventOf<'ApprovalRequested' | 'ApprovalGranted' | 'ApprovalRejected'>,
): StageState {
  if (before.status !== 'waiting' || before.waits.for !== 'approval')
    throw new Error(`${event.type} comes to a stage that is ${before.status}`)
  switch (event.type) {
    case 'ApprovalRequested': {
      const { approvers, required, selfApproval } = event.data
      return { ...before, waits: { ...before.waits, approvers, required, selfApproval } }
    }
    case 'ApprovalGranted':
      return { ...before, waits: { ...before.waits, granted: [...before.waits.granted, event.data.by] } }
    case 'ApprovalRejected':
      return before
  }
}

function restoredStage(before: StageState, data: DataOf<'StageRestored'>): StageState {
  switch (data.as) {
    case 'completed':
      return { status: 'completed', attempt: data.attempt, output: data.output }
    case 'skipped':
      return { status: 'skipped', attempt: 0, reason: data.reason, detail: data.detail, error: undefined }
    case 'resumable':
      if (before.status !== 'blocked') throw new Error(`StageRestored comes to a stage that is ${before.status}`)
      return { ...before, checkpoint: { attempt: 0, sequence: 0, state: data.checkpoint } }
  }
}
