// One subscription to the server, from when it is asked for until it breaks. What is done about that is the caller's matter.
import type { AllStreamResolvedEvent, Position } from '@eventstore/db-client'
import { type Batch, START } from '../../ports/event-store.ts'
import type { Client, Place } from './eventstoredb-client.ts'
import { recorded, toPosition } from './eventstoredb-codec.ts'
import { NoAnswer } from './eventstoredb-failure.ts'
import type { Streams } from './eventstoredb-streams.ts'

/** How long a subscription may be quiet before the log is asked whether there is more. */
const QUIET_MS = 250
/** How long a subscription may keep an event back that stands in the log. */
const LOST_MS = 3_000

/**
 * How far a follower is: `position` is that of an event which stands in the log, as the port wants it; `place` is how far the
 * server has looked, and may lie between two events.
 */
export type Progress = { position: number; place: Place }

export const progressFrom = (after: number): Progress => ({ position: after, place: placeOf(after) })

export const placeOf = (position: number): Place =>
  position === START ? 'start' : { commit: BigInt(position), prepare: BigInt(position) }

/** What followers of one process share. */
export type Log = {
  readonly client: Client
  /** The head, not older than this. */
  head(maxAgeMs: number): Promise<number>
  /** Position of the newest event that is known. */
  known(): number
  /** Whether an event of these streams stands after the place, up to the position. */
  holds(place: Place, upTo: number, streams: Streams): Promise<boolean>
}

export type Wanted = { readonly streams: Streams; readonly batchSize: number; readonly signal: AbortSignal }

/** Ends when `signal` aborts. `progress` is moved before each batch. @throws what failureOf explains */
export async function* followOnce(log: Log, progress: Progress, wanted: Wanted): AsyncGenerator<Batch> {
  const before = await unlessAborted(wanted.signal, log.head(QUIET_MS))
  const following = new Following(log, progress, wanted, before)
  // Also of who never asks for another batch, and so never comes to the end below.
  const leave = () => {
    following.close()
    following.wake()
  }
  wanted.signal.addEventListener('abort', leave)
  try {
    yield* following.batches()
  } finally {
    wanted.signal.removeEventListener('abort', leave)
    following.close()
  }
}

class Following {
  readonly #log: Log
  readonly #progress: Progress
  readonly #wanted: Wanted
  readonly #inlet: ReturnType<Client['subscribe']>
  /** What the server said in between, and after how many events. */
  #marks: { readonly after: number; apply(): void }[] = []
  /** Nothing more was in the log when the server last said so; from then on it sends what comes. */
  #isLive = false
  #heardAt = performance.now()

  /** @param before the head before the subscription began: when the server says that it has caught up, it has passed that */
  constructor(log: Log, progress: Progress, wanted: Wanted, before: number) {
    this.#log = log
    this.#progress = progress
    this.#wanted = wanted
    this.#inlet = log.client.subscribe(progress.place, wanted.streams, {
      confirmed: () => this.#heard(),
      checkpoint: (place) => this.#mark(() => this.#reached(place)),
      caughtUp: () =>
        this.#mark(() => {
          this.#isLive = true
          this.#moveTo(before)
        }),
    })
  }

  async *batches(): AsyncGenerator<Batch> {
    const { signal, batchSize } = this.#wanted
    const { position: began } = this.#progress
    let told = { position: began, caughtUp: false }
    while (!signal.aborted) {
      const events = (await this.#gather(batchSize)).map(({ event, position }) => recorded(event!, position))
      const { position } = this.#progress
      const caughtUp = this.#isLive && this.#inlet.isEmpty
      if (events.length > 0 || position > told.position || (caughtUp && !told.caughtUp)) {
        told = { position, caughtUp }
        yield { events, position, caughtUp }
      } else if (this.#inlet.isOver) throw new NoAnswer('a subscription that the server ended', 0)
      else if (!(await this.#inlet.wait(QUIET_MS)) && !signal.aborted) await this.#lookForMore()
    }
  }

  /**
   * What has come, and what comes without a pause: all of it while there is a long way to go, and at the head that of one turn, since the
   * client gives out one by one what has come together, and a follower does for each batch what it could do for many events.
   */
  async #gather(most: number) {
    const gathered: { event: AllStreamResolvedEvent['event']; position: number }[] = []
    for (let turns = 0; ; turns++) {
      for (const { event } of this.#inlet.take(most - gathered.length)) {
        const position = toPosition(event!.position.commit)
        // After a repeat the server would be at fault, but it is here that nothing may be told twice.
        if (position <= this.#progress.position) continue
        this.#moveTo(position)
        gathered.push({ event, position })
      }
      this.#applyMarks()
      if (gathered.length > 0) this.#heard()
      if (gathered.length === 0 || gathered.length >= most || (this.#isLive && turns > 0)) return gathered
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#inlet.isEmpty) return gathered
    }
  }

  #heard(): void {
    this.#heardAt = performance.now()
  }

  #mark(apply: () => void): void {
    this.#heard()
    this.#marks.push({ after: this.#inlet.coming, apply })
    this.#inlet.wake()
  }

  #applyMarks(): void {
    while (this.#marks[0] && this.#marks[0].after <= this.#inlet.taken) this.#marks.shift()!.apply()
  }

  #moveTo(position: number): void {
    if (position <= this.#progress.position) return
    this.#progress.position = position
    if (isBefore(this.#progress.place, position)) this.#progress.place = placeOf(position)
  }

  /**
   * A checkpoint may lie behind the last event, where the next one will begin, and may be one of the server's own events. The
   * position moves to an event that is known not to lie behind it, so that it is never past the head.
   */
  #reached(place: Position): void {
    const at = toPosition(place.commit)
    const known = this.#log.known()
    const isEvent = place.prepare >= place.commit
    if (isEvent && at <= known) this.#moveTo(at)
    else if (known < at || (isEvent && known === at)) this.#moveTo(known)
    if (isBefore(this.#progress.place, at)) this.#progress.place = place
  }

  /**
   * Asks the log itself when the subscription is quiet. The server says how far it is only now and then, and older ones do
   * not say that a subscription has caught up; and one that has died without a word is found here.
   */
  async #lookForMore(): Promise<void> {
    const { place } = this.#progress
    const { signal, streams } = this.#wanted
    const head = await unlessAborted(signal, this.#log.head(QUIET_MS))
    const isMore = head > this.#progress.position
    const isOurs = isMore && (await unlessAborted(signal, this.#log.holds(place, head, streams)))
    if (!this.#inlet.isEmpty || this.#marks.length > 0 || signal.aborted) return
    if (!isOurs) {
      this.#isLive = true
      this.#moveTo(head)
    } else if (performance.now() - this.#heardAt > LOST_MS)
      throw new NoAnswer('an event that the log holds, in a subscription,', LOST_MS)
  }

  wake(): void {
    this.#inlet.wake()
  }

  close(): void {
    this.#inlet.close()
  }
}

/** Who stops following does not wait for a server that does not answer. @throws the reason of the abort */
async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** Whether a place lies before an event at the position, or before the place right after it. */
const isBefore = (place: Place, position: number): boolean =>
  place === 'start' ||
  place.commit < BigInt(position) ||
  (place.commit === BigInt(position) && place.prepare < place.commit)
