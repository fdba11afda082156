import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { type EventStore, StoreUnavailable } from '../../src/ports/event-store.ts'

/** A real embedded store in a folder of its own; `close` leaves nothing behind. */
export async function openStore(): Promise<{ store: EmbeddedEventStore; folder: string; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-log-'))
  const store = await EmbeddedEventStore.open(folder)
  return {
    store,
    folder,
    async close() {
      await store.close()
      await rm(folder, { recursive: true })
    },
  }
}

/** What goes wrong with an append: before it happens, or after it has. */
export type Fault = 'fail-before' | 'fail-after' | undefined

/** The same store, whose appends fail as `next` says: each call is asked once. */
export function faulty(store: EventStore, next: () => Fault): EventStore {
  return {
    append: async (stream, expected, events) => {
      const fault = next()
      if (fault === 'fail-before') throw new StoreUnavailable('injected before the append', true)
      const result = await store.append(stream, expected, events)
      if (fault === 'fail-after') throw new StoreUnavailable('injected after the append', false)
      return result
    },
    readStream: (stream, options) => store.readStream(stream, options),
    readAll: (options) => store.readAll(options),
    subscribe: (options) => store.subscribe(options),
    truncate: (stream, keepLast) => store.truncate(stream, keepLast),
    head: () => store.head(),
    close: () => store.close(),
  }
}

export async function eventsOf(store: EventStore, stream: string): Promise<RecordedEvent[]> {
  const found: RecordedEvent[] = []
  for await (const events of store.readStream(stream)) found.push(...events)
  return found
}
