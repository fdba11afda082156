// The log that the settings name, for the process and for each of its threads: threads share no module, so each has a
// connection of its own, and EventStoreDB's client is one a thread.
import { join } from 'node:path'
import type { Config } from '../config.ts'
import type { EventStore } from '../ports/event-store.ts'
import type { Logger } from '../ports/logger.ts'
import { EmbeddedEventStore } from './event-store/embedded.ts'

type Opened = {
  readonly store: EventStore
  /** Resolves with why the process cannot use the log any more. */
  readonly failed: Promise<Error>
  /** Why nothing can be appended right now, as far as is known. */
  refusing(): string | undefined
}

export type EventStoreSettings = Pick<Config, 'eventStore' | 'data' | 'eventStoreWaitMs'>

export async function openEventStore(
  { eventStore, data, eventStoreWaitMs }: EventStoreSettings,
  logger: Logger,
  signal?: AbortSignal,
): Promise<Opened> {
  if (eventStore?.startsWith('esdb')) {
    // Its client takes time and memory to load, which the embedded profile does without.
    const { awaitEventStoreDb } = await import('./event-store/await-eventstoredb.ts')
    const store = await awaitEventStoreDb(eventStore, { withinMs: eventStoreWaitMs, logger, signal })
    // A server that is away comes back; there is nothing that only a new start would mend.
    return { store, failed: new Promise(() => {}), refusing: () => store.refusing }
  }
  const store = await EmbeddedEventStore.open(eventStore?.slice('embedded:'.length) || join(data, 'log'))
  return { store, failed: store.failed, refusing: () => store.refusing }
}
