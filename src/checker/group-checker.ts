// What a stage goes on as: those of its matrix, or those that its work has generated.
import type { CompiledStage } from '../domain/workflow/definition.ts'
import { type Recorded, type Run, said, seenOf } from './run-seen.ts'
import { checkBegins } from './stage-checker.ts'

/** A stage goes on as others: those of a matrix before it has begun, any others when its work has ended. */
export function takeGenerated(run: Run, event: Recorded<'StagesGenerated'>): void {
  const { parent, attempt, stages } = event.data
  const seen = run.stages.get(parent)
  if (!seen) {
    run.accuse(event, 14, `StagesGenerated names no stage of the run: ${parent}`)
    return
  }
  const { matrix: _, when: __, ...inherited } = seen.stage
  // A group that was restored is there before the stage would have begun.
  const atStart = event.metadata.commandId === run.startedWith
  if (seen.stage.matrix) {
    if (seen.status !== 'idle') run.accuse(event, 11, `it goes on as others while ${said(seen)}`)
    if (!atStart) checkBegins(run, seen, event)
  } else if (!atStart && (!['scheduled', 'running'].includes(seen.status) || attempt !== seen.attempt))
    run.accuse(event, 14, `attempt ${attempt} goes on as others while ${said(seen)}`)
  const children = stages.map((stage): CompiledStage => {
    if ('uses' in stage) return stage
    return { ...inherited, ...stage, parent, needs: [], trigger: 'all-success' }
  })
  const added = children.map(seenOf)
  for (const child of added) {
    const { id, parent: said } = child.stage
    if (run.stages.has(id)) run.accuse(event, 12, `the run has a stage ${id} already`)
    if (said !== parent) run.accuse(event, 14, `${id} does not say that ${parent} generated it`)
    run.stages.set(id, child)
  }
  Object.assign(seen, { status: 'expanded', attempt, children: added, dueAt: undefined })
}
