// The events of a run as the decider makes them of the stages in `executions.ts`.
import type { ExecutionEvent, ExecutionEventOf, SkipReason, StageError } from '../../src/domain/execution/events.ts'

export const scheduled = (id: string, attempt = 1, overrides: object = {}): ExecutionEvent => ({
  type: 'StageScheduled',
  data: {
    stage: id,
    attempt,
    queue: 'default',
    handler: 'shell',
    input: { run: 'true' },
    timeoutMs: 60_000,
    priority: 0,
    ...overrides,
  },
})

export const begun = (id: string, attempt = 1): ExecutionEvent => ({
  type: 'StageStarted',
  data: { stage: id, attempt, worker: 'w1', timeoutMs: 60_000 },
})

export const done = (id: string, attempt = 1): ExecutionEvent => ({
  type: 'StageCompleted',
  data: { stage: id, attempt, output: null },
})

export const broke = (
  id: string,
  recovery: ExecutionEventOf<'StageFailed'>['data']['recovery'],
  attempt = 1,
  error: StageError = { code: 'EXIT_NONZERO', message: 'exit 1' },
  stops: readonly string[] = [],
): ExecutionEvent => ({
  type: 'StageFailed',
  data: {
    ...{ stage: id, attempt, error, class: 'unknown', rule: 'none', recovery },
    ...(stops.length === 0 ? {} : { stops }),
  },
})

/** `attempt` is the one to come. */
export const tried = (
  id: string,
  attempt: number,
  dueAt: string,
  backoffMs: number,
  reason: ExecutionEventOf<'StageRetried'>['data']['reason'] = 'policy',
): ExecutionEvent => ({ type: 'StageRetried', data: { stage: id, attempt, dueAt, backoffMs, reason } })

export const skipped = (id: string, reason: SkipReason, detail: string): ExecutionEvent => ({
  type: 'StageSkipped',
  data: { stage: id, reason, detail },
})

export const dropped = (id: string, reason: string, attempt = 1): ExecutionEvent => ({
  type: 'StageCancelled',
  data: { stage: id, attempt, reason },
})

export const cancellationRequested = (outcome: 'cancelled' | 'failed', reason: string): ExecutionEvent => ({
  type: 'ExecutionCancellationRequested',
  data: { reason, outcome },
})

export const runCompleted = (stages: number): ExecutionEvent => ({ type: 'ExecutionCompleted', data: { stages } })

export const runFailed = (...stages: string[]): ExecutionEvent => ({
  type: 'ExecutionFailed',
  data: { error: { code: 'STAGE_FAILED', message: `failed: ${stages.join(', ')}`, stages } },
})

export const runCancelled = (reason: string): ExecutionEvent => ({ type: 'ExecutionCancelled', data: { reason } })
