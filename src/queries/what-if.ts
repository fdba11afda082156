import type { ExecutionEvent } from '../domain/execution/events.ts'
import { recordingOf } from '../domain/execution/recording.ts'
import { type Simulation, simulate } from '../domain/execution/simulate.ts'
import type { Json, RecordedEvent } from '../domain/message.ts'
import { upcast } from '../domain/upcast.ts'
import type { CompiledWorkflow } from '../domain/workflow/definition.ts'
import type { History } from './history.ts'
import type { ExecutionView, Queries } from './queries.ts'

/** Milliseconds; `retries` are attempts that were announced after a failure. */
type Course = {
  readonly status: string
  readonly durationMs: number
  readonly retries: number
}

type StageDifference = { readonly stage: string; readonly recorded: string | null; readonly simulated: string | null }

export type SimulatedRun = {
  readonly execution: string
  readonly recorded: Course
  readonly simulated: Course & Pick<Simulation, 'path' | 'stages'>
  /** Stages that ended otherwise, or that only one of the two has. */
  readonly differences: readonly StageDifference[]
}

export type WhatIf = {
  readonly runs: readonly SimulatedRun[]
  readonly summary: {
    readonly runs: number
    /** Runs that ended as they were recorded. */
    readonly sameStatus: number
    readonly completed: { readonly recorded: number; readonly simulated: number }
    readonly retries: { readonly recorded: number; readonly simulated: number }
    readonly medianDurationMs: { readonly recorded: number; readonly simulated: number }
  }
}

/** Which past runs: these, or the last so many that ended. */
export type Chosen = { readonly executions?: readonly string[]; readonly last: number }

export type WhatIfOf = ReturnType<typeof createWhatIf>

/** Of a run that is longer than this the rest is left out, and what it would have done is assumed. */
export const MAX_EVENTS = 50_000

/** Runs a definition against what past runs recorded. Nothing is started and nothing written. */
export function createWhatIf(history: History, queries: Pick<Queries, 'executions'>) {
  const idsOf = async (
    namespace: string,
    workflow: string,
    { executions, last }: Chosen,
  ): Promise<readonly string[]> => {
    if (executions) return executions
    const pages = await Promise.all(
      (['completed', 'failed'] as const).map((status) =>
        queries.executions(namespace, { workflow, status }, { limit: last }),
      ),
    )
    const found = pages.flatMap(({ items }) => items)
    found.sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1))
    return found.slice(0, last).map(({ id }) => id)
  }

  /** Undefined where one of the named runs is not there, or is another workflow's. */
  return async (
    namespace: string,
    workflow: string,
    definitionFor: (recorded: CompiledWorkflow) => CompiledWorkflow,
    chosen: Chosen & { readonly input?: Json },
  ): Promise<WhatIf | undefined> => {
    const runs: SimulatedRun[] = []
    for (const id of await idsOf(namespace, workflow, chosen)) {
      const stored = (await history.events(namespace, id, 0, MAX_EVENTS)) as readonly RecordedEvent<ExecutionEvent>[]
      const events = (stored ?? []).map((event) => upcast(event))
      const [first] = events
      const view = await history.stateAt(namespace, id)
      if (first?.type !== 'ExecutionStarted' || first.data.workflow !== workflow || !view) return undefined
      const { definition, input } = first.data
      const simulation = simulate(definitionFor(definition), chosen.input ?? input, recordingOf(events))
      runs.push(compare(id, courseOf(events, view), view, simulation))
    }
    return { runs, summary: summaryOf(runs) }
  }
}

function courseOf(events: readonly RecordedEvent<ExecutionEvent>[], view: ExecutionView): Course {
  const durationMs = Date.parse(view.finishedAt ?? events.at(-1)!.at) - Date.parse(view.startedAt)
  return { status: view.status, durationMs, retries: events.filter(({ type }) => type === 'StageRetried').length }
}

function compare(execution: string, recorded: Course, view: ExecutionView, simulation: Simulation): SimulatedRun {
  const simulatedStatus = new Map(simulation.stages.map(({ stage, status }) => [stage, status]))
  const ids = new Set([...Object.keys(view.stages), ...simulatedStatus.keys()])
  const differences = [...ids].flatMap((stage): StageDifference[] => {
    const before = Object.hasOwn(view.stages, stage) ? (view.stages[stage]?.status ?? null) : null
    const after = simulatedStatus.get(stage) ?? null
    return before === after ? [] : [{ stage, recorded: before, simulated: after }]
  })
  return { execution, recorded, simulated: simulation, differences }
}

function summaryOf(runs: readonly SimulatedRun[]): WhatIf['summary'] {
  const both = <T>(read: (course: Course) => T, sum: (values: readonly T[]) => number) => ({
    recorded: sum(runs.map(({ recorded }) => read(recorded))),
    simulated: sum(runs.map(({ simulated }) => read(simulated))),
  })
  const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0)
  return {
    runs: runs.length,
    sameStatus: runs.filter(({ recorded, simulated }) => recorded.status === simulated.status).length,
    completed: both(({ status }) => (status === 'completed' ? 1 : 0), total),
    retries: both(({ retries }) => retries, total),
    medianDurationMs: both(({ durationMs }) => durationMs, median),
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
}
