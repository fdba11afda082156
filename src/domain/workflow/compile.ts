import { createGraph, validateGraph } from '../execution/graph.ts'
import type { Json } from '../message.ts'
import type { Fault } from '../rejected.ts'
import type { CompiledSchedules } from '../schedule/commands.ts'
import { compileSchedule } from '../schedule/schema.ts'
import { compileStage, sharedBy } from './compile-stage.ts'
import type { CompiledWorkflow } from './definition.ts'
import { faultsBySchema, isMembers, keyFaults } from './document-faults.ts'
import { compileFailures, failureFaults } from './failure-rules.ts'
import { ineffectiveInWorkflow } from './no-effect.ts'
import type { WorkflowDocument } from './schema.ts'
import { workflowSchema } from './schema.ts'
import { graphStages, groupFaults, outputFaults, stageFaults } from './stage-faults.ts'

export type Compilation =
  | {
      readonly ok: true
      readonly definition: CompiledWorkflow
      /** Not checked here: whether it is a JSON Schema is for whoever validates inputs with it. */
      readonly inputSchema?: { readonly [key: string]: Json }
      /** Whether their inputs fit the workflow's is not checked here either. */
      readonly schedules?: CompiledSchedules
    }
  | { readonly ok: false; readonly faults: readonly Fault[] }

/**
 * Turns a document into what runs, or says everything that is wrong with it. The checks go over the document as it is, each
 * as far as its part has the right shape, so that a misspelt member does not hide a cycle. Depth is for the parser to bound.
 */
export function compileWorkflow(document: Json): Compilation {
  const shape = [...keyFaults(document, ''), ...faultsBySchema(workflowSchema, document, [])]
  const faults = isMembers(document) ? [...shape, ...meaningFaults(document)] : shape
  if (faults.length > 0) return { ok: false, faults: withoutRepeats(faults) }
  const parsed = workflowSchema.parse(document)
  const inputSchema = parsed.input as { readonly [key: string]: Json } | undefined
  return {
    ok: true,
    definition: definitionOf(parsed),
    ...(inputSchema === undefined ? {} : { inputSchema }),
    ...schedulesOf(parsed),
  }
}

function schedulesOf({ name, schedules = {} }: WorkflowDocument): { readonly schedules?: CompiledSchedules } {
  const compiled = Object.entries(schedules).map(([key, schedule]) => [key, compileSchedule(schedule, name)])
  return compiled.length === 0 ? {} : { schedules: Object.fromEntries(compiled) }
}

function meaningFaults(document: { readonly [key: string]: Json }): readonly Fault[] {
  if (!isMembers(document.stages)) return groupFaults(document)
  const stages = graphStages(document.stages)
  const graphFaults = validateGraph(stages).map((fault) => placed(fault, document.stages))
  const graph = graphFaults.length === 0 ? createGraph(stages) : undefined
  const around = { workflow: document, ids: new Set(stages.map(({ id }) => id)), graph }
  const inStages = Object.entries(document.stages).flatMap(([id, stage]) =>
    isMembers(stage) ? [...stageFaults(id, stage, around)] : [],
  )
  return [
    ...ineffectiveInWorkflow(document),
    ...graphFaults,
    ...inStages,
    ...outputFaults(document, around.ids),
    ...groupFaults(document),
    ...failureFaults(document.failures, ['failures'], document.stages),
  ]
}

/** `needs` with one name may stand without a list; then there is no first item to point at. */
export function placed(fault: Fault, stages: Json | undefined): Fault {
  const [, id, at] = /^\/stages\/(.+)\/needs\/(\d+)$/.exec(fault.pointer) ?? []
  const stage = id !== undefined && isMembers(stages) ? stages[id] : undefined
  if (at === undefined || !isMembers(stage) || typeof stage.needs !== 'string') return fault
  return { ...fault, pointer: `/stages/${id}/needs` }
}

/** The schema and a later check can find the same thing at the same place. */
export function withoutRepeats(faults: readonly Fault[]): readonly Fault[] {
  const seen = new Set<string>()
  return faults.filter(({ pointer, message }) => {
    const key = `${pointer} ${message}`
    return !seen.has(key) && seen.add(key)
  })
}

const concurrencyOf = ({ group, limit = 1, onConflict = 'queue' }: NonNullable<WorkflowDocument['concurrency']>) => ({
  group,
  limit,
  onConflict,
})

function definitionOf(document: WorkflowDocument): CompiledWorkflow {
  const shared = sharedBy(document)
  return {
    name: document.name,
    timeoutMs: shared.timeoutMs,
    ...(document.concurrency === undefined ? {} : { concurrency: concurrencyOf(document.concurrency) }),
    onFailure: document.onFailure ?? 'fail-fast',
    ...(document.labels === undefined ? {} : { labels: document.labels }),
    ...(document.outputs === undefined ? {} : { outputs: document.outputs as { [key: string]: Json } }),
    stages: Object.entries(document.stages).map(([id, stage]) => compileStage(id, stage, shared)),
    ...(document.failures?.length ? { failures: compileFailures(document.failures) } : {}),
  }
}
