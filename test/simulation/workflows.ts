// The workflows of a plan as they run.
import type { CompiledWorkflow } from '../../src/domain/workflow/definition.ts'
import { stage, workflow } from '../support/executions.ts'
import { rules as planned, stageOfSpec } from '../support/random-runs.ts'
import type { StagePlan, WorkflowPlan } from './plan.ts'

/** A worker reports codes in upper case. */
const rules = planned.map((rule) => ({
  ...rule,
  match: { codes: rule.match.codes?.map((code) => code.toUpperCase()) ?? [] },
}))

export const workflowName = (index: number): string => `w${index}`

export function definitionOf({ stages, concurrency, ...rest }: WorkflowPlan, index: number): CompiledWorkflow {
  // A run would wait for ever for the room of the one that waits for it.
  const group = stages.some(({ calls }) => calls !== undefined) ? `calling-${index}` : 'shared'
  const limited = concurrency ? { concurrency: { group, ...concurrency } } : {}
  return workflow(stages.map(compiled), { name: workflowName(index), ...rest, ...limited, failures: rules })
}

function compiled(plan: StagePlan, index: number) {
  const own = stageOfSpec(plan, 's', index)
  if (plan.calls === undefined) return own
  const onCancel = plan.abandons ? 'abandon' : 'cancel'
  const called = { workflow: workflowName(plan.calls), input: { yes: true, list: ['x'] }, onCancel }
  const { uses, with: given } = stage(own.id, { uses: 'workflow', with: called })
  return { ...own, uses, with: given }
}
