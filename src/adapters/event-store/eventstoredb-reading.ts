// Reads of the log: pages, with patience and without the client's endless waits.
import type { AllStreamResolvedEvent } from '@eventstore/db-client'
import { StoreUnavailable } from '../../ports/event-store.ts'
import type { Client, Place } from './eventstoredb-client.ts'
import { isSystem, toPosition } from './eventstoredb-codec.ts'
import { NoAnswer, Patience } from './eventstoredb-failure.ts'
import type { Inlet } from './eventstoredb-inlet.ts'

/** How many events are given at once. */
export const READ_BATCH = 500
/** Pages in which the head is looked for: behind it may be many of the server's own events. */
const HEAD_PAGE = { first: 16, most: 1_024 }

type Settings = {
  readonly callMs: number
  readonly patienceMs: number
  /** Aborts when the store is closed. */
  readonly closing: AbortSignal
  /** Hears whether the last call succeeded, or else why not. */
  readonly told: (failure: string | undefined) => void
}

export class Reader {
  readonly #client: Client
  readonly #settings: Settings

  constructor(client: Client, settings: Settings) {
    this.#client = client
    this.#settings = settings
  }

  /** Position of the newest event after `known`, else `known`. Backwards past the server's own events. */
  async newestAfter(known: number): Promise<number> {
    let from: Place | 'end' = 'end'
    for (let size = HEAD_PAGE.first; ; size = Math.min(4 * size, HEAD_PAGE.most)) {
      const events: AllStreamResolvedEvent[] = await everythingOf(
        this.#client.readAll(from, true, size),
        this.#settings.callMs,
      )
      for (const { event } of events) {
        const position = toPosition(event!.position.commit)
        if (position <= known) return known
        if (!isSystem(event!.streamId)) return position
      }
      if (events.length < size) return known
      from = events.at(-1)!.event!.position
    }
  }

  /** Without the server's own. */
  async *eventsAfter(after: Place): AsyncGenerator<AllStreamResolvedEvent[]> {
    let place = after
    const open = () => this.#client.readAll(place, false, Number.MAX_SAFE_INTEGER)
    for await (const batch of this.pages('reading the log', open, () => false)) {
      // The first one is the last of those that were read before.
      const events = batch.filter(({ event }) => isAfter(event!.position, place) && !isSystem(event!.streamId))
      place = batch.at(-1)!.event!.position
      if (events.length > 0) yield events
    }
  }

  /** What `open` gives, which is asked again after a failure, to go on behind what was given. @throws StoreUnavailable */
  async *pages<E>(what: string, open: () => Inlet<E>, isDone: () => boolean): AsyncGenerator<E[]> {
    const { callMs, patienceMs, closing, told } = this.#settings
    const patience = new Patience(patienceMs, closing)
    while (!isDone()) {
      const inlet = open()
      try {
        for (;;) {
          const events = await pageOf(inlet, READ_BATCH, callMs)
          told(undefined)
          if (events.length === 0) return
          yield events
          patience.renew()
        }
      } catch (error) {
        if ((error as { type?: string }).type === 'stream-not-found') return
        await patience.after(error, what).catch((failure: StoreUnavailable) => {
          told(failure.message)
          // Reading writes nothing.
          throw new StoreUnavailable(failure.message, true, error)
        })
      } finally {
        inlet.close()
      }
    }
  }
}

/** So many events, or fewer at the end; none after it. */
async function pageOf<E>(inlet: Inlet<E>, size: number, quietMs: number): Promise<E[]> {
  const events: E[] = []
  for (;;) {
    // What came before a failure is given first, so that it need not be read again.
    if (events.length > 0 && inlet.isOver) return events
    events.push(...inlet.take(size - events.length))
    if (events.length >= size || inlet.isOver) return events
    if (!(await inlet.wait(quietMs))) throw new NoAnswer('a read', quietMs)
  }
}

async function everythingOf<E>(inlet: Inlet<E>, quietMs: number): Promise<E[]> {
  try {
    return await pageOf(inlet, Number.MAX_SAFE_INTEGER, quietMs)
  } finally {
    inlet.close()
  }
}

const isAfter = (position: { commit: bigint; prepare: bigint }, place: Place): boolean =>
  place === 'start' ||
  position.commit > place.commit ||
  (position.commit === place.commit && position.prepare > place.prepare)
