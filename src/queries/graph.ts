import { createGraph } from '../domain/execution/graph.ts'
import type { CompiledWorkflow } from '../domain/workflow/definition.ts'
import type { History } from './history.ts'
import type { ExecutionStatus, StageStatus } from './queries.ts'

/** The stages of a run and what waits for what, as it stood at `revision`. `level` is how many steps come before a node. */
export type ExecutionGraph = {
  readonly nodes: readonly {
    readonly id: string
    readonly uses: string
    readonly level: number
    readonly status: StageStatus
    readonly attempt: number
  }[]
  /** `to` needs `from`. */
  readonly edges: readonly { readonly from: string; readonly to: string }[]
  readonly status: ExecutionStatus
  readonly revision: number
  readonly position: number
}

/** Undefined where the namespace has no such run. */
export function createExecutionGraph(history: History) {
  return async (namespace: string, id: string, revision?: number): Promise<ExecutionGraph | undefined> => {
    const [first] = (await history.events(namespace, id, 0, 1)) ?? []
    const view = first && (await history.stateAt(namespace, id, revision))
    if (!view) return undefined
    const { definition } = first.data as { readonly definition: CompiledWorkflow }
    const levels = createGraph(definition.stages).levels()
    const levelOf = new Map(levels.flatMap((ids, level) => ids.map((stage) => [stage, level] as const)))
    const nodes = definition.stages.map(({ id, uses }) => {
      const { status, attempt } = view.stages[id] ?? { status: 'blocked', attempt: 0 }
      return { id, uses, level: levelOf.get(id) ?? 0, status, attempt }
    })
    const edges = definition.stages.flatMap(({ id: to, needs }) => needs.map((from) => ({ from, to })))
    return { nodes, edges, status: view.status, revision: view.revision, position: view.position }
  }
}
