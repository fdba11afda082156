// What a batch says about one stage of a run, and about its attempts.
import type { ExecutionEvent, ExecutionEventOf, Wait } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import type { Run } from './executions.ts'

/** Null is what the batch does not say. JSON is text already. */
export type Stage = {
  /** Set when the stage came to be within the batch; its row is then added. */
  readonly ordinal: number | null
  readonly parent: string | null
  /** Set together with all that the stage waits for. */
  status: string | null
  attempt: number | null
  /** The batch has the stage's beginning, or that of its latest attempt: null then means none, not unknown. */
  fresh: boolean
  startedAt: string | null
  finishedAt: string | null
  output: string | null
  error: string | null
  reason: string | null
  waitingFor: Wait['for'] | 'retry' | 'person' | 'pool' | null
  waitingUntil: string | null
  /** What else there is to say of what it waits for. */
  waiting: string | null
  /** Who has granted it since `status` was set or, without that, in this batch: members of a JSON array. */
  granted: string | null
  checkpoint: string | null
  readonly attempts: Map<number, Attempt>
}

export type Attempt = {
  /** Set when the attempt was scheduled within the batch. */
  scheduledAt: string | null
  worker: string | null
  startedAt: string | null
  finishedAt: string | null
  outcome: 'completed' | 'failed' | 'cancelled' | null
  error: string | null
  class: string | null
  rule: string | null
  recovery: string | null
}

type StageEvent = RecordedEvent<Extract<ExecutionEvent, { data: { readonly stage: string } }>>
type Of<T extends ExecutionEvent['type']> = RecordedEvent<ExecutionEventOf<T>>

export function foldStage(run: Run, event: StageEvent): void {
  const stage = stageOf(run, event.data.stage)
  switch (event.type) {
    case 'StageDeferred': {
      const { pool, reason, short, blockers } = event.data
      become(stage, 'waiting', 'pool')
      stage.waiting = JSON.stringify({ pool, reason, short, blockers })
      return
    }
    case 'StageScheduled':
      schedule(stage, event)
      return
    case 'StageStarted': {
      const { attempt, worker } = event.data
      become(stage, 'running')
      Object.assign(stage, { attempt, startedAt: event.at })
      Object.assign(attemptOf(stage, attempt), { worker, startedAt: event.at })
      return
    }
    case 'StageCheckpointed':
      stage.checkpoint = checkpointOf(event.data)
      return
    case 'StageCompleted':
      finish(stage, event, 'completed')
      stage.output = JSON.stringify(event.data.output)
      return
    case 'StageFailed':
      fail(stage, event)
      return
    case 'StageAbandoned':
      become(stage, 'failed')
      Object.assign(stage, { attempt: event.data.attempt, finishedAt: event.at, reason: event.data.reason })
      return
    case 'StageRetried':
      become(stage, 'retrying', 'retry', event.data.dueAt)
      for (const id of event.data.reopens ?? []) renew(stageOf(run, id), 'blocked', 0)
      return
    case 'StageSkipped':
      become(stage, 'skipped')
      Object.assign(stage, { finishedAt: event.at, reason: `${event.data.reason}: ${event.data.detail}` })
      return
    case 'StageCancelled':
      finish(stage, event, 'cancelled')
      stage.reason = event.data.reason
      return
    case 'ApprovalRequested': {
      const { approvers, required } = event.data
      stage.waiting = JSON.stringify({ approvers, required })
      return
    }
    case 'ApprovalGranted': {
      const by = JSON.stringify(event.data.by)
      stage.granted = stage.granted === null ? by : `${stage.granted},${by}`
      return
    }
    case 'ApprovalRejected':
      return
    case 'StageRestored':
      restore(stage, event.data)
  }
}

/** The work of an attempt has ended with the stages that it generated; the stage goes on as those. */
export function goOnAsOthers(stage: Stage, attempt: number, at: string): void {
  become(stage, 'running')
  stage.attempt = attempt
  endAttempt(stage, attempt, at, 'completed')
}

/** Until the run says otherwise, an approval is anybody's. */
const ANYBODY = JSON.stringify({ approvers: [], required: 1 })

function schedule(stage: Stage, event: Of<'StageScheduled'>): void {
  const { attempt, waitsFor } = event.data
  renew(stage, waitsFor === undefined ? 'scheduled' : 'waiting', attempt)
  if (waitsFor !== undefined) {
    stage.waitingFor = waitsFor.for
    stage.waitingUntil = waitsFor.until ?? null
    if (waitsFor.for === 'approval') stage.waiting = ANYBODY
    if (waitsFor.for === 'signal') stage.waiting = JSON.stringify({ signal: waitsFor.name })
  }
  attemptOf(stage, attempt).scheduledAt = event.at
}

function finish(
  stage: Stage,
  { data, at }: Of<'StageCompleted' | 'StageFailed' | 'StageCancelled'>,
  outcome: NonNullable<Attempt['outcome']>,
): Attempt | undefined {
  become(stage, outcome)
  stage.attempt = data.attempt
  stage.finishedAt = at
  return data.attempt > 0 ? endAttempt(stage, data.attempt, at, outcome) : undefined
}

/** An attempt ends once: what comes to the stage between two attempts is said of the one before, and leaves that as it was. */
function endAttempt(
  stage: Stage,
  number: number,
  at: string,
  outcome: NonNullable<Attempt['outcome']>,
): Attempt | undefined {
  const attempt = attemptOf(stage, number)
  if (attempt.outcome !== null) return undefined
  attempt.outcome = outcome
  attempt.finishedAt = at
  return attempt
}

function fail(stage: Stage, event: Of<'StageFailed'>): void {
  const { attempt: number, class: failureClass, rule, recovery } = event.data
  const error = JSON.stringify(event.data.error)
  // Attempt 0 stands for the failure of values. That of generated stages is counted with each of them already.
  const counts = number === 0 && event.data.error.code !== 'STAGES_FAILED'
  const attempt = finish(stage, event, 'failed') ?? (counts ? endAttempt(stage, 0, event.at, 'failed') : undefined)
  if (attempt) Object.assign(attempt, { error, class: failureClass, rule, recovery })
  stage.error = error
  // What follows says until when, or what a person decided; it may come with the next batch.
  if (recovery === 'retry' || recovery === 'fallback') become(stage, 'retrying')
  else if (recovery === 'ask' || recovery === 'skip') become(stage, 'waiting', 'person')
}

function restore(stage: Stage, data: Of<'StageRestored'>['data']): void {
  switch (data.as) {
    case 'completed':
      become(stage, 'completed')
      stage.attempt = data.attempt
      stage.output = JSON.stringify(data.output)
      return
    case 'skipped':
      become(stage, 'skipped')
      stage.reason = `${data.reason}: ${data.detail}`
      return
    case 'resumable':
      stage.checkpoint = checkpointOf({ attempt: 0, sequence: 0 })
  }
}

const checkpointOf = ({ attempt, sequence }: { readonly attempt: number; readonly sequence: number }): string =>
  `{"attempt":${attempt},"sequence":${sequence}}`

export function stageOf(run: Run, id: string): Stage {
  const known = run.stages.get(id)
  if (known) return known
  if (run.started) throw new Error(`execution ${run.id} has no stage ${id}`)
  const stage = emptyStage(null, null)
  run.stages.set(id, stage)
  return stage
}

/** A stage that comes to be. */
export const newStage = (ordinal: number, parent?: string): Stage =>
  renew(emptyStage(ordinal, parent ?? null), 'blocked', 0)

/** Begins a stage, or its next attempt: of what was before, no more is shown than how far it had got. */
export function renew(stage: Stage, status: string, attempt: number): Stage {
  become(stage, status)
  stage.attempt = attempt
  stage.fresh = true
  stage.startedAt = null
  stage.finishedAt = null
  stage.output = null
  stage.error = null
  stage.reason = null
  return stage
}

function become(
  stage: Stage,
  status: string,
  waitingFor: Stage['waitingFor'] = null,
  until: string | null = null,
): void {
  stage.status = status
  stage.waitingFor = waitingFor
  stage.waitingUntil = until
  stage.waiting = null
  stage.granted = null
}

const emptyStage = (ordinal: number | null, parent: string | null): Stage => ({
  ordinal,
  parent,
  status: null,
  attempt: null,
  fresh: false,
  startedAt: null,
  finishedAt: null,
  output: null,
  error: null,
  reason: null,
  waitingFor: null,
  waitingUntil: null,
  waiting: null,
  granted: null,
  checkpoint: null,
  attempts: new Map(),
})

function attemptOf(stage: Stage, number: number): Attempt {
  const known = stage.attempts.get(number)
  if (known) return known
  const attempt: Attempt = {
    scheduledAt: null,
    worker: null,
    startedAt: null,
    finishedAt: null,
    outcome: null,
    error: null,
    class: null,
    rule: null,
    recovery: null,
  }
  stage.attempts.set(number, attempt)
  return attempt
}
