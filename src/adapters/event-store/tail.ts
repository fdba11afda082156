import type { RecordedEvent } from '../../domain/message.ts'

/**
 * How many of the newest events are kept in memory for followers at the head. Few: they are there for milliseconds, and
 * what lives longer costs the garbage collector more than reading it again costs a follower that fell behind.
 */
const KEPT = 2_000

/** The newest stretch of the log in memory, without gaps, and whoever waits for more of it. */
export class Tail {
  #events: RecordedEvent[] = []
  /** Position of the newest event that is known to exist; the kept stretch ends at or before it. */
  #head = -1
  #waiting: (() => void)[] = []

  start(head: number): void {
    this.#head = head
  }

  push(event: RecordedEvent): void {
    // Another process wrote in between: what is kept must stay without gaps, so it begins anew behind the gap.
    if (this.#events.length > 0 && event.position !== this.#events.at(-1)!.position + 1) this.#events = []
    this.#events.push(event)
    if (event.position > this.#head) this.#head = event.position
    if (this.#events.length >= 2 * KEPT) this.#events = this.#events.slice(-KEPT)
  }

  /** Somebody else's events are in the log; they are read from there. */
  moved(head: number): void {
    if (head <= this.#head) return
    this.#head = head
    this.wake()
  }

  wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }

  /** What follows `position`; nothing when that is the head; undefined where it has to be read from the file. */
  after(position: number, limit: number): readonly RecordedEvent[] | undefined {
    if (position >= this.#head) return []
    const first = this.#events[0]
    if (first === undefined || position < first.position - 1) return undefined
    const start = position + 1 - first.position
    if (start >= this.#events.length) return undefined
    return this.#events.slice(start, start + limit)
  }

  /** Resolves when the log reaches past `position`, or when those who wait are woken for another reason, as on abort. */
  moreThan(position: number, signal: AbortSignal): Promise<void> {
    if (this.#head > position || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}
