// What people give a stage in place of its `with` is held to what a workflow is held to: a script with an expression in it
// would otherwise be put together from values.
import type { Json } from '../message.ts'
import { type Fault, Rejected } from '../rejected.ts'
import type { CompiledStage } from '../workflow/definition.ts'
import { inputFaults } from '../workflow/stage-faults.ts'
import type { Draft } from './draft.ts'
import type { WorkflowGraph } from './graph.ts'

type Input = { readonly [key: string]: Json }

/** @throws Rejected INPUT_INVALID, with pointers from `/with` on */
export function requireInput(draft: Draft, index: number, input: Input): void {
  const stage = draft.stage(index)
  const now = draft.now(index)
  const { uses } = 'fallback' in now && now.fallback ? (stage.fallback ?? stage) : stage
  // What was generated stands where the stage stands that generated it.
  let at = stage
  while (at.parent !== undefined) at = draft.stage(draft.state.run.graph.indexOf(at.parent))
  const faults = givenFaults({ ...stage, uses, id: at.id }, input, draft.state.run.graph)
  if (faults.length > 0) throw new Rejected('INPUT_INVALID', `${stage.id} cannot be given that`, faults)
}

export function givenFaults(
  { id, uses, matrix, values }: Pick<CompiledStage, 'id' | 'uses' | 'matrix' | 'values'>,
  input: Input,
  graph: WorkflowGraph,
): readonly Fault[] {
  return inputFaults({ id, uses, with: input, axes: Object.keys(matrix?.axes ?? values ?? {}) }, graph)
}
