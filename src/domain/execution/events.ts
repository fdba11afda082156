import type { Json } from '../message.ts'
import type { Amounts, ResourceName } from '../pool/amounts.ts'
import type { CompiledStage, CompiledWorkflow } from '../workflow/definition.ts'

/** What made a run start. */
type RunTrigger = {
  readonly kind: 'api' | 'schedule' | 'webhook' | 'workflow' | 'restore'
  readonly by: string
  /** The time of its schedule that the run is for, ISO 8601, which a run restored from it is for as well. */
  readonly nominalAt?: string
}

/** Runs of one group go on at most `limit` at a time. */
export type Concurrency = {
  readonly group: string
  readonly limit: number
  /** What becomes of a run that finds the group full: it waits, those before it are cancelled, or it is itself. */
  readonly onConflict: 'queue' | 'cancel-running' | 'reject'
}

/** What is held of a pool or a group. The number grows with each grant of it, so that who holds it no more is known. */
export type Grant = { readonly pool: string; readonly fence: number }

/** Who stands in the way: another run, or a stage of it, which holds something. */
export type Blocker = { readonly executionId: string; readonly stage?: string }

/** The stage of another run that this run does the work of. `depth` is 1 for the child of a run that nobody waits for. */
export type ParentStage = {
  readonly executionId: string
  readonly stage: string
  readonly attempt: number
  readonly depth: number
}

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

/**
 * What follows from a failed attempt. `retry`: another one; `fallback`: another one, with the stage's fallback; `skip`: those
 * that need the stage go on without it; `ask`: a person decides. The others are the stage's end: `fail-fast` ends what is
 * under way with it (of a generated stage: its siblings), `compensate` that and undoes what was done, `continue` nothing else.
 */
export type Recovery = 'retry' | 'fallback' | 'skip' | 'ask' | 'fail-fast' | 'compensate' | 'continue'

/**
 * `condition`: its `when` was false. `trigger`: its trigger can no longer hold. `fail-fast`: another stage failed.
 * `person`: somebody said so. `recovery`: it failed, and that was to be its recovery.
 */
export type SkipReason = 'condition' | 'trigger' | 'fail-fast' | 'person' | 'recovery'

/** What a stage waits for that no worker does. `until` (ISO 8601) is when a timer ends, and when patience with anything else does. */
export type Wait =
  | { readonly for: 'timer'; readonly until: string }
  | { readonly for: 'approval'; readonly until?: string }
  | { readonly for: 'signal'; readonly name: string; readonly until?: string }

type OfAttempt<T> = T & { readonly stage: string; readonly attempt: number }

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
        /** When the run has taken too long, ISO 8601; in a group its time begins only with `ExecutionAdmitted`. */
        readonly timeoutAt: string
        /** The run waits until its group lets it begin. */
        readonly concurrency?: Concurrency
        readonly parent?: ParentStage
        /** The run, and the place in its stream, that this one goes on from. */
        readonly restoredFrom?: { readonly executionId: string; readonly revision: number }
      }
    }
  /** The group has no room for the run. Said again only when the reason is another one. */
  | {
      type: 'ExecutionDeferred'
      data: { readonly group: string; readonly reason: 'limit'; readonly blockers: readonly Blocker[] }
    }
  /** The run's turn has come, and its time begins. */
  | { type: 'ExecutionAdmitted'; data: { readonly grant: Grant; readonly timeoutAt: string } }
  /**
   * The attempt waits for a pool. `asked`: nothing is known yet; `capacity`: too little is free; `turn`: others come first. Said
   * again only when the reason is another one. At most a few of the blockers are named.
   */
  | {
      type: 'StageDeferred'
      data: OfAttempt<{
        readonly pool: string
        readonly amounts: Amounts
        /** Whose turn it is depends on the two. */
        readonly workflow: string
        readonly priority: number
        readonly reason: 'asked' | 'capacity' | 'turn'
        /** What there is too little of. */
        readonly short?: readonly ResourceName[]
        readonly blockers: readonly Blocker[]
      }>
    }
  | {
      type: 'StageScheduled'
      data: OfAttempt<{
        readonly queue: string
        readonly handler: string
        /** `with`, its `${{ }}` resolved. */
        readonly input: { readonly [key: string]: Json }
        readonly timeoutMs: number
        /** Higher goes first. */
        readonly priority: number
        /** What the attempt holds while it runs. */
        readonly grant?: Grant
        /** No work goes out: the stage waits for this. */
        readonly waitsFor?: Wait
        /** The checkpoint to go on from: of an earlier attempt, or of the run restored from. */
        readonly resume?: Json
      }>
    }
  | {
      type: 'StageStarted'
      /** `timeoutMs` counts from here. `execution` is the run that does the work, where that is no worker. */
      data: OfAttempt<{ readonly worker: string; readonly timeoutMs: number; readonly execution?: string }>
    }
  /** `sequence` counts from 1 in each attempt. */
  | { type: 'StageCheckpointed'; data: OfAttempt<{ readonly sequence: number; readonly state: Json }> }
  | { type: 'StageCompleted'; data: OfAttempt<{ readonly output: Json }> }
  | {
      type: 'StageFailed'
      /** `attempt` is 0 when it failed before one could be scheduled, because a value or its condition has no answer. */
      data: OfAttempt<{
        readonly error: StageError
        readonly class: FailureClass
        /** The rule that classified it, by name. */
        readonly rule: string
        readonly recovery: Recovery
        /** Stages that run and are asked to stop because of it. */
        readonly stops?: readonly string[]
      }>
    }
  /** A person gave up a stage that had failed and waited for their word. */
  | {
      type: 'StageAbandoned'
      data: OfAttempt<{
        readonly reason: string
        readonly recovery: 'fail-fast' | 'compensate' | 'continue'
        readonly stops?: readonly string[]
      }>
    }
  | {
      type: 'StageRetried'
      /** `attempt` is the one to come. */
      data: OfAttempt<{
        readonly dueAt: string
        readonly backoffMs: number
        /** `policy`: the work failed; `lost`: its worker did; `fallback`: other work takes its place; `manual`: a person asked. */
        readonly reason: 'policy' | 'lost' | 'fallback' | 'manual'
        /** The queue it goes to, where that is another one. */
        readonly queue?: string
        /** What a person changed in `with`. */
        readonly with?: { readonly [key: string]: Json }
        /** Stages that had been skipped because of the failure, and may run after all. */
        readonly reopens?: readonly string[]
        readonly comment?: string
      }>
    }
  | { type: 'StageSkipped'; data: { readonly stage: string; readonly reason: SkipReason; readonly detail: string } }
  /** `attempt` is 0 when none was scheduled. */
  | { type: 'StageCancelled'; data: OfAttempt<{ readonly reason: string }> }
  /**
   * The stage `parent` goes on as these, and ends when they have ended. Those of a matrix say their combination alone; the rest
   * they have from the parent. `attempt` is the one that generated them, 0 for a matrix; `output` is what it answered.
   */
  | {
      type: 'StagesGenerated'
      data: {
        readonly parent: string
        readonly attempt: number
        readonly output: Json
        readonly stages: readonly GeneratedStage[]
      }
    }
  | {
      type: 'ApprovalRequested'
      /** One of `approvers` may answer; `required` of them have to grant it. Names of people or of groups; empty is anybody. */
      data: OfAttempt<{
        readonly approvers: readonly string[]
        readonly required: number
        /** Whether who started the run may be one of them. */
        readonly selfApproval: boolean
        readonly message?: string
        readonly until?: string
      }>
    }
  | {
      type: 'ApprovalGranted' | 'ApprovalRejected'
      data: OfAttempt<{ readonly by: string; readonly comment?: string }>
    }
  /** Kept until a stage waits for it, which then completes with the payload. `id` is the same when a caller repeats it. */
  | { type: 'SignalReceived'; data: { readonly id: string; readonly name: string; readonly payload: Json } }
  /** Of a stage that ended in the run restored from: it stays as it was; or where it had saved how far it was. */
  | {
      type: 'StageRestored'
      data: { readonly stage: string } & (
        | { readonly as: 'completed'; readonly attempt: number; readonly output: Json }
        | { readonly as: 'skipped'; readonly reason: SkipReason; readonly detail: string }
        | { readonly as: 'resumable'; readonly checkpoint: Json }
      )
    }
  /** `remainingMs` is what is left of the run's time; it does not pass while the run is paused. */
  | { type: 'ExecutionPaused'; data: { readonly reason: string; readonly remainingMs: number } }
  | { type: 'ExecutionResumed'; data: { readonly reason: string; readonly timeoutAt: string } }
  | {
      type: 'ExecutionCancellationRequested'
      /** `outcome` is how the run will end once nothing of it runs any more: `failed` when its timeout asked. */
      data: { readonly reason: string; readonly outcome: 'cancelled' | 'failed' }
    }
  /** The run has failed, and these run one after another to undo what it did, the latest first. */
  | { type: 'CompensationStarted'; data: { readonly stages: readonly CompiledStage[] } }
  /** `stages` counts those that completed, skipped ones left out. */
  | { type: 'ExecutionCompleted'; data: { readonly stages: number; readonly output?: Json } }
  | {
      type: 'ExecutionFailed'
      data: {
        readonly error: { readonly code: string; readonly message: string; readonly stages: readonly string[] }
      }
    }
  | { type: 'ExecutionCancelled'; data: { readonly reason: string } }

export type GeneratedStage = CompiledStage | { readonly id: string; readonly values: { readonly [axis: string]: Json } }

export type ExecutionEventOf<T extends ExecutionEvent['type']> = Extract<ExecutionEvent, { type: T }>

/** The stream of one run. */
export const executionStream = (executionId: string): string => `execution-${executionId}`
