import { executionDecider } from '../domain/execution/decide.ts'
import { type ExecutionEvent, executionStream } from '../domain/execution/events.ts'
import { type Execution, type StageState, stageOf } from '../domain/execution/state.ts'
import type { RecordedEvent } from '../domain/message.ts'
import type { EventStore } from '../ports/event-store.ts'
import type { ExecutionView, StageView } from './queries.ts'

/** What the log itself answers about one run; `undefined` where the namespace has no such run. */
export interface History {
  /** At most `limit` events from revision `from` on. */
  events(namespace: string, id: string, from: number, limit: number): Promise<readonly RecordedEvent[] | undefined>
  /** The run as it was after the event at `revision`; as it is now without one. */
  stateAt(namespace: string, id: string, revision?: number): Promise<ExecutionView | undefined>
  /** When the run ended, of whatever namespace; `undefined` while it goes on. */
  endedAt(id: string): Promise<string | undefined>
}

const ends: readonly RecordedEvent['type'][] = [
  'ExecutionCompleted',
  'ExecutionFailed',
  'ExecutionCancelled',
] satisfies ExecutionEvent['type'][]

export function createHistory(store: EventStore): History {
  return {
    async events(namespace, id, from, limit) {
      const found: RecordedEvent[] = []
      let owner: string | undefined
      for await (const events of store.readStream(executionStream(id), { from, limit })) found.push(...events)
      for await (const [first] of store.readStream(executionStream(id), { limit: 1 })) owner = first?.metadata.namespace
      return owner === namespace ? found : undefined
    },

    async stateAt(namespace, id, revision) {
      const limit = revision === undefined ? {} : { limit: revision + 1 }
      let view: Folded | undefined
      for await (const events of store.readStream(executionStream(id), limit))
        for (const event of events) view = fold(view, event as RecordedEvent<ExecutionEvent>)
      return view && view.namespace === namespace ? present(view) : undefined
    },

    async endedAt(id) {
      let last: RecordedEvent | undefined
      const newest = { direction: 'backwards', limit: 1 } as const
      for await (const [event] of store.readStream(executionStream(id), newest)) last = event
      return last && ends.includes(last.type) ? last.at : undefined
    },
  }
}

/** The aggregate's state, and the times that it does without. */
type Folded = {
  readonly namespace: string
  readonly id: string
  state: Execution
  readonly startedAt: string
  finishedAt: string | undefined
  error: ExecutionView['error']
  readonly times: Map<string, { startedAt?: string; finishedAt?: string }>
  revision: number
  position: number
}

function fold(before: Folded | undefined, event: RecordedEvent<ExecutionEvent>): Folded {
  const view: Folded = before ?? {
    namespace: event.metadata.namespace,
    id: event.type === 'ExecutionStarted' ? event.data.executionId : '',
    state: executionDecider.initialState,
    startedAt: event.at,
    finishedAt: undefined,
    error: undefined,
    times: new Map(),
    revision: -1,
    position: -1,
  }
  view.state = executionDecider.evolve(view.state, event)
  view.revision = event.revision
  view.position = event.position
  noteTimes(view, event)
  return view
}

function noteTimes(view: Folded, event: RecordedEvent<ExecutionEvent>): void {
  switch (event.type) {
    case 'StageStarted':
      view.times.set(event.data.stage, { startedAt: event.at })
      return
    case 'StageCompleted':
    case 'StageFailed':
    case 'StageSkipped':
    case 'StageCancelled':
      view.times.set(event.data.stage, { ...view.times.get(event.data.stage), finishedAt: event.at })
      return
    case 'ExecutionFailed':
      view.error = event.data.error
      view.finishedAt = event.at
      return
    case 'ExecutionCompleted':
    case 'ExecutionCancelled':
      view.finishedAt = event.at
      return
    default:
      return
  }
}

function present(view: Folded): ExecutionView | undefined {
  const { state } = view
  if (state.status === 'none') return undefined
  const { run } = state
  const stages = state.stages.map((stage, index): [string, StageView] => {
    const { id } = stageOf(run, index)
    return [id, { ...presentStage(stage), ...view.times.get(id) }]
  })
  return {
    id: view.id,
    namespace: view.namespace,
    workflow: run.workflow,
    version: run.version,
    status: state.status,
    input: run.input,
    labels: run.labels,
    priority: run.priority,
    ...(view.error ? { error: view.error } : {}),
    startedAt: view.startedAt,
    ...(view.finishedAt ? { finishedAt: view.finishedAt } : {}),
    stages: Object.fromEntries(stages),
    revision: view.revision,
    position: view.position,
  }
}

function presentStage(stage: StageState): StageView {
  switch (stage.status) {
    case 'blocked':
      return { status: 'blocked', attempt: 0 }
    case 'expanded':
      return { status: 'running', attempt: stage.attempt }
    case 'waiting': {
      const { waits, attempt } = stage
      const until = 'until' in waits && waits.until !== undefined ? { until: waits.until } : {}
      return { status: 'waiting', attempt, waiting: { for: waits.for, ...until } }
    }
    case 'scheduled':
    case 'running':
      return { status: stage.status, attempt: stage.attempt }
    case 'retrying': {
      // The attempt to come has not begun: what has been seen so far is the one before.
      const { attempt, error, dueAt } = stage
      return { status: 'retrying', attempt: attempt - 1, error, waiting: { for: 'retry', until: dueAt } }
    }
    case 'completed':
      return { status: 'completed', attempt: stage.attempt, output: stage.output }
    case 'failed':
      return { status: 'failed', attempt: stage.attempt, error: stage.error }
    case 'skipped':
      return { status: 'skipped', attempt: stage.attempt, reason: `${stage.reason}: ${stage.detail}` }
    case 'cancelled':
      return { status: 'cancelled', attempt: stage.attempt, reason: stage.reason }
  }
}
