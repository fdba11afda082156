import { checkCondition, stagesNamedBy } from '../execution/expression.ts'
import type { GraphStage, WorkflowGraph } from '../execution/graph.ts'
import { expressionsIn } from '../execution/template.ts'
import type { Json } from '../message.ts'
import type { Fault } from '../rejected.ts'
import { faultsBySchema, pointerTo } from './document-faults.ts'
import { handlerSchemas, namePattern, stageSchema } from './schema.ts'
import { unsupportedInStage } from './unsupported.ts'

type Members = { readonly [key: string]: Json }

/** What the checks below know of the other stages; there is no graph while that has faults of its own. */
export type Surroundings = { readonly ids: ReadonlySet<string>; readonly graph: WorkflowGraph | undefined }

export const isMembers = (value: Json | undefined): value is { [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

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
    ...withFaults(stage, ['stages', id, 'with']),
    ...whenFaults(id, stage, around),
    ...expressionFaults(id, stage, around),
  ]
}

function withFaults(stage: Members, at: readonly string[]): readonly Fault[] {
  const known = Object.entries(handlerSchemas).find(([name]) => name === stage.uses)
  if (!known || (stage.with !== undefined && !isMembers(stage.with))) return []
  const [handler, schema] = known
  const given = isMembers(stage.with) ? stage.with : {}
  const faults = faultsBySchema(schema, given, at)
  if (handler !== 'shell' || typeof given.run !== 'string' || !given.run.includes('${{')) return faults
  const message =
    'a script gets values through its environment alone: put the expression into `env`, and use the variable here'
  return [...faults, { pointer: pointerTo([...at, 'run']), message }]
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
