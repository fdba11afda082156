import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { type EventStore, StoreUnavailable } from '../../src/ports/event-store.ts'

/** A real embedded store in a folder of its own; nothing of it is left after the test. */
export async function freshStore(): Promise<EventStore> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-log-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const store = await EmbeddedEventStore.open(folder)
  onTestFinished(() => store.close())
  return store
}

/** The store as a plain object, so that a test can replace one of its methods. */
export const methodsOf = (inner: EventStore): EventStore => ({
  append: (...args) => inner.append(...args),
  readStream: (...args) => inner.readStream(...args),
  readAll: (...args) => inner.readAll(...args),
  subscribe: (...args) => inner.subscribe(...args),
  truncate: (...args) => inner.truncate(...args),
  putBack: (...args) => inner.putBack(...args),
  head: () => inner.head(),
  close: () => inner.close(),
})

/** What goes wrong with an append: before it happens, or after it has. */
export type Fault = 'fail-before' | 'fail-after' | undefined

/** The same store, whose appends fail as `next` says: each call is asked once. */
export function faulty(store: EventStore, next: () => Fault): EventStore {
  return {
    ...methodsOf(store),
    append: async (stream, expected, events) => {
      const fault = next()
      if (fault === 'fail-before') throw new StoreUnavailable('injected before the append', true)
      const result = await store.append(stream, expected, events)
      if (fault === 'fail-after') throw new StoreUnavailable('injected after the append', false)
      return result
    },
  }
}

/** The same store, but that `append` does what a test wants of it. */
export const appending = (store: EventStore, append: EventStore['append']): EventStore => ({
  ...faulty(store, () => undefined),
  append,
})

export async function eventsOf(store: EventStore, stream: string): Promise<RecordedEvent[]> {
  const found: RecordedEvent[] = []
  for await (const events of store.readStream(stream)) found.push(...events)
  return found
}
