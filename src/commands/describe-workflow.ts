import { createGraph } from '../domain/execution/graph.ts'
import type { Json } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import { compileDocument } from './compile-document.ts'

/** The shape of a workflow's graph. */
export type WorkflowDescription = {
  readonly name: string
  readonly stages: number
  readonly edges: number
  readonly order: readonly string[]
  readonly levels: readonly (readonly string[])[]
  readonly roots: readonly string[]
  readonly leaves: readonly string[]
  readonly width: number
  /** The chain that takes longest when every stage takes its whole timeout: the run takes no longer, unless it retries or waits. */
  readonly criticalPath: { readonly path: readonly string[]; readonly totalMs: number }
}

/** @throws Rejected DEFINITION_INVALID with everything that is wrong with the document */
export function describeWorkflow(document: Json): WorkflowDescription {
  const compiled = compileDocument(document)
  if (!compiled.ok) throw new Rejected('DEFINITION_INVALID', 'the workflow definition has faults', compiled.faults)
  const { name, stages } = compiled.definition
  const graph = createGraph(stages)
  const { edges, roots, leaves, width } = graph.summary()
  return {
    name,
    stages: stages.length,
    edges,
    order: graph.topologicalOrder(),
    levels: graph.levels(),
    roots,
    leaves,
    width,
    criticalPath: graph.criticalPath(new Map(stages.map(({ id, timeoutMs }) => [id, timeoutMs]))),
  }
}
