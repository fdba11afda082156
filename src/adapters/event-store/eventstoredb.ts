import type { NewEvent, RecordedEvent } from '../../domain/message.ts'
import {
  type AppendResult,
  AppendTooLarge,
  type Batch,
  type EventStore,
  type ExpectedRevision,
  MAX_APPEND_BYTES,
  SNAPSHOTS,
  START,
  StoreUnavailable,
  WrongExpectedRevision,
} from '../../ports/event-store.ts'
import { Client, type Place } from './eventstoredb-client.ts'
import { recorded, toEventData, toPosition } from './eventstoredb-codec.ts'
import { failureOf, Patience, within } from './eventstoredb-failure.ts'
import { Feed } from './eventstoredb-feed.ts'
import { followOnce, type Log, placeOf, progressFrom, type Wanted } from './eventstoredb-following.ts'
import { READ_BATCH, Reader } from './eventstoredb-reading.ts'
import { isOneOf, type Streams } from './eventstoredb-streams.ts'

type Settings = {
  /** How long one call may take, milliseconds. */
  readonly callMs?: number
  /** How long a call is repeated before it counts as failed. A caller that was told so may go on repeating it. */
  readonly patienceMs?: number
  /** Hears of followers that lost the server. */
  readonly warn?: (message: string) => void
}

/** How far back a repeat is looked for where any revision was expected. */
const REPEATS_WITHIN = 1_000
/** How many appends of unknown outcome are remembered. */
const DOUBTFUL = 1_000

/**
 * The log in an EventStoreDB of its own. Each process, and each thread, has one of these: the client keeps what waits in a
 * variable of its module, which threads do not share.
 */
export class EventStoreDb implements EventStore {
  /** Positions are bytes of the server's log; the smallest of our events have about so many. */
  readonly spacing = 500
  readonly #client: Client
  readonly #settings: Required<Settings>
  readonly #closing = new AbortController()
  readonly #reader: Reader
  readonly #log: Log
  readonly #feed: Feed
  /** Position of the newest event seen, of whatever stream. */
  #known = START
  #headAsked: { readonly at: number; readonly head: Promise<number> } | undefined
  /** Why the last call failed, and why the last append was denied: that reading works says nothing of the latter. */
  #unreachable: string | undefined
  #denied: string | undefined
  /** The last ids of appends to any revision whose outcome stayed unknown. */
  readonly #doubtful = new Set<string>()

  /** @throws where the URL is none; what it throws may repeat all of the URL */
  constructor(url: string, settings: Settings = {}) {
    this.#settings = { callMs: 5_000, patienceMs: 8_000, warn: () => {}, ...settings }
    this.#client = new Client(url, this.#settings.callMs)
    this.#reader = new Reader(this.#client, {
      ...this.#settings,
      closing: this.#closing.signal,
      told: (failure) => {
        this.#unreachable = failure
      },
    })
    this.#log = {
      client: this.#client,
      head: (maxAgeMs) => this.#recentHead(maxAgeMs),
      known: () => this.#known,
      holds: (place, upTo, streams) => this.#holds(place, upTo, streams),
    }
    const streams = { allBut: SNAPSHOTS }
    this.#feed = new Feed((after, left) => {
      const signal = AbortSignal.any([left, this.#closing.signal])
      return this.#follow({ after, streams, batchSize: READ_BATCH, signal })
    })
  }

  /** Why the server could not be used the last time, undefined once it could again. */
  get refusing(): string | undefined {
    return this.#denied ?? this.#unreachable
  }

  async append(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): Promise<AppendResult> {
    if (events.length === 0) throw new Error(`an append to ${stream} has no events`)
    const { data, bytes } = toEventData(events)
    if (bytes > MAX_APPEND_BYTES) throw new AppendTooLarge(stream, bytes)
    const last = events.at(-1)!.id
    try {
      const answer = await this.#trying(`an append to ${stream}`, async (maybeDone) => {
        if (expected === 'any' && (maybeDone || this.#doubtful.has(last))) {
          // The server recognises a repeat to any revision only as long as it has not been started again.
          const found = await this.#find(stream, last)
          if (found) return found
        }
        const { revision, position } = await this.#client.append(stream, expected, data)
        // Servers differ in the position that they answer to a repeat, and some answer none.
        if (position === undefined || maybeDone) return this.#placed(stream, revision)
        return { revision, position }
      })
      this.#saw(answer.position)
      this.#doubtful.delete(last)
      this.#denied = undefined
      return answer
    } catch (error) {
      if (error instanceof StoreUnavailable && !error.nothingWritten && expected === 'any') this.#doubt(last)
      if (error instanceof StoreUnavailable && failureOf(error.cause).denied) this.#denied = error.message
      throw error
    }
  }

  #doubt(id: string): void {
    this.#doubtful.add(id)
    for (const oldest of this.#doubtful) {
      if (this.#doubtful.size <= DOUBTFUL) break
      this.#doubtful.delete(oldest)
    }
  }

  async #find(stream: string, id: string): Promise<AppendResult | undefined> {
    for await (const events of this.readStream(stream, { direction: 'backwards', limit: REPEATS_WITHIN }))
      for (const { id: stored, revision, position } of events) if (stored === id) return { revision, position }
    return undefined
  }

  async #placed(stream: string, revision: number): Promise<AppendResult> {
    for await (const [event] of this.readStream(stream, { from: revision, limit: 1 }))
      if (event?.revision === revision) return { revision, position: event.position }
    throw new StoreUnavailable(`${stream}@${revision} was appended, but is not there to be read`, false)
  }

  async *readStream(
    stream: string,
    options: { from?: number; direction?: 'forwards' | 'backwards'; limit?: number } = {},
  ): AsyncGenerator<readonly RecordedEvent[]> {
    const backwards = options.direction === 'backwards'
    const step = backwards ? -1 : 1
    let from = options.from
    let left = options.limit ?? Number.MAX_SAFE_INTEGER
    const open = () => this.#client.readStream(stream, { from, backwards, limit: left })
    // What was read before a call failed is not read again.
    const isDone = () => left <= 0 || (from !== undefined && from < 0)
    for await (const batch of this.#reader.pages(`reading ${stream}`, open, isDone)) {
      const events = batch.map(({ event }) => recorded(event!, toPosition(event!.position!.commit)))
      left -= events.length
      from = events.at(-1)!.revision + step
      this.#saw(Math.max(...events.map(({ position }) => position)))
      yield events
    }
  }

  async *readAll(
    options: { after?: number; prefixes?: readonly string[] } = {},
  ): AsyncGenerator<readonly RecordedEvent[]> {
    for await (const batch of this.#reader.eventsAfter(placeOf(options.after ?? START))) {
      const events = batch
        .filter(({ event }) => isOneOf(event!.streamId, options.prefixes))
        .map(({ event }) => recorded(event!, toPosition(event!.position.commit)))
      if (events.length > 0) yield events
    }
  }

  async *subscribe(options: {
    after: number
    prefixes?: readonly string[]
    batchSize?: number
    signal: AbortSignal
  }): AsyncGenerator<Batch> {
    const { prefixes: streams, batchSize = READ_BATCH } = options
    const signal = AbortSignal.any([options.signal, this.#closing.signal])
    // Whoever may be told of snapshots does without the others, who need not be.
    const mayShare = streams?.every((prefix) => !SNAPSHOTS.startsWith(prefix) && !prefix.startsWith(SNAPSHOTS)) ?? false
    let after = options.after
    while (!signal.aborted) {
      // By itself also where the feed is as far: that may have lost the server, and would not know what it has missed.
      for await (const batch of this.#follow({ after, streams, batchSize, signal })) {
        yield batch
        after = batch.position
        if (mayShare && batch.caughtUp && this.#feed.admits(after)) break
      }
      if (signal.aborted) return
      for await (const batch of this.#feed.share({ after, streams, batchSize, signal })) {
        yield batch
        after = batch.position
      }
    }
  }

  async *#follow({ after, ...wanted }: Wanted & { readonly after: number }): AsyncGenerator<Batch> {
    const { signal } = wanted
    const progress = progressFrom(after)
    // It is not given up by itself, however long it takes, but for what no repetition can change.
    const patience = new Patience(Number.POSITIVE_INFINITY, signal)
    while (!signal.aborted) {
      try {
        for await (const batch of followOnce(this.#log, progress, wanted)) {
          yield batch
          patience.renew()
        }
      } catch (error) {
        if (signal.aborted) return
        if (patience.isFresh)
          this.#settings.warn(
            `lost the event log after position ${progress.position}, following it again: ${failureOf(error).message}`,
          )
        await patience.after(error, 'following the event log')
      }
    }
  }

  /** As $tb and not $maxCount, which would go on taking events away while newer ones are appended. */
  async truncate(stream: string, keepLast: number): Promise<void> {
    await this.#trying(`truncating ${stream}`, async () => {
      for await (const [last] of this.readStream(stream, { direction: 'backwards', limit: 1 }))
        if (last && last.revision >= keepLast) await this.#client.truncateBefore(stream, last.revision - keepLast + 1)
    })
  }

  /** They are only hidden as long as nobody has scavenged, and cannot be written to their places after that. */
  async putBack(stream: string, events: readonly RecordedEvent[]): Promise<boolean> {
    return this.#trying(`putting ${stream} back`, async () => {
      const before = await this.#client.truncateFrom(stream, 0)
      const there = new Set<number>()
      for await (const some of this.readStream(stream)) for (const { revision } of some) there.add(revision)
      const isWhole = events.every(({ revision }) => there.has(revision))
      if (!isWhole) await this.#client.truncateFrom(stream, before)
      return isWhole
    })
  }

  /** Asks the server once. @throws what failureOf explains */
  async reach(): Promise<number> {
    try {
      const head = await within(this.#settings.callMs, 'the event store', this.#readHead())
      this.#unreachable = undefined
      return head
    } catch (error) {
      this.#unreachable = failureOf(error).message
      throw error
    }
  }

  head(): Promise<number> {
    return this.#trying('asking for the head', () => this.#readHead())
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#client.close()
  }

  async #readHead(): Promise<number> {
    return this.#saw(await this.#reader.newestAfter(this.#known))
  }

  /** Asked once for all followers, who have a patience of their own. */
  #recentHead(maxAgeMs: number): Promise<number> {
    const now = performance.now()
    if (!this.#headAsked || now - this.#headAsked.at > maxAgeMs) this.#headAsked = { at: now, head: this.reach() }
    return this.#headAsked.head
  }

  #saw(position: number): number {
    this.#known = Math.max(this.#known, position)
    return this.#known
  }

  async #holds(place: Place, upTo: number, streams: Streams): Promise<boolean> {
    for await (const batch of this.#reader.eventsAfter(place))
      for (const { event } of batch) {
        if (toPosition(event!.position.commit) > upTo) return false
        if (isOneOf(event!.streamId, streams)) return true
      }
    return false
  }

  async #trying<T>(what: string, work: (maybeDone: boolean) => Promise<T>): Promise<T> {
    const patience = new Patience(this.#settings.patienceMs, this.#closing.signal)
    for (;;) {
      try {
        const answer = await work(patience.maybeDone)
        this.#unreachable = undefined
        return answer
      } catch (error) {
        if (error instanceof WrongExpectedRevision || error instanceof StoreUnavailable) throw error
        await patience.after(error, what).catch((failure: StoreUnavailable) => {
          this.#unreachable = failure.message
          throw failure
        })
      }
    }
  }
}
