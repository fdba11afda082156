// The log that the settings name, for the process and for each of its threads: threads share no module, so each has a
// connection of its own, and EventStoreDB's client is one a thread.
import { join } from 'node:path'
import type { Config } from '../config.ts'
import type { Archive } from '../ports/archive.ts'
import type { EventStore } from '../ports/event-store.ts'
import type { Logger } from '../ports/logger.ts'
import { FileArchive } from './event-store/archive-files.ts'
import { ArchivedEventStore } from './event-store/archived.ts'
import { EmbeddedEventStore } from './event-store/embedded.ts'

type Opened = {
  /** With what the archive has of it. */
  readonly store: EventStore
  readonly archive: Archive
  /** Resolves with why the process cannot use the log any more. */
  readonly failed: Promise<Error>
  /** Why nothing can be appended right now, as far as is known. */
  refusing(): string | undefined
}

export type EventStoreSettings = Pick<Config, 'eventStore' | 'data' | 'archive' | 'eventStoreWaitMs'>

export async function openEventStore(
  { eventStore, data, archive: folder, eventStoreWaitMs }: EventStoreSettings,
  logger: Logger,
  signal?: AbortSignal,
): Promise<Opened> {
  const archive = new FileArchive(folder ?? join(data, 'archive'))
  if (eventStore?.startsWith('esdb')) {
    // Its client takes time and memory to load, which the embedded profile does without.
    const { awaitEventStoreDb } = await import('./event-store/await-eventstoredb.ts')
    const store = await awaitEventStoreDb(eventStore, { withinMs: eventStoreWaitMs, logger, signal })
    // A server that is away comes back; there is nothing that only a new start would mend.
    const whole = new ArchivedEventStore(store, archive)
    return { store: whole, archive, failed: new Promise(() => {}), refusing: () => store.refusing }
  }
  const store = await EmbeddedEventStore.open(eventStore?.slice('embedded:'.length) || join(data, 'log'))
  return {
    store: new ArchivedEventStore(store, archive),
    archive,
    failed: store.failed,
    refusing: () => store.refusing,
  }
}
