import type { StageError } from '../domain/execution/events.ts'
import type { Json } from '../domain/message.ts'

/** What a handler is given for one attempt. */
export type StageContext<I = { readonly [key: string]: Json }> = {
  readonly input: I
  readonly namespace: string
  readonly executionId: string
  readonly stage: string
  readonly attempt: number
  /** Aborts on cancel, timeout, lost lease and shutdown; `signal.reason` is a `StopReason`. */
  readonly signal: AbortSignal
  /**
   * Resolves once the log says that this attempt has started; rejects when it may not. To be awaited before the first
   * effect outside the process: after a crash an attempt whose start the log does not know is made again as it was.
   */
  begun(): Promise<void>
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
