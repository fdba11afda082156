import { createGraph, type GraphStage } from '../domain/execution/graph.ts'
import type { CompiledStage } from '../domain/workflow/definition.ts'
import type { ExecutionStatus, StageStatus } from './queries.ts'
import { type FoldedRun, viewOf } from './run-fold.ts'

/** The stages of a run and what waits for what. `level` is how many steps come before a node. */
export type ExecutionGraph = {
  readonly nodes: readonly {
    readonly id: string
    readonly uses: string
    readonly level: number
    readonly status: StageStatus
    readonly attempt: number
    /** The stage that generated it. */
    readonly parent?: string
    /** The stage that it undoes. */
    readonly compensates?: string
  }[]
  /** `to` needs `from`. */
  readonly edges: readonly { readonly from: string; readonly to: string }[]
  readonly status: ExecutionStatus
  readonly revision: number
  readonly position: number
}

/** Of the stages that the run has at that moment, those among them that were generated. */
export function graphOf(run: FoldedRun): ExecutionGraph {
  const { stages } = run.state.run.definition
  const view = viewOf(run)
  const levels = levelsOf(stages)
  const nodes = stages.map(({ id, uses, parent, compensates }) => {
    const { status, attempt } = view.stages[id] ?? { status: 'blocked', attempt: 0 }
    const of = { ...(parent === undefined ? {} : { parent }), ...(compensates === undefined ? {} : { compensates }) }
    return { id, uses, level: levels.get(id) ?? 0, status, attempt, ...of }
  })
  const edges = stages.flatMap(({ id: to, needs }) => needs.map((from) => ({ from, to })))
  return { nodes, edges, status: view.status, revision: view.revision, position: view.position }
}

/**
 * Generated stages stand with the one that generated them, before all that need it; what undoes the run comes after the rest.
 */
function levelsOf(stages: readonly CompiledStage[]): ReadonlyMap<string, number> {
  const byId = new Map(stages.map((stage) => [stage.id, stage]))
  const children = Map.groupBy(stages, ({ parent }) => parent)
  const within = (id: string): string[] => [id, ...(children.get(id) ?? []).flatMap((child) => within(child.id))]
  const before = (stage: CompiledStage): readonly string[] => {
    const parent = stage.parent === undefined ? undefined : byId.get(stage.parent)
    return [...stage.needs.flatMap(within), ...(parent ? before(parent) : [])]
  }
  const placed = (some: readonly CompiledStage[], needsOf: (stage: CompiledStage) => readonly string[]) =>
    createGraph(some.map((stage): GraphStage => ({ id: stage.id, needs: [...new Set(needsOf(stage))] }))).levels()
  const forward = placed(
    stages.filter(({ compensates }) => compensates === undefined),
    before,
  )
  const backward = placed(
    stages.filter(({ compensates }) => compensates !== undefined),
    ({ needs }) => needs,
  )
  return new Map([...forward, ...backward].flatMap((ids, level) => ids.map((id) => [id, level] as const)))
}
