// What tests of the EventStoreDB adapter start, and that ends with them.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { EventStoreDb } from '../../../src/adapters/event-store/eventstoredb.ts'
import type { RecordedEvent } from '../../../src/domain/message.ts'
import { type Batch, type EventStore, START } from '../../../src/ports/event-store.ts'
import { EventStoreDbServer } from './server.ts'

/** @param options.durable keeps its events in a folder; else they are in memory, which is faster */
export async function aServer(
  options: { durable?: boolean; saysCaughtUp?: boolean } = {},
): Promise<EventStoreDbServer> {
  let folder: string | undefined
  if (options.durable) {
    folder = await mkdtemp(join(tmpdir(), 'millrace-esdb-'))
    onTestFinished(() => rm(folder!, { recursive: true }))
  }
  const { saysCaughtUp = true } = options
  const server = await EventStoreDbServer.start({ saysCaughtUp, ...(folder === undefined ? {} : { folder }) })
  onTestFinished(() => server.close())
  return server
}

export function aStore(
  server: EventStoreDbServer,
  settings: ConstructorParameters<typeof EventStoreDb>[1] = {},
): EventStoreDb {
  const store = new EventStoreDb(server.url, settings)
  onTestFinished(() => store.close())
  return store
}

/** A subscription that goes on in the background, and what it has given so far. */
export function following(
  store: EventStore,
  options: { after?: number; prefixes?: readonly string[]; batchSize?: number } = {},
) {
  const stop = new AbortController()
  onTestFinished(() => stop.abort())
  const events: RecordedEvent[] = []
  const batches: Batch[] = []
  const ended = (async () => {
    for await (const batch of store.subscribe({ after: START, ...options, signal: stop.signal })) {
      batches.push(batch)
      events.push(...batch.events)
    }
  })()
  // A test that is not about it does not look at it.
  ended.catch(() => {})
  return { events, batches, ended, stop: () => stop.abort() }
}
