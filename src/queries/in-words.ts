// What an event of a run says, for people.
import type { ExecutionEvent } from '../domain/execution/events.ts'

const listed = (names: readonly string[]): string => names.join(', ')
const inStages = (stages: readonly string[]): string => (stages.length === 0 ? '' : ` in ${listed(stages)}`)
const because = (reason: string): string => (reason === '' ? '' : `: ${reason}`)

/** One sentence; names and reasons are as they were given. */
export function inWords(event: ExecutionEvent): string {
  switch (event.type) {
    case 'ExecutionStarted': {
      const { workflow, version, trigger, restoredFrom, parent } = event.data
      const from = restoredFrom
        ? `, going on from ${restoredFrom.executionId} after revision ${restoredFrom.revision}`
        : parent
          ? `, as the work of stage ${parent.stage} of ${parent.executionId}`
          : ''
      return `A run of ${workflow} version ${version} was started by ${trigger.by} (${trigger.kind})${from}.`
    }
    case 'ExecutionDeferred':
      return `The run waits: its group ${event.data.group} is full.`
    case 'ExecutionAdmitted':
      return 'The run’s turn in its group has come; its time begins.'
    case 'ExecutionPaused':
      return `The run was paused${because(event.data.reason)}.`
    case 'ExecutionResumed':
      return `The run goes on${because(event.data.reason)}.`
    case 'ExecutionCancellationRequested':
      return `The run was asked to end as ${event.data.outcome}${because(event.data.reason)}.`
    case 'ExecutionCompleted':
      return `The run completed; ${event.data.stages} of its stages did.`
    case 'ExecutionFailed':
      return `The run failed with ${event.data.error.code}${inStages(event.data.error.stages)}: ${event.data.error.message}`
    case 'ExecutionCancelled':
      return `The run was cancelled${because(event.data.reason)}.`
    case 'CompensationStarted':
      return `What was done is undone by ${listed(event.data.stages.map(({ id }) => id))}.`
    case 'SignalReceived':
      return `The signal ${event.data.name} came.`
    case 'StagesGenerated':
      return `Stage ${event.data.parent} goes on as ${event.data.stages.length} stages.`
    default:
      return `Stage ${event.data.stage} ${ofStage(event)}`
  }
}

function ofStage(event: Extract<ExecutionEvent, { data: { readonly stage: string } }>): string {
  switch (event.type) {
    case 'StageDeferred': {
      const { pool, reason, short = [], blockers } = event.data
      const why = { asked: 'was asked', capacity: `has too little ${listed(short)}`, turn: 'lets others go first' }[
        reason
      ]
      return `waits: the pool ${pool} ${why}${blockers.length === 0 ? '' : ` (${blockers.map(({ executionId }) => executionId).join(', ')})`}.`
    }
    case 'StageScheduled': {
      const { attempt, queue, handler, waitsFor } = event.data
      if (waitsFor === undefined) return `was handed to the queue ${queue} for ${handler}, attempt ${attempt}.`
      const until = waitsFor.until === undefined ? '' : ` until ${waitsFor.until}`
      return `waits for ${waitsFor.for === 'signal' ? `the signal ${waitsFor.name}` : `its ${waitsFor.for}`}${until}.`
    }
    case 'StageStarted':
      return `began on ${event.data.worker}, attempt ${event.data.attempt}.`
    case 'StageCheckpointed':
      return `saved checkpoint ${event.data.sequence} of attempt ${event.data.attempt}.`
    case 'StageCompleted':
      return `completed with attempt ${event.data.attempt}.`
    case 'StageFailed': {
      const { attempt, error, class: failureClass, rule, recovery } = event.data
      return `failed with attempt ${attempt} (${error.code}: ${error.message}); rule ${rule} takes that for ${failureClass}, and ${recovery} follows.`
    }
    case 'StageAbandoned':
      return `was given up${because(event.data.reason)}; ${event.data.recovery} follows.`
    case 'StageRetried':
      return `is tried again at ${event.data.dueAt} as attempt ${event.data.attempt} (${event.data.reason}).`
    case 'StageSkipped':
      return `was skipped (${event.data.reason}): ${event.data.detail}`
    case 'StageCancelled':
      return `was cancelled${because(event.data.reason)}.`
    case 'ApprovalRequested':
      return `asks ${event.data.approvers.length === 0 ? 'anybody' : listed(event.data.approvers)} for ${event.data.required} approval(s).`
    case 'ApprovalGranted':
      return `was approved by ${event.data.by}.`
    case 'ApprovalRejected':
      return `was rejected by ${event.data.by}.`
    case 'StageRestored':
      return `is taken over from the run restored from, as ${event.data.as}.`
  }
}
