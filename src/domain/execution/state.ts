import type { Json } from '../message.ts'
import type { CompiledStage, CompiledWorkflow } from '../workflow/definition.ts'
import type { ExecutionEvent, ExecutionEventOf, SkipReason, StageError } from './events.ts'
import { createGraph, type WorkflowGraph } from './graph.ts'

/** `lost` counts the attempts so far that ended through no fault of their work. */
export type StageState =
  /** `pending` counts the needs that have not ended. */
  | { readonly status: 'blocked'; readonly pending: number }
  | { readonly status: 'waiting'; readonly attempt: number; readonly lost: number; readonly wakeAt: string }
  | { readonly status: 'scheduled'; readonly attempt: number; readonly lost: number }
  | { readonly status: 'running'; readonly attempt: number; readonly lost: number; readonly worker: string }
  /** `attempt` is the one to come. `dueAt` is empty only between `StageFailed` and its `StageRetried`. */
  | {
      readonly status: 'retrying'
      readonly attempt: number
      readonly lost: number
      readonly dueAt: string
      readonly error: StageError
    }
  | { readonly status: 'completed'; readonly attempt: number; readonly output: Json }
  | { readonly status: 'failed'; readonly attempt: number; readonly error: StageError }
  | { readonly status: 'skipped'; readonly reason: SkipReason; readonly detail: string }
  | { readonly status: 'cancelled'; readonly attempt: number; readonly reason: string }

/** What does not change once a run has started. Stages are addressed by their index in `definition.stages`. */
export type Run = {
  readonly executionId: string
  readonly namespace: string
  readonly workflow: string
  readonly version: number
  readonly definition: CompiledWorkflow
  readonly graph: WorkflowGraph
  readonly input: Json
  readonly labels: { readonly [name: string]: string }
  readonly priority: number
  readonly fingerprint: string
}

type Going = {
  readonly run: Run
  readonly stages: readonly StageState[]
  /** How many stages have not ended. */
  readonly open: number
  /** A stage failed and the rest is being brought to an end. */
  readonly failing: boolean
}

export type OpenExecution =
  | (Going & { readonly status: 'running' })
  | (Going & { readonly status: 'cancelling'; readonly reason: string; readonly outcome: 'cancelled' | 'failed' })

type EndedExecution = {
  readonly status: 'completed' | 'failed' | 'cancelled'
  readonly run: Run
  readonly stages: readonly StageState[]
}

export type Execution = { readonly status: 'none' } | OpenExecution | EndedExecution

export const isOpen = (state: Execution): state is OpenExecution =>
  state.status === 'running' || state.status === 'cancelling'

export const hasEnded = (stage: StageState): boolean =>
  stage.status === 'completed' ||
  stage.status === 'failed' ||
  stage.status === 'skipped' ||
  stage.status === 'cancelled'

export const stageOf = (run: Run, index: number): CompiledStage => run.definition.stages[index]!

export function evolve(state: Execution, event: ExecutionEvent): Execution {
  if (event.type === 'ExecutionStarted') return started(event.data)
  if (state.status === 'none') throw new Error(`${event.type} comes before ExecutionStarted`)
  if (!isOpen(state)) throw new Error(`${event.type} comes after the run has ended`)
  switch (event.type) {
    case 'ExecutionCancellationRequested':
      return { ...state, status: 'cancelling', reason: event.data.reason, outcome: event.data.outcome }
    case 'ExecutionCompleted':
      return { status: 'completed', run: state.run, stages: state.stages }
    case 'ExecutionFailed':
      return { status: 'failed', run: state.run, stages: state.stages }
    case 'ExecutionCancelled':
      return { status: 'cancelled', run: state.run, stages: state.stages }
    default:
      return withStage(state, event)
  }
}

function started(data: ExecutionEventOf<'ExecutionStarted'>['data']): OpenExecution {
  const { definition, trigger: _, ...rest } = data
  const graph = graphOf(definition)
  const run = { ...rest, definition, graph }
  const stages = definition.stages.map((stage): StageState => ({ status: 'blocked', pending: stage.needs.length }))
  return { status: 'running', run, stages, open: stages.length, failing: false }
}

/** Runs of one version share its graph as long as they share the definition in memory. */
const graphs = new WeakMap<CompiledWorkflow, WorkflowGraph>()

function graphOf(definition: CompiledWorkflow): WorkflowGraph {
  const known = graphs.get(definition)
  if (known) return known
  const graph = createGraph(definition.stages)
  graphs.set(definition, graph)
  return graph
}

type StageEvent = Exclude<ExecutionEvent, { type: `Execution${string}` }>

function withStage(state: OpenExecution, event: StageEvent): OpenExecution {
  const index = state.run.graph.indexOf(event.data.stage)
  const before = state.stages[index]
  if (before === undefined) throw new Error(`${event.type} names no stage: ${event.data.stage}`)
  const after = evolveStage(before, event)
  const stages = state.stages.slice()
  stages[index] = after
  if (!hasEnded(after) || hasEnded(before)) return { ...state, stages }
  for (const dependent of state.run.graph.dependentsOf(index)) {
    const stage = stages[dependent]!
    if (stage.status === 'blocked') stages[dependent] = { status: 'blocked', pending: stage.pending - 1 }
  }
  const failing = state.failing || (event.type === 'StageFailed' && event.data.recovery === 'fail-fast')
  return { ...state, stages, open: state.open - 1, failing }
}

function evolveStage(before: StageState, event: StageEvent): StageState {
  const lost = 'lost' in before ? before.lost : 0
  switch (event.type) {
    case 'StageScheduled': {
      const { attempt, wakeAt } = event.data
      return wakeAt === undefined
        ? { status: 'scheduled', attempt, lost }
        : { status: 'waiting', attempt, lost, wakeAt }
    }
    case 'StageStarted':
      return { status: 'running', attempt: event.data.attempt, lost, worker: event.data.worker }
    case 'StageCompleted':
      return { status: 'completed', attempt: event.data.attempt, output: event.data.output }
    case 'StageFailed': {
      const { attempt, error, recovery } = event.data
      if (recovery !== 'retry') return { status: 'failed', attempt, error }
      return { status: 'retrying', attempt: attempt + 1, lost, dueAt: '', error }
    }
    case 'StageRetried': {
      if (before.status !== 'retrying') throw new Error(`StageRetried comes to a stage that is ${before.status}`)
      const { attempt, dueAt, reason } = event.data
      return { ...before, attempt, dueAt, lost: reason === 'lost' ? lost + 1 : lost }
    }
    case 'StageSkipped':
      return { status: 'skipped', reason: event.data.reason, detail: event.data.detail }
    case 'StageCancelled':
      return { status: 'cancelled', attempt: event.data.attempt, reason: event.data.reason }
  }
}
