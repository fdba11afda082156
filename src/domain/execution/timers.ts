import { parseStream, type RecordedEvent } from '../message.ts'
import { MAX_GRACE_MS } from '../workflow/builtin-inputs.ts'
import type { ExecutionEvent } from './events.ts'

/** What the timekeeper does when a timer is due; each command is decided again by the aggregate, so early or double is harmless. */
export type Timer = {
  /** `execution` or `execution:stage`; one timer a key, a later one replaces it. */
  readonly key: string
  readonly executionId: string
  readonly namespace: string
  /** Milliseconds since 1970. */
  readonly dueMs: number
  /** Id of the event that set it. */
  readonly causationId: string
  readonly does:
    | { readonly kind: 'time-out-execution' }
    /** `leased`: a worker holds a lease on the attempt, by which its loss shows. */
    | {
        readonly kind: 'time-out-stage'
        readonly stage: string
        readonly attempt: number
        readonly worker: string
        readonly leased: boolean
      }
    | { readonly kind: 'retry' | 'wake'; readonly stage: string; readonly attempt: number }
}

export type TimerChange = { readonly set: Timer } | { readonly clear: string }

/**
 * The worker ends an attempt at its timeout, and a script may take its whole `grace` to end; only if
 * that has not happened by then is the attempt ended from outside. A worker that is gone shows by its lease long before.
 */
const WORKER_MARGIN_MS = MAX_GRACE_MS + 60_000

/** The timers that an event sets and clears. */
export function timerChanges(event: RecordedEvent<ExecutionEvent>): readonly TimerChange[] {
  const executionId = parseStream(event.stream).id
  const { namespace } = event.metadata
  const set = (key: string, dueMs: number, does: Timer['does']): TimerChange[] => [
    { set: { key, executionId, namespace, dueMs, causationId: event.id, does } },
  ]
  switch (event.type) {
    case 'ExecutionStarted':
      // In a group the run's time has not begun.
      if (event.data.concurrency) return []
      return set(executionId, Date.parse(event.data.timeoutAt), { kind: 'time-out-execution' })
    case 'ExecutionAdmitted':
    case 'ExecutionResumed':
      return set(executionId, Date.parse(event.data.timeoutAt), { kind: 'time-out-execution' })
    case 'StageScheduled': {
      const { stage, attempt, waitsFor } = event.data
      const key = `${executionId}:${stage}`
      const until = waitsFor?.until
      return until === undefined ? [{ clear: key }] : set(key, Date.parse(until), { kind: 'wake', stage, attempt })
    }
    case 'StageStarted': {
      const { stage, attempt, worker, timeoutMs, execution } = event.data
      const leased = execution === undefined
      const dueMs = Date.parse(event.at) + timeoutMs + (leased ? WORKER_MARGIN_MS : 0)
      return set(`${executionId}:${stage}`, dueMs, { kind: 'time-out-stage', stage, attempt, worker, leased })
    }
    case 'StageRetried': {
      const { stage, attempt, dueAt } = event.data
      return set(`${executionId}:${stage}`, Date.parse(dueAt), { kind: 'retry', stage, attempt })
    }
    case 'StageDeferred':
    case 'StageCompleted':
    case 'StageFailed':
    case 'StageSkipped':
    case 'StageCancelled':
      return [{ clear: `${executionId}:${event.data.stage}` }]
    case 'StagesGenerated':
      return [{ clear: `${executionId}:${event.data.parent}` }]
    case 'ExecutionPaused':
    case 'ExecutionCompleted':
    case 'ExecutionFailed':
    case 'ExecutionCancelled':
      return [{ clear: executionId }]
    default:
      return []
  }
}
