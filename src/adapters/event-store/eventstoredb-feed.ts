// What the followers at the head of the log share: one subscription, and the newest events in memory.
import type { RecordedEvent } from '../../domain/message.ts'
import type { Batch } from '../../ports/event-store.ts'
import type { Wanted } from './eventstoredb-following.ts'
import { isOneOf } from './eventstoredb-streams.ts'

/** How many of the newest events are kept at least. Few, since each may be large; who is further behind has a subscription of its own. */
const KEPT = 1_000

/** Follows after the position, and never ends before the signal aborts, but for what no waiting can change. */
type Follow = (after: number, signal: AbortSignal) => AsyncIterable<Batch>

/** The server sends every event once for each subscription, and each is parsed: for six followers six times. */
export class Feed {
  readonly #follow: Follow
  #running: AbortController | undefined
  #followers = 0
  #events: RecordedEvent[] = []
  /** Everything after this is kept. */
  #from = 0
  #position = 0
  #caughtUp = false
  #waiting: (() => void)[] = []

  constructor(follow: Follow) {
    this.#follow = follow
  }

  /** Whether who is at the head, and has come up to the position, can take part: it has all that comes after it, or does not run yet. */
  admits(position: number): boolean {
    return this.#running === undefined || position >= this.#from
  }

  /** Follows what all do who are at the head. Ends where it has fallen too far behind, or with the subscription. */
  async *share({ after, streams, batchSize, signal }: Wanted & { readonly after: number }): AsyncGenerator<Batch> {
    let isIn = true
    // Also of who is told to stop while it does something with a batch, and may never ask for another.
    const leave = () => {
      if (isIn && --this.#followers === 0) this.#end()
      isIn = false
      this.#wake()
    }
    // With the first who takes part it begins where that one is.
    this.#followers++
    if (this.#running === undefined) this.#begin(after)
    signal.addEventListener('abort', leave)
    try {
      let told = { position: after, caughtUp: false }
      while (!signal.aborted) {
        const batch = this.#after(told.position, batchSize)
        if (batch === undefined) return
        if (batch.position > told.position || (batch.caughtUp && !told.caughtUp)) {
          told = batch
          yield { ...batch, events: batch.events.filter(({ stream }) => isOneOf(stream, streams)) }
        } else await new Promise<void>((resolve) => this.#waiting.push(resolve))
      }
    } finally {
      signal.removeEventListener('abort', leave)
      leave()
    }
  }

  /** What comes after the position; undefined where that is not to be had, or not any more. */
  #after(position: number, limit: number): Batch | undefined {
    if (this.#running === undefined || !this.admits(position)) return undefined
    const start = firstAfter(this.#events, position)
    const events = this.#events.slice(start, start + limit)
    const isAll = start + events.length === this.#events.length
    const reached = isAll ? this.#position : events.at(-1)!.position
    return {
      events,
      position: Math.max(position, reached),
      caughtUp: isAll && this.#caughtUp && this.#position >= position,
    }
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }

  #begin(position: number): void {
    const running = new AbortController()
    this.#running = running
    this.#from = this.#position = position
    this.#caughtUp = false
    // Why it ended everybody who took part finds out by a subscription of their own.
    const ended = () => {
      if (this.#running === running) this.#end()
    }
    this.#run(position, running.signal).then(ended, ended)
  }

  #end(): void {
    this.#running?.abort()
    this.#running = undefined
    this.#events = []
    this.#wake()
  }

  async #run(after: number, signal: AbortSignal): Promise<void> {
    for await (const { events, position, caughtUp } of this.#follow(after, signal)) {
      if (signal.aborted) return
      for (const event of events) this.#events.push(event)
      if (this.#events.length >= 2 * KEPT) {
        this.#from = this.#events.at(-KEPT - 1)!.position
        this.#events = this.#events.slice(-KEPT)
      }
      this.#position = position
      this.#caughtUp = caughtUp
      this.#wake()
    }
  }
}

/** Where in the list, which is in order, the first event after the position stands. */
function firstAfter(events: readonly RecordedEvent[], position: number): number {
  let [low, high] = [0, events.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (events[middle]!.position <= position) low = middle + 1
    else high = middle
  }
  return low
}
