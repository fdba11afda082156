import { createGraph, validateGraph } from '../execution/graph.ts'
import type { Json } from '../message.ts'
import type { Fault } from '../rejected.ts'
import type { Backoff, CompiledStage, CompiledWorkflow, RetryPolicy } from './definition.ts'
import { faultsBySchema, isMembers, keyFaults } from './document-faults.ts'
import { ineffectiveInWorkflow } from './no-effect.ts'
import type { StageDocument, WorkflowDocument } from './schema.ts'
import { workflowSchema } from './schema.ts'
import { conditionOf, graphStages, stageFaults } from './stage-faults.ts'
import { unsupportedInWorkflow } from './unsupported.ts'

export type Compilation =
  | {
      readonly ok: true
      readonly definition: CompiledWorkflow
      /** Not checked here: whether it is a JSON Schema is for whoever validates inputs with it. */
      readonly inputSchema?: { readonly [key: string]: Json }
    }
  | { readonly ok: false; readonly faults: readonly Fault[] }

const HOUR_MS = 3_600_000
const defaults = {
  timeoutMs: 24 * HOUR_MS,
  stageTimeoutMs: HOUR_MS,
  maxAttempts: 1,
  backoff: { type: 'exponential', initialMs: 1_000, maxMs: 60_000, jitter: 0.2 } satisfies Backoff,
}

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
  return { ok: true, definition: definitionOf(parsed), ...(inputSchema === undefined ? {} : { inputSchema }) }
}

function meaningFaults(document: { readonly [key: string]: Json }): readonly Fault[] {
  const unsupported = unsupportedInWorkflow(document)
  if (!isMembers(document.stages)) return unsupported
  const stages = graphStages(document.stages)
  const graphFaults = validateGraph(stages).map((fault) => placed(fault, document.stages))
  const graph = graphFaults.length === 0 ? createGraph(stages) : undefined
  const around = { workflow: document, ids: new Set(stages.map(({ id }) => id)), graph }
  const inStages = Object.entries(document.stages).flatMap(([id, stage]) =>
    isMembers(stage) ? [...stageFaults(id, stage, around)] : [],
  )
  return [...unsupported, ...ineffectiveInWorkflow(document), ...graphFaults, ...inStages]
}

/** `needs` with one name may stand without a list; then there is no first item to point at. */
function placed(fault: Fault, stages: Json | undefined): Fault {
  const [, id, at] = /^\/stages\/(.+)\/needs\/(\d+)$/.exec(fault.pointer) ?? []
  const stage = id !== undefined && isMembers(stages) ? stages[id] : undefined
  if (at === undefined || !isMembers(stage) || typeof stage.needs !== 'string') return fault
  return { ...fault, pointer: `/stages/${id}/needs` }
}

/** The schema and a later check can find the same thing at the same place. */
function withoutRepeats(faults: readonly Fault[]): readonly Fault[] {
  const seen = new Set<string>()
  return faults.filter(({ pointer, message }) => {
    const key = `${pointer} ${message}`
    return !seen.has(key) && seen.add(key)
  })
}

function definitionOf(document: WorkflowDocument): CompiledWorkflow {
  const timeoutMs = document.timeout ?? defaults.timeoutMs
  return {
    name: document.name,
    timeoutMs,
    onFailure: document.onFailure === 'continue' ? 'continue' : 'fail-fast',
    stages: Object.entries(document.stages).map(([id, stage]) => stageOf(id, stage, document.retry, timeoutMs)),
  }
}

function stageOf(id: string, stage: StageDocument, retry: StageDocument['retry'], runTimeoutMs: number): CompiledStage {
  return {
    id,
    uses: stage.uses,
    queue: stage.queue ?? 'default',
    needs: typeof stage.needs === 'string' ? [stage.needs] : (stage.needs ?? []),
    trigger: stage.trigger ?? 'all-success',
    ...(stage.when === undefined ? {} : { when: conditionOf(stage.when) }),
    with: (stage.with ?? {}) as { readonly [key: string]: Json },
    retry: retryOf(stage.retry, retry),
    // A wait says itself how long it takes; an hour would cut short what it is for.
    timeoutMs: stage.uses === 'wait' ? runTimeoutMs : (stage.timeout ?? defaults.stageTimeoutMs),
  }
}

function retryOf(own: StageDocument['retry'], shared: StageDocument['retry']): RetryPolicy {
  const backoff = own?.backoff ?? shared?.backoff
  const initialMs = backoff?.initial ?? defaults.backoff.initialMs
  return {
    maxAttempts: own?.maxAttempts ?? shared?.maxAttempts ?? defaults.maxAttempts,
    backoff: {
      type: backoff?.type ?? defaults.backoff.type,
      initialMs,
      // A long first pause alone is enough to say; the pauses after it are then no shorter.
      maxMs: backoff?.max ?? Math.max(defaults.backoff.maxMs, initialMs),
      jitter: backoff?.jitter ?? defaults.backoff.jitter,
    },
  }
}
