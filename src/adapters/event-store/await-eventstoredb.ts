import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../../ports/logger.ts'
import { EventStoreDb } from './eventstoredb.ts'
import { failureOf } from './eventstoredb-failure.ts'
import {
  checkEventStoreUrl,
  EventStoreUnreachable,
  EventStoreUrlInvalid,
  redactedEventStoreUrl,
} from './eventstoredb-url.ts'

const RETRY_MS = 500
/** How long one try may take; the client itself would wait for ever for a server that takes the connection and says nothing. */
const CALL_MS = 5_000

/**
 * Resolves once the server answers; it may start beside this program, and later.
 * @throws EventStoreUnreachable after `withinMs`, at once where waiting changes nothing, and when `signal` aborts;
 * EventStoreUrlInvalid
 */
export async function awaitEventStoreDb(
  url: string,
  { withinMs, logger, signal }: { withinMs: number; logger: Logger; signal?: AbortSignal | undefined },
): Promise<EventStoreDb> {
  const store = storeAt(url, logger)
  const deadline = performance.now() + withinMs
  for (let tries = 1; ; tries++) {
    try {
      await store.reach()
      return store
    } catch (error) {
      const { passing, message } = failureOf(error)
      if (!passing || performance.now() + RETRY_MS > deadline || signal?.aborted) {
        await store.close()
        throw new EventStoreUnreachable(url, message)
      }
      if (tries === 1)
        logger.warn({ eventStore: redactedEventStoreUrl(url), withinMs }, `waiting for EventStoreDB: ${message}`)
      // An abort is seen after the next try.
      await delay(RETRY_MS, undefined, signal ? { signal } : {}).catch(() => {})
    }
  }
}

function storeAt(url: string, logger: Logger): EventStoreDb {
  checkEventStoreUrl(url)
  try {
    return new EventStoreDb(url, { callMs: CALL_MS, warn: (message) => logger.warn({}, message) })
  } catch (error) {
    // What the client says of files that it cannot load names only them; anything else might repeat the URL.
    const { message } = error as Error
    throw new EventStoreUrlInvalid(/certificate|userCertFile/.test(message) ? `cannot be used: ${message}` : 'is none')
  }
}
