import { checkCondition, stagesNamedBy } from '../execution/expression.ts'
import type { GraphStage, WorkflowGraph } from '../execution/graph.ts'
import { expressionsIn } from '../execution/template.ts'
import type { Fault } from '../rejected.ts'
import { writtenInputs } from './builtin-inputs.ts'
import { faultsBySchema, isMembers, type Members, pointerTo } from './document-faults.ts'
import { isBuiltin } from './handler-names.ts'
import { ineffectiveInStage } from './no-effect.ts'
import { namePattern, stageSchema } from './schema.ts'
import { unsupportedInStage } from './unsupported.ts'

/** What the checks below know besides the stage; there is no graph while that has faults of its own. */
export type Surroundings = {
  readonly workflow: Members
  readonly ids: ReadonlySet<string>
  readonly graph: WorkflowGraph | undefined
}

/** The names in `needs`, as far as it is what it should be; the schema reports what is not. */
function needsIn(stage: Members): readonly string[] {
  if (typeof stage.needs === 'string') return [stage.needs]
  return Array.isArray(stage.needs) ? stage.needs.filter((need) => typeof need === 'string') : []
}

/** Everything that is wrong with one stage beyond its shape and its place in the graph. */
export function stageFaults(id: string, stage: Members, around: Surroundings): readonly Fault[] {
  const pointer = pointerTo(['stages', id])
  // Of a member whose name it refuses, the schema of the whole does not look at the value.
  const shape = namePattern.test(id) ? [] : faultsBySchema(stageSchema, { ...stage }, ['stages', id])
  return [
    ...shape,
    ...unsupportedInStage(stage, pointer),
    ...ineffectiveInStage(stage, pointer, around.workflow),
    ...withFaults(stage, ['stages', id, 'with']),
    ...whenFaults(id, stage, around),
    ...expressionFaults(id, stage, around),
  ]
}

function withFaults(stage: Members, at: readonly string[]): readonly Fault[] {
  if (!isBuiltin(stage.uses) || (stage.with !== undefined && !isMembers(stage.with))) return []
  return faultsBySchema(writtenInputs[stage.uses], isMembers(stage.with) ? stage.with : {}, at)
}

/** `when` as the expression it is, whether or not it was wrapped in `${{ }}`. */
export function conditionOf(when: string | boolean): string {
  const text = String(when).trim()
  return text.startsWith('${{') && text.endsWith('}}') ? text.slice(3, -2).trim() : text
}

function whenFaults(id: string, stage: Members, around: Surroundings): readonly Fault[] {
  if (typeof stage.when !== 'string' && typeof stage.when !== 'boolean') return []
  const pointer = pointerTo(['stages', id, 'when'])
  const condition = conditionOf(stage.when)
  const message = checkCondition(condition)
  if (message !== undefined) return [{ pointer, message }]
  return referenceFaults(id, condition, pointer, around)
}

function expressionFaults(id: string, stage: Members, around: Surroundings): readonly Fault[] {
  if (!isMembers(stage.with)) return []
  const { run, ...rest } = stage.with
  const values = stage.uses === 'shell' || run === undefined ? rest : stage.with
  return expressionsIn(values, pointerTo(['stages', id, 'with'])).flatMap(({ pointer, text, fault }) =>
    fault === undefined ? referenceFaults(id, text, pointer, around) : [{ pointer, message: fault }],
  )
}

/** A stage can only name stages that are sure to have ended before it starts. */
function referenceFaults(id: string, text: string, pointer: string, around: Surroundings): readonly Fault[] {
  return stagesNamedBy(text).flatMap((named) => {
    if (!around.ids.has(named)) return [{ pointer, message: `there is no stage called ${JSON.stringify(named)}` }]
    if (!around.graph || around.graph.isAncestor(named, id)) return []
    const message = `${JSON.stringify(named)} need not have ended when this stage starts; add it to \`needs\``
    return [{ pointer, message }]
  })
}

/** The stages in a shape that the graph can be checked in, whatever else is wrong with them. */
export const graphStages = (stages: Members): readonly GraphStage[] =>
  Object.entries(stages).map(([id, stage]) => ({ id, needs: isMembers(stage) ? needsIn(stage) : [] }))
