import { axesNamedBy, checkCondition, stagesNamedBy } from '../execution/expression.ts'
import type { GraphStage, WorkflowGraph } from '../execution/graph.ts'
import { expressionsIn } from '../execution/template.ts'
import type { Json } from '../message.ts'
import type { Fault } from '../rejected.ts'
import { writtenInputs } from './builtin-inputs.ts'
import { faultsBySchema, isMembers, type Members, pointerTo } from './document-faults.ts'
import { isBuiltin } from './handler-names.ts'
import { ineffectiveByHandler, ineffectiveInStage } from './no-effect.ts'
import { namePattern, stageSchema } from './schema.ts'
import { unsupportedHandler } from './unsupported.ts'

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
    ...unsupportedHandler(stage, pointer),
    ...ineffectiveInStage(stage, pointer, around.workflow),
    ...withFaults(stage, ['stages', id, 'with']),
    ...envFaults(stage, ['stages', id]),
    ...whenFaults(id, stage, around),
    ...expressionFaults(id, stage, around),
  ]
}

/** What is wrong with a `with` that is to take the place of a stage's in a run; pointers begin at `/with`. */
export function inputFaults(
  { id, uses, with: given, axes }: { id: string; uses: string; with: Members; axes: readonly string[] },
  graph: WorkflowGraph,
): readonly Fault[] {
  const around = { workflow: {}, ids: new Set(graph.ids), graph }
  const stage = { uses, with: given }
  return [...withFaults(stage, ['with']), ...valueFaults(id, withOf(stage), ['with'], around, { axes })]
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
  // It is asked once, before there are combinations.
  return [...referenceFaults(id, condition, pointer, around), ...matrixFaults(condition, pointer, [])]
}

/** What is wrong with the expressions of a stage, of what stands in for it, and of its matrix. */
function expressionFaults(id: string, stage: Members, around: Surroundings): readonly Fault[] {
  const at = ['stages', id]
  const axes = isMembers(stage.matrix) ? Object.keys(stage.matrix) : []
  const own = { except: id, axes }
  return [
    ...valueFaults(id, withOf(stage), [...at, 'with'], around, { axes }),
    ...valueFaults(id, stage.env, [...at, 'env'], around, { axes }),
    ...valueFaults(id, stage.matrix, [...at, 'matrix'], around, { axes: [] }),
    ...['fallback', 'compensate'].flatMap((member) => {
      const step = stage[member]
      if (!isMembers(step)) return []
      const inStep = [...at, member]
      return [
        ...unsupportedHandler(step, pointerTo(inStep)),
        ...ineffectiveByHandler(step, pointerTo(inStep)),
        ...withFaults(step, [...inStep, 'with']),
        ...envFaults(step, inStep),
        // By then the stage itself has ended.
        ...valueFaults(id, withOf(step), [...inStep, 'with'], around, own),
        ...valueFaults(id, step.env, [...inStep, 'env'], around, own),
      ]
    }),
  ]
}

/** A script is not looked through for expressions: that it holds none its schema says. */
function withOf({ uses, with: given }: Members): Json | undefined {
  if (uses !== 'shell' || !isMembers(given)) return given
  const { run: _, ...rest } = given
  return rest
}

type Seen = { readonly axes: readonly string[]; readonly except?: string }

function valueFaults(
  id: string,
  values: Json | undefined,
  at: readonly string[],
  around: Surroundings,
  { axes, except }: Seen,
): readonly Fault[] {
  if (values === undefined) return []
  return expressionsIn(values, pointerTo(at)).flatMap(({ pointer, text, fault }) => {
    if (fault !== undefined) return [{ pointer, message: fault }]
    return [...referenceFaults(id, text, pointer, around, except), ...matrixFaults(text, pointer, axes)]
  })
}

/** A stage can only name stages that are sure to have ended before it starts. */
function referenceFaults(
  id: string,
  text: string,
  pointer: string,
  around: Surroundings,
  except?: string,
): readonly Fault[] {
  return stagesNamedBy(text).flatMap((named) => {
    if (!around.ids.has(named)) return [{ pointer, message: `there is no stage called ${JSON.stringify(named)}` }]
    if (!around.graph || named === except || around.graph.isAncestor(named, id)) return []
    const message = `${JSON.stringify(named)} need not have ended when this stage starts; add it to \`needs\``
    return [{ pointer, message }]
  })
}

function matrixFaults(text: string, pointer: string, axes: readonly string[]): readonly Fault[] {
  const named = axesNamedBy(text)
  if (named === undefined) return []
  if (axes.length === 0) return [{ pointer, message: 'there is no combination of a matrix here' }]
  return named
    .filter((axis) => !axes.includes(axis))
    .map((axis) => ({ pointer, message: `the matrix has no axis ${JSON.stringify(axis)}` }))
}

/** `env` beside `with` is for scripts; elsewhere nobody would look at it. */
function envFaults(step: Members, at: readonly string[]): readonly Fault[] {
  if (step.env === undefined || step.uses === 'shell') return []
  return [{ pointer: pointerTo([...at, 'env']), message: '`env` has no effect here: it is for `shell`; use `with`' }]
}

/** Every stage has ended when the outputs of a run are made. */
export function outputFaults({ outputs }: Members, ids: ReadonlySet<string>): readonly Fault[] {
  if (outputs === undefined) return []
  return expressionsIn(outputs, '/outputs').flatMap(({ pointer, text, fault }) => {
    if (fault !== undefined) return [{ pointer, message: fault }]
    const unknown = stagesNamedBy(text).filter((named) => !ids.has(named))
    const faults = unknown.map((named) => ({ pointer, message: `there is no stage called ${JSON.stringify(named)}` }))
    return [...faults, ...matrixFaults(text, pointer, [])]
  })
}

/** A group is named before anything of the run has begun. */
export function groupFaults({ concurrency }: Members): readonly Fault[] {
  if (!isMembers(concurrency) || typeof concurrency.group !== 'string') return []
  return expressionsIn(concurrency.group, '/concurrency/group').flatMap(({ pointer, text, fault }) => {
    if (fault !== undefined) return [{ pointer, message: fault }]
    const named = stagesNamedBy(text)[0]
    const message = `no stage has run when the group is named, and so ${JSON.stringify(named)} says nothing here`
    return [...(named === undefined ? [] : [{ pointer, message }]), ...matrixFaults(text, pointer, [])]
  })
}

/** The stages in a shape that the graph can be checked in, whatever else is wrong with them. */
export const graphStages = (stages: Members): readonly GraphStage[] =>
  Object.entries(stages).map(([id, stage]) => ({ id, needs: isMembers(stage) ? needsIn(stage) : [] }))
