import type { StageError } from '../domain/execution/events.ts'
import type { Json } from '../domain/message.ts'
import type { StageDocuments } from './stage-reports.ts'

/** What a handler is given for one attempt. */
export type StageContext<I = { readonly [key: string]: Json }, R = Json> = {
  readonly input: I
  readonly namespace: string
  readonly executionId: string
  readonly stage: string
  readonly attempt: number
  /** The last checkpoint of an earlier attempt, or of the run restored from; undefined where there is none. */
  readonly resume: R | undefined
  /** Aborts on cancel, timeout, lost lease and shutdown; `signal.reason` is a `StopReason`. */
  readonly signal: AbortSignal
  /**
   * Resolves once the log says that this attempt has started; rejects when it may not. To be awaited before the first
   * effect outside the process: after a crash an attempt whose start the log does not know is made again as it was.
   */
  begun(): Promise<void>
  /**
   * Saves how far the work is: plain JSON of at most 256 KiB, durable when the promise resolves. The next attempt finds the
   * last one in `resume`. Rejects with `CHECKPOINT_TOO_LARGE` or `CHECKPOINT_INVALID`, and when the attempt is no more the
   * current one; then `signal` aborts as well. After `signal` has aborted a checkpoint can still be saved, unless the lease is lost.
   */
  checkpoint(state: Json): Promise<void>
  /**
   * Has the stage go on as these once `run` has returned: by id, each as it would stand below `stages:` of a workflow. Their ids
   * become `<stage>.<id>`, and their `needs` name each other. The stage completes when they have. At most 256 KiB in all calls.
   */
  generate(stages: StageDocuments): void
  /** Adds a line to the stage's log. */
  log(text: string, stream?: 'stdout' | 'stderr' | 'log'): void
}

export type StopReason = 'cancelled' | 'timeout' | 'lease-lost' | 'shutdown'

/**
 * Runs the attempts of stages that `uses` its name; resolves with the stage's output, throws `StageFailure` or anything
 * else. It checks its input itself: what does not fit is code `INPUT_INVALID`, not retryable.
 */
export interface Handler {
  readonly name: string
  /** Which one it is, for people who look at workers; free text of at most 64 characters. */
  readonly version?: string
  run(context: StageContext): Promise<Json | undefined>
}

/** A failure that says what it is; anything else that is thrown becomes code `HANDLER_FAILED`. */
export class StageFailure extends Error {
  readonly error: StageError
  constructor(error: StageError) {
    super(error.message)
    this.name = 'StageFailure'
    this.error = error
  }
}
