import type * as z from 'zod'
import type { Backoff, RetryPolicy } from './definition.ts'
import type { StageDocument } from './schema.ts'
import type { backoff } from './schema-parts.ts'

const defaults = {
  maxAttempts: 1,
  backoff: { type: 'exponential', initialMs: 1_000, maxMs: 60_000, jitter: 0.2 } satisfies Backoff,
}

/** What a stage says itself, else what the workflow says for all, else the default. */
export function retryOf(own: StageDocument['retry'], shared: StageDocument['retry']): RetryPolicy {
  return {
    maxAttempts: own?.maxAttempts ?? shared?.maxAttempts ?? defaults.maxAttempts,
    backoff: backoffOf(own?.backoff ?? shared?.backoff),
  }
}

export function backoffOf(given: z.output<typeof backoff> | undefined): Backoff {
  const initialMs = given?.initial ?? defaults.backoff.initialMs
  return {
    type: given?.type ?? defaults.backoff.type,
    initialMs,
    // A long first pause alone is enough to say; the pauses after it are then no shorter.
    maxMs: given?.max ?? Math.max(defaults.backoff.maxMs, initialMs),
    jitter: given?.jitter ?? defaults.backoff.jitter,
  }
}
