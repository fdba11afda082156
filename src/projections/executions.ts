// Runs, their stages and the attempts of those: the fold of a batch. `execution-rows.ts` turns it into rows.

import type { Blocker, ExecutionEvent, ExecutionEventOf } from '../domain/execution/events.ts'
import { executionEventVersions } from '../domain/execution/upcast.ts'
import { parseStream, type RecordedEvent } from '../domain/message.ts'
import { countRuns } from './analytics.ts'
import { executionWrites } from './execution-rows.ts'
import { foldStage, goOnAsOthers, newStage, renew, type Stage, stageOf } from './execution-stages.ts'
import type { Projection, Write } from './projection.ts'
import { agedRemovals, inOrder, REMOVALS, removalsHandled, runRemovals } from './removals.ts'

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
  output: string | null
  error: string | null
  finishedAt: string | null
  /** Set together with the status. */
  waiting: string | null
  revision: number
  position: number
  readonly stages: Map<string, Stage>
}

/** What runs do: each with its stages and their attempts, and all of them counted once they have ended. */
export const executions: Projection = {
  name: 'executions',
  version: 4,
  tables: ['executions', 'stages', 'attempts', 'failures', 'analytics', 'analytics_durations'],
  streams: ['execution-', ...REMOVALS],
  handles: { ...executionEventVersions, ...removalsHandled },
  apply: (batch) =>
    inOrder(batch, foldRuns, (removal) => [
      ...runRemovals(removal),
      ...agedRemovals(['analyticsByHour', 'analyticsByDay'], removal),
    ]),
}

function foldRuns(batch: readonly RecordedEvent<ExecutionEvent>[]): readonly Write[] {
  const runs = new Map<string, Run>()
  for (const event of batch) {
    const run = runs.get(event.stream) ?? unknownRun(parseStream(event.stream).id)
    runs.set(event.stream, run)
    run.revision = event.revision
    run.position = event.position
    fold(run, event)
  }
  const ended = [...runs.values()].filter(({ finishedAt }) => finishedAt !== null).map(({ id }) => id)
  const counted = ended.length > 0 ? [countRuns(ended)] : []
  return [...executionWrites([...runs.values()]), ...counted]
}

const unknownRun = (id: string): Run => ({
  id,
  started: null,
  status: null,
  output: null,
  error: null,
  finishedAt: null,
  waiting: null,
  revision: 0,
  position: 0,
  stages: new Map(),
})

function fold(run: Run, event: RecordedEvent<ExecutionEvent>): void {
  switch (event.type) {
    case 'ExecutionStarted':
      run.started = { namespace: event.metadata.namespace, at: event.at, data: event.data }
      run.status = 'running'
      run.waiting = waitingOf(event.data.concurrency)
      addStages(run, event.data.definition.stages, 0)
      return
    case 'ExecutionDeferred': {
      const { group, blockers } = event.data
      become(run, 'running')
      run.waiting = waitingOf({ group }, blockers)
      return
    }
    case 'ExecutionAdmitted':
      become(run, 'running')
      return
    case 'ExecutionPaused':
    case 'ExecutionResumed':
      become(run, event.type === 'ExecutionPaused' ? 'paused' : 'running')
      return
    case 'ExecutionCancellationRequested':
      become(run, 'cancelling')
      return
    case 'SignalReceived':
      return
    case 'StagesGenerated':
      generate(run, event)
      return
    case 'CompensationStarted':
      addStages(run, event.data.stages, firstOrdinal(event))
      return
    case 'ExecutionCompleted':
    case 'ExecutionFailed':
    case 'ExecutionCancelled':
      end(run, event)
      return
    default:
      foldStage(run, event)
  }
}

function become(run: Run, status: string): void {
  run.status = status
  run.waiting = null
}

const waitingOf = (concurrency: { readonly group: string } | undefined, blockers: readonly Blocker[] = []) =>
  concurrency === undefined ? null : JSON.stringify({ for: 'concurrency', group: concurrency.group, blockers })

function end(
  run: Run,
  event: RecordedEvent<ExecutionEventOf<'ExecutionCompleted' | 'ExecutionFailed' | 'ExecutionCancelled'>>,
): void {
  run.finishedAt = event.at
  switch (event.type) {
    case 'ExecutionCompleted':
      become(run, 'completed')
      run.output = event.data.output === undefined ? null : JSON.stringify(event.data.output)
      return
    case 'ExecutionFailed':
      become(run, 'failed')
      run.error = JSON.stringify(event.data.error)
      return
    case 'ExecutionCancelled':
      become(run, 'cancelled')
  }
}

/** More than the stages of any run. */
const PLACES = 1_000

/** Stages that come later stand after all that were there, whose number this batch need not know. */
const firstOrdinal = ({ revision }: { readonly revision: number }): number => revision * PLACES

function addStages(run: Run, stages: readonly { readonly id: string }[], first: number, parent?: string): void {
  for (const [place, { id }] of stages.entries()) run.stages.set(id, newStage(first + place, parent))
}

function generate(run: Run, event: RecordedEvent<ExecutionEventOf<'StagesGenerated'>>): void {
  const { parent, attempt, stages } = event.data
  const stage = stageOf(run, parent)
  // That of a matrix begins with this; the work of any other has ended with it.
  if (attempt === 0) renew(stage, 'running', 0).startedAt = event.at
  else goOnAsOthers(stage, attempt, event.at)
  addStages(run, stages, firstOrdinal(event), parent)
}
