// Stages that a handler generates while its stage runs: the syntax and the checks are those of a workflow's own stages.
import { createGraph, type GraphStage, validateGraph } from '../execution/graph.ts'
import type { Json } from '../message.ts'
import type { Fault } from '../rejected.ts'
import { placed, withoutRepeats } from './compile.ts'
import { compileStage } from './compile-stage.ts'
import type { CompiledStage, CompiledWorkflow } from './definition.ts'
import { faultsBySchema, isMembers, keyFaults, pointerTo } from './document-faults.ts'
import { namePattern, stageSchema } from './schema.ts'
import { graphStages, stageFaults } from './stage-faults.ts'

export type GeneratedCompilation =
  | { readonly ok: true; readonly stages: readonly CompiledStage[] }
  /** Their pointers begin at the map of the stages. */
  | { readonly ok: false; readonly faults: readonly Fault[] }

type Documents = { readonly [id: string]: Json }

/**
 * Compiles what the stage `parentId` of a run generated. Ids become `<parent>.<id>` and `needs` name each other as they were
 * generated; in expressions each stage has its whole id, and besides those it needs one may name what the parent could.
 */
export function compileGenerated(
  documents: Documents,
  parentId: string,
  definition: CompiledWorkflow,
): GeneratedCompilation {
  const parent = definition.stages.find(({ id }) => id === parentId)
  if (parent === undefined) throw new Error(`the run has no stage ${JSON.stringify(parentId)}`)
  const faults = withoutRepeats(faultsIn(documents, parent, definition))
  if (faults.length > 0) return { ok: false, faults }
  const wholeId = (id: string) => `${parentId}.${id}`
  const shared = { timeoutMs: definition.timeoutMs, retry: undefined, env: undefined }
  const stages = Object.entries(documents).map(([id, document]): CompiledStage => {
    const compiled = compileStage(wholeId(id), stageSchema.parse(document), shared)
    return { ...compiled, needs: compiled.needs.map(wholeId), parent: parentId }
  })
  return { ok: true, stages }
}

function faultsIn(documents: Documents, parent: CompiledStage, definition: CompiledWorkflow): readonly Fault[] {
  if (parent.compensates !== undefined)
    return [{ pointer: '', message: `${parent.id} undoes another stage, and must do so itself` }]
  const siblings = graphStages(documents)
  const graphFaults = validateGraph(siblings).map((fault) => placed(fault, documents))
  const whole = wholeGraph(siblings, parent, definition)
  const around = {
    workflow: {},
    ids: new Set(whole.map(({ id }) => id)),
    graph: graphFaults.length === 0 ? createGraph(whole) : undefined,
  }
  const inStages = Object.entries(documents).flatMap(([id, document]) => {
    const named = namePattern.test(id) ? [] : [badName(id)]
    const shape = [...keyFaults(document, pointerTo([id])), ...faultsBySchema(stageSchema, document, [id])]
    if (!isMembers(document)) return [...named, ...shape]
    const wholeId = `${parent.id}.${id}`
    const beyond = stageFaults(wholeId, document, around).map((fault) => moved(fault, ['stages', wholeId], [id]))
    return [...named, ...shape, ...beyond]
  })
  return [...graphFaults.map((fault) => moved(fault, ['stages'], [])), ...inStages]
}

const badName = (id: string): Fault => ({
  pointer: pointerTo([id]),
  message:
    'a stage is named in at most 63 lower-case letters, digits, hyphens and underscores, and a letter comes first',
})

function moved(fault: Fault, from: readonly string[], to: readonly string[]): Fault {
  return { ...fault, pointer: pointerTo(to) + fault.pointer.slice(pointerTo(from).length) }
}

/** The stages of the run with those generated, which wait for all that their parent has waited for. */
function wholeGraph(
  siblings: readonly GraphStage[],
  parent: CompiledStage,
  { stages }: CompiledWorkflow,
): readonly GraphStage[] {
  const byId = new Map(stages.map((stage) => [stage.id, stage]))
  const before: string[] = []
  for (let at: CompiledStage | undefined = parent; at; at = at.parent === undefined ? undefined : byId.get(at.parent))
    before.push(...at.needs)
  const added = siblings.map(({ id, needs }) => ({
    id: `${parent.id}.${id}`,
    needs: [...needs.map((need) => `${parent.id}.${need}`), ...before],
  }))
  return [...stages, ...added]
}
