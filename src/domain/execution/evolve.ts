import type { CompiledStage, CompiledWorkflow } from '../workflow/definition.ts'
import type { ExecutionEvent, ExecutionEventOf, GeneratedStage } from './events.ts'
import { evolveStage, type StageEvent, triedOf } from './evolve-stage.ts'
import { createGraph, type WorkflowGraph } from './graph.ts'
import { type Execution, hasEnded, isOpen, type OpenExecution, type Run, type StageState, stageOf } from './state.ts'

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
    case 'ExecutionDeferred':
      return { ...going(state), status: 'queued', blockers: event.data.blockers }
    case 'ExecutionAdmitted':
      return {
        ...going(state),
        status: 'running',
        timeoutAt: event.data.timeoutAt,
        fence: event.data.grant.fence,
      }
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
      return { ...over(state), status: 'completed', output: event.data.output }
    case 'ExecutionFailed':
      return { ...over(state), status: 'failed' }
    case 'ExecutionCancelled':
      return { ...over(state), status: 'cancelled' }
    default:
      return withStage(state, event)
  }
}

function started(data: DataOf<'ExecutionStarted'>): OpenExecution {
  const { definition, trigger, restoredFrom: _, parent, concurrency, timeoutAt, ...rest } = data
  const run = {
    ...rest,
    definition,
    graph: graphOf(definition),
    startedBy: trigger.by,
    nominalAt: trigger.nominalAt,
    parent,
    concurrency,
  }
  return {
    ...(concurrency === undefined ? { status: 'running' } : { status: 'queued', blockers: undefined }),
    run,
    stages: definition.stages.map(blocked),
    open: definition.stages.length,
    failing: false,
    compensable: [],
    signals: [],
    signalIds: [],
    timeoutAt,
    fence: undefined,
  }
}

/** What open runs have in common, without what only one status has. */
function going({ run, stages, open, failing, compensable, signals, signalIds, timeoutAt, fence }: OpenExecution) {
  return { run, stages, open, failing, compensable, signals, signalIds, timeoutAt, fence }
}

const over = ({ run, stages, signalIds }: OpenExecution) => ({ run, stages, signalIds, output: undefined })

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
  const changed = data.with === undefined ? state : { ...state, run: withInput(state.run, index, before, data.with) }
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
function withInput(run: Run, index: number, before: StageState, input: CompiledStage['with']): Run {
  const stages = run.definition.stages.slice()
  const stage = stages[index]!
  const { fallback } = stage
  stages[index] =
    fallback && triedOf(before).fallback
      ? { ...stage, fallback: { ...fallback, with: input } }
      : { ...stage, with: input }
  return { ...run, definition: { ...run.definition, stages } }
}
