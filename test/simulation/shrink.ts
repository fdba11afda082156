// Makes a plan that fails smaller, as long as it fails in the same way: less that is run, less that is done, less that goes wrong.
import type { Plan, StagePlan, WorkflowPlan } from './plan.ts'

const SIMPLEST: Partial<StagePlan> = {
  trigger: 'all-success',
  maxAttempts: 1,
  kind: 'shell',
  matrix: 'none',
  fallback: 'none',
  compensate: 'none',
  continueOnError: 1,
  pooled: 1,
  needs: [],
}

const without = <T>(list: readonly T[]): T[][] => list.map((_, at) => list.filter((__, other) => other !== at))

/** Every plan that is one step smaller, the largest steps first. */
function* smaller(plan: Plan): Generator<Plan> {
  for (const mishaps of [[], ...without(plan.mishaps)]) yield { ...plan, mishaps }
  for (const acts of [[], ...without(plan.acts)]) yield { ...plan, acts }
  const { schedule, ...unscheduled } = plan
  if (schedule) yield unscheduled
  yield { ...plan, rates: {} }
  for (const kind of Object.keys(plan.rates)) yield { ...plan, rates: { ...plan.rates, [kind]: 0 } }
  for (let run = plan.runs.length - 1; run >= 0 && plan.runs.length > 1; run--) yield withoutRun(plan, run)
  if (plan.engines > 1) yield { ...plan, engines: 1 }
  if (plan.workers > 1) yield { ...plan, workers: 1 }
  for (const [index, workflow] of plan.workflows.entries())
    for (const simpler of smallerWorkflows(workflow)) yield { ...plan, workflows: plan.workflows.with(index, simpler) }
  if (plan.latencyMs > 0) yield { ...plan, latencyMs: 0 }
}

/** What was done to the run is left out with it. */
function withoutRun(plan: Plan, run: number): Plan {
  const acts = plan.acts.filter((act) => act.run !== run)
  const moved = acts.map((act) => ({ ...act, run: act.run > run ? act.run - 1 : act.run }))
  return { ...plan, runs: plan.runs.toSpliced(run, 1), acts: moved }
}

function* smallerWorkflows(workflow: WorkflowPlan): Generator<WorkflowPlan> {
  const { stages, concurrency, ...rest } = workflow
  if (concurrency) yield { stages, ...rest }
  if (stages.length > 1) yield { ...workflow, stages: stages.slice(0, -1) }
  for (const [index, stage] of stages.entries()) {
    const { calls, abandons, ...own } = stage
    if (calls !== undefined) yield { ...workflow, stages: stages.with(index, own) }
    for (const [member, value] of Object.entries(SIMPLEST)) {
      if (JSON.stringify(stage[member as keyof StagePlan]) === JSON.stringify(value)) continue
      yield { ...workflow, stages: stages.with(index, { ...stage, [member]: value }) }
    }
  }
}

/** @param fails whether a plan fails in the same way as the first one */
export async function shrink(plan: Plan, fails: (plan: Plan) => Promise<boolean>, withinMs: number): Promise<Plan> {
  const untilMs = performance.now() + withinMs
  let smallest = plan
  for (let found = true; found; ) {
    found = false
    for (const candidate of smaller(smallest)) {
      if (performance.now() > untilMs) return smallest
      if (JSON.stringify(candidate) === JSON.stringify(smallest) || !(await fails(candidate))) continue
      smallest = candidate
      found = true
      break
    }
  }
  return smallest
}
