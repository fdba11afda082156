import type { OpenExecution, StageState } from './state.ts'

/**
 * Whether a stage counts no more for a run that goes on from here: compensation has begun to undo it, or it came of one that
 * was. `again`: what it generated is not the same any more either.
 */
export function undoneIn({ run, stages }: OpenExecution): (id: string) => 'no' | 'itself' | 'again' {
  const { graph } = run
  const undone = new Set<string>()
  for (const [index, stage] of run.definition.stages.entries())
    for (let id = hasBegun(stages[index]!) ? stage.compensates : undefined; id !== undefined; ) {
      undone.add(id)
      // A matrix of which one part was undone is not complete.
      id = run.definition.stages[graph.indexOf(id)]?.parent
    }
  const after = new Set<string>()
  // Stages that were generated stand after the one that generated them.
  if (undone.size > 0)
    for (const { id, parent } of run.definition.stages)
      if ((parent !== undefined && after.has(parent)) || [...undone].some((other) => graph.isAncestor(other, id)))
        after.add(id)
  return (id) => (after.has(id) ? 'again' : undone.has(id) ? 'itself' : 'no')
}

const hasBegun = (stage: StageState): boolean => 'attempt' in stage && stage.attempt > 0
