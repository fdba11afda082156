// One run folded from its own events: the aggregate's state, and what an answer says besides.
import { executionDecider } from '../domain/execution/decide.ts'
import type { ExecutionEvent } from '../domain/execution/events.ts'
import { type Execution, type StageState, stageOf, type Waiting } from '../domain/execution/state.ts'
import { type Timer, timerChanges } from '../domain/execution/timers.ts'
import type { RecordedEvent } from '../domain/message.ts'
import type { ExecutionView, RunWaitingView, StageView, WaitingView } from './queries.ts'

type Started = Exclude<Execution, { status: 'none' }>
/** What the aggregate does without, or keeps no longer than it needs. */
type Notes = {
  -readonly [member in 'attempt' | 'startedAt' | 'finishedAt' | 'error' | 'reason' | 'checkpoint']?: StageView[member]
}

/** A run as it is after the event at `revision`; `noted` has the stages by id. */
export type FoldedRun = {
  state: Started
  readonly namespace: string
  readonly startedAt: string
  readonly restoredFrom: ExecutionView['restoredFrom']
  finishedAt: string | undefined
  error: ExecutionView['error']
  readonly noted: Map<string, Notes>
  readonly timers: Map<string, Timer>
  revision: number
  position: number
}

/** Folds the next event into `run`, which is changed; the first one makes it. */
export function foldRun(run: FoldedRun | undefined, event: RecordedEvent<ExecutionEvent>): FoldedRun {
  const folded = run ?? firstOf(event)
  if (run) run.state = executionDecider.evolve(run.state, event) as Started
  folded.revision = event.revision
  folded.position = event.position
  note(folded, event)
  for (const change of timerChanges(event))
    if ('set' in change) folded.timers.set(change.set.key, change.set)
    else folded.timers.delete(change.clear)
  return folded
}

function firstOf(event: RecordedEvent<ExecutionEvent>): FoldedRun {
  if (event.type !== 'ExecutionStarted') throw new Error(`${event.stream} begins with ${event.type}`)
  return {
    state: executionDecider.evolve(executionDecider.initialState, event) as Started,
    namespace: event.metadata.namespace,
    startedAt: event.at,
    restoredFrom: event.data.restoredFrom,
    finishedAt: undefined,
    error: undefined,
    noted: new Map(),
    timers: new Map(),
    revision: -1,
    position: -1,
  }
}

function note(run: FoldedRun, event: RecordedEvent<ExecutionEvent>): void {
  switch (event.type) {
    case 'ExecutionFailed':
      run.error = event.data.error
      run.finishedAt = event.at
      return
    case 'ExecutionCompleted':
    case 'ExecutionCancelled':
      run.finishedAt = event.at
      return
    case 'StagesGenerated': {
      const { parent, attempt } = event.data
      if (attempt === 0) renew(run, parent, { attempt, startedAt: event.at })
      else Object.assign(notesOf(run, parent), { attempt })
      return
    }
    default:
      if ('stage' in event.data) noteStage(run, event as StageEvent)
  }
}

type StageEvent = RecordedEvent<Extract<ExecutionEvent, { data: { readonly stage: string } }>>

function noteStage(run: FoldedRun, event: StageEvent): void {
  const { at: finishedAt } = event
  const notes = notesOf(run, event.data.stage)
  switch (event.type) {
    case 'StageScheduled':
      renew(run, event.data.stage, { attempt: event.data.attempt })
      return
    case 'StageStarted':
      Object.assign(notes, { attempt: event.data.attempt, startedAt: event.at })
      return
    case 'StageCheckpointed': {
      const { attempt, sequence } = event.data
      notes.checkpoint = { attempt, sequence }
      return
    }
    case 'StageCompleted':
      Object.assign(notes, { attempt: event.data.attempt, finishedAt })
      return
    case 'StageFailed':
      Object.assign(notes, { attempt: event.data.attempt, finishedAt, error: event.data.error })
      return
    case 'StageCancelled':
    case 'StageAbandoned':
      Object.assign(notes, { attempt: event.data.attempt, finishedAt, reason: event.data.reason })
      return
    case 'StageSkipped':
      Object.assign(notes, { finishedAt, reason: `${event.data.reason}: ${event.data.detail}` })
      return
    case 'StageRetried':
      for (const id of event.data.reopens ?? []) renew(run, id, {})
      return
    case 'StageRestored':
      restore(notes, event.data)
      return
    case 'ApprovalRequested':
    case 'ApprovalGranted':
    case 'ApprovalRejected':
      return
  }
}

function restore(notes: Notes, data: Extract<StageEvent, { type: 'StageRestored' }>['data']): void {
  if (data.as === 'completed') notes.attempt = data.attempt
  else if (data.as === 'skipped') notes.reason = `${data.reason}: ${data.detail}`
  else notes.checkpoint = { attempt: 0, sequence: 0 }
}

function notesOf(run: FoldedRun, stage: string): Notes {
  const known = run.noted.get(stage)
  if (known) return known
  const notes: Notes = {}
  run.noted.set(stage, notes)
  return notes
}

/** Of what was before, no more is shown than how far it had got. */
function renew(run: FoldedRun, stage: string, notes: Notes): void {
  const { checkpoint } = notesOf(run, stage)
  run.noted.set(stage, checkpoint === undefined ? notes : { ...notes, checkpoint })
}

/** The run as an answer has it. */
export function viewOf(folded: FoldedRun): ExecutionView {
  const { state, error, finishedAt, restoredFrom } = folded
  const { run } = state
  const output = 'output' in state ? state.output : undefined
  const stages = state.stages.map((stage, index): [string, StageView] => {
    const { id, parent } = stageOf(run, index)
    const notes = folded.noted.get(id)
    return [id, { attempt: 0, ...notes, ...shown(stage), ...(parent === undefined ? {} : { parent }) }]
  })
  return {
    id: run.executionId,
    namespace: folded.namespace,
    workflow: run.workflow,
    version: run.version,
    // A run that waits for its group goes on as far as anybody asks; `waiting` says that nothing of it has begun.
    status: state.status === 'queued' ? 'running' : state.status,
    input: run.input,
    labels: run.labels,
    priority: run.priority,
    ...(output === undefined ? {} : { output }),
    ...(error ? { error } : {}),
    ...(restoredFrom ? { restoredFrom } : {}),
    ...(run.parent ? { parent: run.parent } : {}),
    ...(state.status === 'queued' ? { waiting: runWaiting(state) } : {}),
    startedAt: folded.startedAt,
    ...(finishedAt ? { finishedAt } : {}),
    stages: Object.fromEntries(stages),
    revision: folded.revision,
    position: folded.position,
  }
}

const runWaiting = ({ run, blockers = [] }: Started & { status: 'queued' }): RunWaitingView => ({
  for: 'concurrency',
  group: run.concurrency!.group,
  blockers,
})

function shown(stage: StageState): Pick<StageView, 'status' | 'output' | 'waiting'> {
  switch (stage.status) {
    case 'expanded':
      return { status: 'running' }
    case 'waiting':
      return { status: 'waiting', waiting: waitingOf(stage.waits) }
    case 'retrying':
      return { status: 'retrying', ...(stage.dueAt === '' ? {} : { waiting: { for: 'retry', until: stage.dueAt } }) }
    case 'completed':
      return { status: 'completed', output: stage.output }
    default:
      return { status: stage.status }
  }
}

function waitingOf(waits: Waiting): WaitingView {
  const until = 'until' in waits && waits.until !== undefined ? { until: waits.until } : {}
  switch (waits.for) {
    case 'timer':
    case 'person':
      return { for: waits.for, ...until }
    case 'pool': {
      const { pool, reason, short, blockers } = waits
      return { for: 'pool', pool, reason, ...(short === undefined ? {} : { short }), blockers }
    }
    case 'signal':
      return { for: 'signal', ...until, signal: waits.name }
    case 'approval': {
      const { approvers, required, granted } = waits
      return { for: 'approval', ...until, approvers, required, granted }
    }
  }
}
