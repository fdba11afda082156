import type { Json } from '../message.ts'
import type { CompiledWorkflow } from '../workflow/definition.ts'

/** What made a run start. */
type RunTrigger = { readonly kind: 'api' | 'schedule' | 'webhook' | 'workflow' | 'restore'; readonly by: string }

/** Why an attempt failed, as the handler said it. `code` is upper snake case; `message` is at most 4,096 characters. */
export type StageError = {
  readonly code: string
  readonly message: string
  readonly retryable?: boolean
  readonly exitCode?: number
  readonly signal?: string
  readonly httpStatus?: number
  readonly details?: Json
}

export type FailureClass =
  | 'network'
  | 'timeout'
  | 'rate-limit'
  | 'resource-exhausted'
  | 'authentication'
  | 'configuration'
  | 'dependency'
  | 'test-failure'
  | 'infrastructure'
  | 'cancelled'
  | 'unknown'

/** What follows from a failed attempt: another one; the end of what is under way; or the end of this branch only. */
export type Recovery = 'retry' | 'fail-fast' | 'continue'

/** `condition`: its `when` was false. `trigger`: its trigger can no longer hold. `fail-fast`: another stage failed. */
export type SkipReason = 'condition' | 'trigger' | 'fail-fast'

export type ExecutionEvent =
  | {
      type: 'ExecutionStarted'
      data: {
        readonly executionId: string
        readonly namespace: string
        readonly workflow: string
        readonly version: number
        readonly definition: CompiledWorkflow
        readonly input: Json
        readonly trigger: RunTrigger
        readonly labels: { readonly [name: string]: string }
        readonly priority: number
        /** SHA-256 over the canonical request; a repeat with the same idempotency key must have the same. Empty without a key. */
        readonly fingerprint: string
      }
    }
  | {
      type: 'StageScheduled'
      data: {
        readonly stage: string
        readonly attempt: number
        readonly queue: string
        readonly handler: string
        /** `with`, its `${{ }}` resolved. */
        readonly input: { readonly [key: string]: Json }
        readonly timeoutMs: number
        /** Higher goes first. */
        readonly priority: number
        /** Set for `wait`: no work goes out, the timekeeper completes the stage at this time (ISO 8601). */
        readonly wakeAt?: string
      }
    }
  | {
      type: 'StageStarted'
      /** `timeoutMs` counts from here. */
      data: { readonly stage: string; readonly attempt: number; readonly worker: string; readonly timeoutMs: number }
    }
  | { type: 'StageCompleted'; data: { readonly stage: string; readonly attempt: number; readonly output: Json } }
  | {
      type: 'StageFailed'
      data: {
        readonly stage: string
        /** 0 when it failed before an attempt could be scheduled, because a value or its condition has no answer. */
        readonly attempt: number
        readonly error: StageError
        readonly class: FailureClass
        /** The rule that classified it, by name. */
        readonly rule: string
        readonly recovery: Recovery
      }
    }
  | {
      type: 'StageRetried'
      data: {
        readonly stage: string
        /** The attempt to come. */
        readonly attempt: number
        readonly dueAt: string
        readonly backoffMs: number
        /** `policy`: the work failed; `lost`: its worker did; `manual`: a person asked. */
        readonly reason: 'policy' | 'lost' | 'manual'
      }
    }
  | { type: 'StageSkipped'; data: { readonly stage: string; readonly reason: SkipReason; readonly detail: string } }
  /** `attempt` is 0 when none was scheduled. */
  | { type: 'StageCancelled'; data: { readonly stage: string; readonly attempt: number; readonly reason: string } }
  | {
      type: 'ExecutionCancellationRequested'
      /** `outcome` is how the run will end once nothing of it runs any more: `failed` when its timeout asked. */
      data: { readonly reason: string; readonly outcome: 'cancelled' | 'failed' }
    }
  /** `stages` counts those that completed, skipped ones left out. */
  | { type: 'ExecutionCompleted'; data: { readonly stages: number } }
  | {
      type: 'ExecutionFailed'
      data: {
        readonly error: { readonly code: string; readonly message: string; readonly stages: readonly string[] }
      }
    }
  | { type: 'ExecutionCancelled'; data: { readonly reason: string } }

export type ExecutionEventOf<T extends ExecutionEvent['type']> = Extract<ExecutionEvent, { type: T }>

/** The stream of one run. */
export const executionStream = (executionId: string): string => `execution-${executionId}`
