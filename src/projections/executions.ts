// Runs, their stages and the attempts of those: the fold of a batch. `execution-rows.ts` turns it into rows.
import type { ExecutionEvent, ExecutionEventOf } from '../domain/execution/events.ts'
import { parseStream, type RecordedEvent } from '../domain/message.ts'
import { executionWrites } from './execution-rows.ts'
import type { Projection } from './projection.ts'

const HANDLES: Record<ExecutionEvent['type'], number> = {
  ExecutionStarted: 1,
  StageScheduled: 1,
  StageStarted: 1,
  StageCompleted: 1,
  StageFailed: 1,
  StageRetried: 1,
  StageSkipped: 1,
  StageCancelled: 1,
  ExecutionCancellationRequested: 1,
  ExecutionCompleted: 1,
  ExecutionFailed: 1,
  ExecutionCancelled: 1,
}

/** What a batch says about one run; null is what it does not say. JSON is text already. */
export type Run = {
  readonly id: string
  /** Set when the run started within the batch; then all of it is known. */
  started: {
    readonly namespace: string
    readonly at: string
    readonly data: ExecutionEventOf<'ExecutionStarted'>['data']
  } | null
  status: string | null
  error: string | null
  finishedAt: string | null
  revision: number
  position: number
  readonly stages: Map<string, Stage>
}

export type Stage = {
  status: string
  attempt: number | null
  /** The batch has the stage's beginning, or that of its latest attempt: null then means none, not unknown. */
  fresh: boolean
  startedAt: string | null
  finishedAt: string | null
  output: string | null
  error: string | null
  waitingFor: 'timer' | 'retry' | null
  waitingUntil: string | null
  reason: string | null
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

/** What runs do: each with its stages and their attempts. */
export const executions: Projection = {
  name: 'executions',
  version: 1,
  tables: ['executions', 'stages', 'attempts'],
  streams: 'execution-',
  handles: HANDLES,
  apply(batch) {
    const runs = new Map<string, Run>()
    for (const event of batch as readonly RecordedEvent<ExecutionEvent>[]) {
      const run = runs.get(event.stream) ?? unknownRun(parseStream(event.stream).id)
      runs.set(event.stream, run)
      run.revision = event.revision
      run.position = event.position
      fold(run, event)
    }
    return executionWrites([...runs.values()])
  },
}

const unknownRun = (id: string): Run => ({
  id,
  started: null,
  status: null,
  error: null,
  finishedAt: null,
  revision: 0,
  position: 0,
  stages: new Map(),
})

function fold(run: Run, event: RecordedEvent<ExecutionEvent>): void {
  switch (event.type) {
    case 'ExecutionStarted':
      run.started = { namespace: event.metadata.namespace, at: event.at, data: event.data }
      run.status = 'running'
      for (const { id } of event.data.definition.stages) run.stages.set(id, newStage('blocked', 0, true))
      return
    case 'ExecutionCancellationRequested':
      run.status = 'cancelling'
      return
    case 'ExecutionCompleted':
    case 'ExecutionCancelled':
      run.status = event.type === 'ExecutionCompleted' ? 'completed' : 'cancelled'
      run.finishedAt = event.at
      return
    case 'ExecutionFailed':
      run.status = 'failed'
      run.error = JSON.stringify(event.data.error)
      run.finishedAt = event.at
      return
    default:
      foldStage(run, event)
  }
}

type StageEvent = RecordedEvent<Extract<ExecutionEvent, { data: { readonly stage: string } }>>

function foldStage(run: Run, event: StageEvent): void {
  const stage = stageOf(run, event.data.stage)
  if (event.type !== 'StageRetried') stage.waitingFor = stage.waitingUntil = null
  switch (event.type) {
    case 'StageScheduled':
      schedule(run, event, stage.attempts)
      return
    case 'StageStarted': {
      const { attempt, worker } = event.data
      Object.assign(stage, { status: 'running', attempt, startedAt: event.at })
      Object.assign(attemptOf(stage, attempt), { worker, startedAt: event.at })
      return
    }
    case 'StageCompleted':
      finish(stage, event, 'completed')
      stage.output = JSON.stringify(event.data.output)
      return
    case 'StageFailed':
      fail(stage, event)
      return
    case 'StageRetried':
      Object.assign(stage, { status: 'retrying', waitingFor: 'retry', waitingUntil: event.data.dueAt })
      return
    case 'StageSkipped':
      Object.assign(stage, { status: 'skipped', finishedAt: event.at })
      stage.reason = `${event.data.reason}: ${event.data.detail}`
      return
    case 'StageCancelled':
      finish(stage, event, 'cancelled')
      stage.reason = event.data.reason
      return
  }
}

/** A new attempt: nothing of an earlier one is shown any more. */
function schedule(
  run: Run,
  event: RecordedEvent<ExecutionEventOf<'StageScheduled'>>,
  attempts: Stage['attempts'],
): void {
  const { stage: id, attempt, wakeAt } = event.data
  const stage = newStage(wakeAt === undefined ? 'scheduled' : 'waiting', attempt, true, attempts)
  if (wakeAt !== undefined) Object.assign(stage, { waitingFor: 'timer', waitingUntil: wakeAt })
  attemptOf(stage, attempt).scheduledAt = event.at
  run.stages.set(id, stage)
}

type StageEnd = RecordedEvent<ExecutionEventOf<'StageCompleted' | 'StageFailed' | 'StageCancelled'>>

function finish(stage: Stage, { data, at }: StageEnd, outcome: NonNullable<Attempt['outcome']>): void {
  Object.assign(stage, { status: outcome, attempt: data.attempt, finishedAt: at })
  // A stage that never ran is cancelled with attempt 0, which is none.
  if (data.attempt > 0) Object.assign(attemptOf(stage, data.attempt), { outcome, finishedAt: at })
}

function fail(stage: Stage, event: RecordedEvent<ExecutionEventOf<'StageFailed'>>): void {
  finish(stage, event, 'failed')
  const { attempt, class: failureClass, rule, recovery } = event.data
  stage.error = JSON.stringify(event.data.error)
  // The `StageRetried` that follows says until when; it may come with the next batch.
  if (recovery === 'retry') stage.status = 'retrying'
  Object.assign(attemptOf(stage, attempt), { error: stage.error, class: failureClass, rule, recovery })
}

function stageOf(run: Run, id: string): Stage {
  const known = run.stages.get(id)
  if (known) return known
  if (run.started) throw new Error(`execution ${run.id} has no stage ${id}`)
  const stage = newStage('blocked', null, false)
  run.stages.set(id, stage)
  return stage
}

const newStage = (
  status: string,
  attempt: number | null,
  fresh: boolean,
  attempts: Stage['attempts'] = new Map(),
): Stage => ({
  status,
  attempt,
  fresh,
  startedAt: null,
  finishedAt: null,
  output: null,
  error: null,
  waitingFor: null,
  waitingUntil: null,
  reason: null,
  attempts,
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
