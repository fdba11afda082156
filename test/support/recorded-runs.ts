// Runs as they would be recorded, worked out from how long each attempt takes; and the events that lead to the same rows.
import { randomUUID } from 'node:crypto'
import type { ExecutionEvent, FailureClass } from '../../src/domain/execution/events.ts'
import { createGraph } from '../../src/domain/execution/graph.ts'
import type { CompiledWorkflow } from '../../src/domain/workflow/definition.ts'
import type { RecordedAttempt, RecordedRun, RecordedStage } from '../../src/queries/advice/recorded-run.ts'

/** `fails` is the class of its failure, `lost` that of an attempt whose worker was. */
export type AttemptPlan = {
  readonly workMs: number
  readonly waitMs?: number
  readonly fails?: FailureClass | 'lost'
}
/** By stage; one that is not named completes in a second. `skipped` stages never run. */
export type RunPlan = { readonly [stage: string]: readonly AttemptPlan[] | 'skipped' }

const START_MS = Date.parse('2026-01-05T09:00:00.000Z')
const PAUSE_MS = 1_000

/** A stage starts when all it needs have ended; after one that failed nothing starts. */
export function recordedRun(definition: CompiledWorkflow, plan: RunPlan = {}, startedMs = START_MS): RecordedRun {
  const stages = new Map<string, RecordedStage>()
  let failed = false
  for (const id of createGraph(definition.stages).topologicalOrder()) {
    const { needs } = definition.stages.find((stage) => stage.id === id)!
    const readyMs = Math.max(startedMs, ...needs.map((need) => stages.get(need)!.finishedMs!))
    const planned = plan[id] ?? [{ workMs: 1_000 }]
    const attempts: RecordedAttempt[] = failed || planned === 'skipped' ? [] : attemptsOf(planned, readyMs)
    stages.set(id, { finishedMs: attempts.at(-1)?.finishedMs ?? readyMs, attempts })
    failed ||= attempts.at(-1)?.outcome === 'failed'
  }
  const finishedMs = Math.max(...[...stages.values()].map((stage) => stage.finishedMs!))
  return { status: failed ? 'failed' : 'completed', startedMs, finishedMs, stages }
}

function attemptsOf(plans: readonly AttemptPlan[], readyMs: number): RecordedAttempt[] {
  const attempts: RecordedAttempt[] = []
  for (const [at, { workMs, waitMs = 0, fails }] of plans.entries()) {
    const last = attempts.at(-1)
    const scheduledMs = last ? last.finishedMs! + PAUSE_MS : readyMs
    const startedMs = scheduledMs + waitMs
    const times = { scheduledMs, startedMs, finishedMs: startedMs + workMs }
    const failure = {
      outcome: 'failed',
      class: fails === 'lost' ? 'infrastructure' : (fails ?? null),
      rule: fails === 'lost' ? 'worker-lost' : 'none',
      recovery: at < plans.length - 1 ? 'retry' : 'fail-fast',
    } as const
    attempts.push({
      ...times,
      ...(fails ? failure : { outcome: 'completed', class: null, rule: null, recovery: null }),
    })
  }
  return attempts
}

/** As many runs, an hour apart, the newest first; a plan for each. */
export const recordedRuns = (
  definition: CompiledWorkflow,
  count: number,
  planOf: (at: number) => RunPlan = () => ({}),
): RecordedRun[] =>
  Array.from({ length: count }, (_, at) => recordedRun(definition, planOf(at), START_MS - at * 3_600_000))

type Timed = { readonly atMs: number; readonly event: ExecutionEvent }

/** The events of such a run, in the order of their times. */
export function eventsOf(definition: CompiledWorkflow, run: RecordedRun, version = 1) {
  const executionId = randomUUID()
  const { name: workflow } = definition
  const about = { executionId, namespace: 'default', workflow, version, definition, input: {}, labels: {}, priority: 0 }
  const first: ExecutionEvent = {
    type: 'ExecutionStarted',
    data: {
      ...about,
      trigger: { kind: 'api', by: 'user:ada' },
      fingerprint: '',
      timeoutAt: new Date(run.startedMs + definition.timeoutMs).toISOString(),
    },
  }
  const between = [...run.stages].flatMap(([id, stage]) => stageEvents(id, stage)).toSorted((a, b) => a.atMs - b.atMs)
  const last: ExecutionEvent =
    run.status === 'completed'
      ? { type: 'ExecutionCompleted', data: { stages: run.stages.size } }
      : { type: 'ExecutionFailed', data: { error: { code: 'STAGE_FAILED', message: 'one failed', stages: [] } } }
  const timed = [{ atMs: run.startedMs, event: first }, ...between, { atMs: run.finishedMs, event: last }]
  const events = timed.map(({ atMs, event }) => ({ at: new Date(atMs).toISOString(), event }))
  return { stream: `execution-${executionId}`, events }
}

function stageEvents(stage: string, { attempts, finishedMs }: RecordedStage): Timed[] {
  if (attempts.length === 0)
    return [{ atMs: finishedMs!, event: { type: 'StageSkipped', data: { stage, reason: 'condition', detail: '' } } }]
  return attempts.flatMap((one, at): Timed[] => {
    const ids = { stage, attempt: at + 1 }
    const work = { queue: 'default', handler: 'shell', input: {}, timeoutMs: 1, priority: 0 }
    const failure = { class: one.class as FailureClass, rule: one.rule!, recovery: one.recovery as 'retry' }
    const ended: ExecutionEvent =
      one.outcome === 'completed'
        ? { type: 'StageCompleted', data: { ...ids, output: null } }
        : { type: 'StageFailed', data: { ...ids, ...failure, error: { code: 'EXIT', message: 'no luck' } } }
    return [
      { atMs: one.scheduledMs!, event: { type: 'StageScheduled', data: { ...ids, ...work } } },
      { atMs: one.startedMs!, event: { type: 'StageStarted', data: { ...ids, worker: 'w1', timeoutMs: 1 } } },
      { atMs: one.finishedMs!, event: ended },
    ]
  })
}
