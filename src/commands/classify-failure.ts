import { z } from 'zod'
import type { FailureClass, StageError } from '../domain/execution/events.ts'
import { classify } from '../domain/execution/failure.ts'
import type { Json } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import { workflowDecider } from '../domain/workflow/decide.ts'
import type { CompiledWorkflow, FailureRule, RecoveryPlan } from '../domain/workflow/definition.ts'
import { workflowStream } from '../domain/workflow/events.ts'
import { readFailureRules } from '../domain/workflow/failure-rules.ts'
import { versionToRun } from '../domain/workflow/state.ts'
import type { Caller } from './caller.ts'
import type { Handle } from './handle.ts'

/** An error as `StageFailed` records it, as far as it is known: an error that has no code is `HANDLER_FAILED`. */
const error = z.strictObject({
  code: z
    .string()
    .regex(/^[A-Z][A-Z0-9_]{0,63}$/, 'a code is in upper snake case, such as EXIT_NONZERO')
    .default('HANDLER_FAILED'),
  message: z.string().max(4_096).default(''),
  exitCode: z.int().optional(),
  signal: z.string().max(64).optional(),
  httpStatus: z.int().min(100).max(599).optional(),
})

export const classifyFailureBody = z
  .strictObject({
    error,
    workflow: z.string().min(1).max(63).optional(),
    version: z.int().min(1).optional(),
    /** Judged like those of a workflow. */
    rules: z.custom<Json>().optional(),
    stage: z.string().min(1).max(63).optional(),
  })
  .refine(({ workflow, version }) => version === undefined || workflow !== undefined, {
    error: 'a version is one of a workflow; name it',
    path: ['version'],
  })
export type ClassifyFailureBody = z.output<typeof classifyFailureBody>

export type ClassifiedFailure = {
  readonly class: FailureClass
  readonly rule: string
  readonly builtIn: boolean
  readonly recovery: RecoveryPlan
  readonly retries: boolean
}

/** Tries an error against rules: those that are sent, then the workflow's as the log has them, then the built-in ones. */
export function createClassifyFailure(handle: Handle) {
  return async (caller: Caller, body: ClassifyFailureBody): Promise<ClassifiedFailure> => {
    const { stage } = body
    const sent = body.rules === undefined ? [] : rulesSent(body.rules)
    const definition = await definitionOf(handle, caller, body)
    if (definition && stage !== undefined && !definition.stages.some(({ id }) => id === stage))
      throw new Rejected('STAGE_UNKNOWN', `the workflow ${definition.name} has no stage ${JSON.stringify(stage)}`)
    const rules = [...sent, ...(definition?.failures ?? [])]
    const { recover, ...kind } = classify(body.error as StageError, stage, rules)
    const otherwise = kind.retries ? 'retry' : (definition?.onFailure ?? 'fail-fast')
    return { ...kind, recovery: recover ?? { action: otherwise } }
  }
}

function rulesSent(rules: Json): readonly FailureRule[] {
  const read = readFailureRules(rules, ['rules'])
  if (!read.ok) throw new Rejected('DEFINITION_INVALID', 'the rules have faults', read.faults)
  return read.rules
}

async function definitionOf(
  handle: Handle,
  { namespace }: Caller,
  { workflow, version }: ClassifyFailureBody,
): Promise<CompiledWorkflow | undefined> {
  if (workflow === undefined) return undefined
  const { state } = await handle.load(workflowDecider, workflowStream(namespace, workflow))
  return versionToRun(state, version).definition
}
