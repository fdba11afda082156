import type { CompiledStage, CompiledWorkflow } from '../workflow/definition.ts'
import type { ExecutionEvent, ExecutionEventOf, GeneratedStage } from './events.ts'
import { createGraph, type WorkflowGraph } from './graph.ts'
import {
  type Checkpoint,
  type Execution,
  hasEnded,
  isOpen,
  type OpenExecution,
  type Run,
  type StageState,
  stageOf,
} from './state.ts'

type DataOf<T extends ExecutionEvent['type']> = ExecutionEventOf<T>['data']

/** Folds one event; what it says is taken as it is. */
export function evolve(state: Execution, event: ExecutionEvent): Execution {
  if (event.type === 'ExecutionStarted') return started(event.data)
  if (state.status === 'none') throw new Error(`${event.type} comes before ExecutionStarted`)
  if (!isOpen(state)) throw new Error(`${event.type} comes after the run has ended`)
  switch (event.type) {
    case 'ExecutionCancellationRequested': {
      const { reason, outcome } = event.data
      return { ...going(state), status: 'cancelling', reason, outcome, stages: state.stages.map(stopping(reason)) }
    }
    case 'ExecutionPaused':
      return { ...going(state), status: 'paused', remainingMs: event.data.remainingMs }
    case 'ExecutionResumed':
      return { ...going(state), status: 'running', timeoutAt: event.data.timeoutAt }
    case 'SignalReceived':
      return {
        ...state,
        signals: [...state.signals, event.data],
        signalIds: [...state.signalIds, event.data.id],
      }
    case 'StagesGenerated':
      return generated(state, event.data)
    case 'CompensationStarted':
      return { ...withStages(state, event.data.stages), compensable: [] }
    case 'ExecutionCompleted':
      return { status: 'completed', run: state.run, stages: state.stages, output: event.data.output }
    case 'ExecutionFailed':
      return { status: 'failed', run: state.run, stages: state.stages, output: undefined }
    case 'ExecutionCancelled':
      return { status: 'cancelled', run: state.run, stages: state.stages, output: undefined }
    default:
      return withStage(state, event)
  }
}

function started(data: DataOf<'ExecutionStarted'>): OpenExecution {
  const { definition, trigger, restoredFrom: _, parent, timeoutAt, ...rest } = data
  const run = { ...rest, definition, graph: graphOf(definition), startedBy: trigger.by, parent }
  return {
    status: 'running',
    run,
    stages: definition.stages.map(blocked),
    open: definition.stages.length,
    failing: false,
    compensable: [],
    signals: [],
    signalIds: [],
    timeoutAt,
  }
}

/** What open runs have in common, without what only one status has. */
function going({ run, stages, open, failing, compensable, signals, signalIds, timeoutAt }: OpenExecution) {
  return { run, stages, open, failing, compensable, signals, signalIds, timeoutAt }
}

const blocked = (stage: CompiledStage): StageState => ({
  status: 'blocked',
  pending: stage.needs.length,
  checkpoint: undefined,
})

const stopping =
  (reason: string) =>
  (stage: StageState): StageState =>
    stage.status === 'running' && stage.stopping === undefined ? { ...stage, stopping: reason } : stage

/** Runs of one version share its graph as long as they share the definition in memory. */
const graphs = new WeakMap<readonly CompiledStage[], WorkflowGraph>()

function graphOf({ stages }: CompiledWorkflow): WorkflowGraph {
  const known = graphs.get(stages)
  if (known) return known
  const graph = createGraph(stages)
  graphs.set(stages, graph)
  return graph
}

function withStages(state: OpenExecution, added: readonly CompiledStage[]): OpenExecution {
  const definition = { ...state.run.definition, stages: [...state.run.definition.stages, ...added] }
  const run = { ...state.run, definition, graph: createGraph(definition.stages) }
  return { ...state, run, stages: [...state.stages, ...added.map(blocked)], open: state.open + added.length }
}

function generated(before: OpenExecution, data: DataOf<'StagesGenerated'>): OpenExecution {
  const index = before.run.graph.indexOf(data.parent)
  const parent = stageOf(before.run, index)
  const first = before.stages.length
  const state = withStages(
    before,
    data.stages.map((stage) => childOf(parent, stage)),
  )
  const { attempt, output } = data
  const children = data.stages.map((_, place) => first + place)
  const stages = state.stages.slice()
  stages[index] = { status: 'expanded', attempt, children, open: children.length, output }
  return { ...state, stages }
}

function childOf(parent: CompiledStage, child: GeneratedStage): CompiledStage {
  if ('uses' in child) return child
  const { matrix: _, when: __, ...rest } = parent
  return { ...rest, ...child, parent: parent.id, needs: [], trigger: 'all-success' }
}

export type StageEvent = Extract<ExecutionEvent, { data: { readonly stage: string } }>

function withStage(state: OpenExecution, event: StageEvent): OpenExecution {
  const index = state.run.graph.indexOf(event.data.stage)
  const before = state.stages[index]
  if (before === undefined) throw new Error(`${event.type} names no stage: ${event.data.stage}`)
  const stages = state.stages.slice()
  const after = evolveStage(before, event)
  stages[index] = after
  const next = { ...state, stages }
  if (event.type === 'StageFailed' || event.type === 'StageAbandoned') return failed(next, index, event.data)
  if (event.type === 'StageRetried') return retried(next, index, before, event.data)
  if (!hasEnded(after) || hasEnded(before)) return next
  const ended = endedAt(next, stages, index)
  return after.status === 'completed' ? completed(ended, index, before, after.attempt) : ended
}

/** `stages` is the fresh copy that is part of `state`, and is written to. */
function endedAt(state: OpenExecution, stages: StageState[], index: number): OpenExecution {
  for (const dependent of state.run.graph.dependentsOf(index)) {
    const stage = stages[dependent]!
    if (stage.status === 'blocked') stages[dependent] = { ...stage, pending: stage.pending - 1 }
  }
  countInParent(state.run, stages, index, -1)
  return { ...state, open: state.open - 1 }
}

function countInParent(run: Run, stages: StageState[], index: number, change: number): void {
  const { parent } = stageOf(run, index)
  if (parent === undefined) return
  const at = run.graph.indexOf(parent)
  const state = stages[at]!
  if (state.status === 'expanded') stages[at] = { ...state, open: state.open + change }
}

function completed(state: OpenExecution, index: number, before: StageState, attempt: number): OpenExecution {
  const undoable = attempt > 0 && stageOf(state.run, index).compensate !== undefined
  const next = undoable ? { ...state, compensable: [...state.compensable, index] } : state
  if (before.status !== 'waiting' || before.waits.for !== 'signal') return next
  const { name } = before.waits
  const taken = next.signals.find((signal) => signal.name === name)
  return { ...next, signals: next.signals.filter((signal) => signal !== taken) }
}

function failed(state: OpenExecution, index: number, data: DataOf<'StageFailed' | 'StageAbandoned'>): OpenExecution {
  const { stage, recovery, stops = [] } = data
  if (recovery === 'retry' || recovery === 'fallback' || recovery === 'skip' || recovery === 'ask') return state
  const stages = state.stages.slice()
  for (const id of stops) {
    const at = state.run.graph.indexOf(id)
    stages[at] = stopping(`${stage} failed`)(stages[at]!)
  }
  const ofRun = stageOf(state.run, index).parent === undefined
  const failing =
    recovery === 'compensate'
      ? 'compensate'
      : recovery === 'fail-fast' && ofRun
        ? state.failing || 'fail-fast'
        : state.failing
  return endedAt({ ...state, stages, failing }, stages, index)
}

function retried(state: OpenExecution, index: number, before: StageState, data: DataOf<'StageRetried'>): OpenExecution {
  const changed = data.with === undefined ? state : { ...state, run: withInput(state.run, index, data.with) }
  if (!hasEnded(before)) return changed
  const { run } = changed
  const stages = changed.stages.slice()
  const reopened = (data.reopens ?? []).map((id) => run.graph.indexOf(id))
  for (const at of reopened) stages[at] = blocked(stageOf(run, at))
  for (const at of [index, ...reopened]) countInParent(run, stages, at, 1)
  // Every stage that waits for one that is open again has more to wait for, whether it was reopened or had not ended.
  const touched = new Set([index, ...reopened].flatMap((at) => run.graph.dependentsOf(at)))
  for (const at of touched) {
    const stage = stages[at]!
    if (stage.status !== 'blocked') continue
    const pending = run.graph.needsOf(at).filter((need) => !hasEnded(stages[need]!)).length
    stages[at] = { ...stage, pending }
  }
  return { ...changed, stages, open: changed.open + 1 + reopened.length }
}

/** The stages change in place, so to say: the graph stays the one it was. */
function withInput(run: Run, index: number, input: CompiledStage['with']): Run {
  const stages = run.definition.stages.slice()
  stages[index] = { ...stages[index]!, with: input }
  return { ...run, definition: { ...run.definition, stages } }
}

/** Before the first attempt there is nothing behind a stage but what it was restored with. */
function triedOf(before: StageState): { lost: number; checkpoint: Checkpoint | undefined; fallback: boolean } {
  if ('lost' in before) return { lost: before.lost, checkpoint: before.checkpoint, fallback: before.fallback }
  return { lost: 0, checkpoint: before.status === 'blocked' ? before.checkpoint : undefined, fallback: false }
}

function evolveStage(before: StageState, event: StageEvent): StageState {
  switch (event.type) {
    case 'StageScheduled': {
      const { attempt, waitsFor } = event.data
      const tried = { attempt, ...triedOf(before) }
      if (waitsFor === undefined) return { status: 'scheduled', ...tried }
      if (waitsFor.for !== 'approval') return { status: 'waiting', ...tried, waits: waitsFor }
      const nobody = { approvers: [], required: 1, selfApproval: true, granted: [] }
      return { status: 'waiting', ...tried, waits: { ...waitsFor, ...nobody } }
    }
    case 'StageStarted': {
      const { attempt, worker } = event.data
      return { status: 'running', attempt, ...triedOf(before), worker, stopping: undefined }
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
      return { status: 'failed', attempt: event.data.attempt, error: errorOf(before) }
    case 'StageRetried':
      return retriedStage(before, event.data)
    case 'StageSkipped': {
      const { reason, detail } = event.data
      const attempt = 'attempt' in before ? before.attempt : 0
      const error = reason === 'recovery' ? errorOf(before) : undefined
      return { status: 'skipped', attempt, reason, detail, error }
    }
    case 'StageCancelled':
      return { status: 'cancelled', attempt: event.data.attempt, reason: event.data.reason }
    case 'ApprovalRequested':
    case 'ApprovalGranted':
    case 'ApprovalRejected':
      return withApproval(before, event)
    case 'StageRestored':
      return restoredStage(before, event.data)
  }
}

function failedStage(before: StageState, { attempt, error, recovery }: DataOf<'StageFailed'>): StageState {
  if (recovery === 'ask' || recovery === 'skip')
    return { status: 'waiting', attempt, ...triedOf(before), waits: { for: 'person', error } }
  if (recovery === 'retry' || recovery === 'fallback')
    return { status: 'retrying', attempt: attempt + 1, ...triedOf(before), dueAt: '', queue: undefined, error }
  return { status: 'failed', attempt, error }
}

function retriedStage(before: StageState, data: DataOf<'StageRetried'>): StageState {
  const { attempt, dueAt, queue, reason } = data
  const { lost, checkpoint, fallback } = triedOf(before)
  return {
    status: 'retrying',
    attempt,
    lost: reason === 'lost' ? lost + 1 : lost,
    // What the work had saved is nothing that its fallback could go on from.
    checkpoint: reason === 'fallback' ? undefined : checkpoint,
    fallback: reason === 'fallback' || fallback,
    dueAt,
    queue: queue ?? (before.status === 'retrying' ? before.queue : undefined),
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
