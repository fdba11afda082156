// How what keeps the read models waits, and tries again: PostgreSQL may be away at any time.
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../ports/logger.ts'

export const BACKOFF_MS = { first: 50, most: 5_000 }

/** Tries until it works; gives up at once on what no repetition can change, and once `signal` aborts. */
export async function retrying<T>(
  { signal, logger }: { readonly signal: AbortSignal; readonly logger: Logger },
  what: string,
  isFinal: (error: unknown) => boolean,
  work: () => Promise<T>,
): Promise<T> {
  for (let waitMs = BACKOFF_MS.first; ; waitMs = Math.min(2 * waitMs, BACKOFF_MS.most)) {
    try {
      return await work()
    } catch (error) {
      if (isFinal(error) || signal.aborted) throw error
      logger.warn({ err: error, retryMs: waitMs }, `could not write ${what} to PostgreSQL; trying again`)
      await pause(waitMs, signal)
      signal.throwIfAborted()
    }
  }
}

/** Ends with the time or with `signal`, whichever is first. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  delay(ms, undefined, { signal }).catch(() => {})

export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })

/** The next batch, which is awaited later. */
export function askAhead<T>(batches: AsyncIterator<T>): Promise<IteratorResult<T>> {
  const next = batches.next()
  // Until then its failure must not count as unhandled.
  next.catch(() => {})
  return next
}
