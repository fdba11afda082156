/** Why a command was refused, stated as the fact that stands in its way. The union is closed: the API maps each to a status. */
export type RejectionCode =
  | 'WORKFLOW_UNKNOWN'
  | 'WORKFLOW_RETIRED'
  | 'WORKFLOW_VERSION_UNKNOWN'
  | 'WORKFLOW_VERSION_STALE'
  | 'DEFINITION_INVALID'
  | 'INPUT_INVALID'
  | 'IDEMPOTENCY_KEY_REUSED'
  | 'EXECUTION_UNKNOWN'
  | 'EXECUTION_ALREADY_ENDED'
  | 'EXECUTION_CANCELLING'
  | 'EXECUTION_QUEUED'
  | 'EXECUTION_PAUSED'
  | 'CONCURRENCY_LIMIT'
  | 'POOL_UNKNOWN'
  | 'POOL_TOO_SMALL'
  | 'POOL_FULL'
  | 'STAGE_UNKNOWN'
  | 'STAGE_NOT_RETRYABLE'
  | 'STAGE_NOT_SKIPPABLE'
  | 'STAGE_NOT_WAITING'
  | 'APPROVER_NOT_ALLOWED'
  | 'SIGNALS_FULL'
  | 'CHECKPOINT_TOO_LARGE'
  | 'RESTORE_IMPOSSIBLE'
  | 'SCHEDULE_UNKNOWN'
  | 'SCHEDULE_INVALID'
  | 'SCHEDULE_OWNED'
  | 'BACKFILL_RUNNING'
  | 'BACKFILL_IMPOSSIBLE'
  | 'ATTEMPT_STALE'
  | 'WORKER_UNKNOWN'
  | 'WORKER_STOPPED'
  | 'EVENT_TOO_LARGE'
  | 'EXECUTION_NOT_ARCHIVED'
  | 'UNARCHIVE_IMPOSSIBLE'

/** One fault inside what was sent; `pointer` is a JSON pointer (RFC 6901) into the body, `line` counts from 1 where the body was YAML. */
export type Fault = { readonly pointer: string; readonly message: string; readonly line?: number }

/** A refusal: no event was written, and `message` tells the caller what is wrong and what to do. */
export class Rejected extends Error {
  readonly code: RejectionCode
  readonly faults: readonly Fault[]
  constructor(code: RejectionCode, message: string, faults: readonly Fault[] = []) {
    super(message)
    this.name = 'Rejected'
    this.code = code
    this.faults = faults
  }
}
