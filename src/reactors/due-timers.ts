import { KeyedHeap } from '../domain/keyed-heap.ts'
import type { Clock } from '../ports/clock.ts'

/** What is to be done at a time, once for each key. */
type Due = { readonly key: string; readonly dueMs: number }

/** What could not be carried out is tried again after this. */
const AGAIN_AFTER_MS = 1_000
/** Longer waits than a timer can hold are waited for in pieces, and a clock that is set is noticed after this at the latest. */
const LONGEST_WAIT_MS = 60_000
const FIRED_TOGETHER = 500

/** Timers by key, and one alarm for all of them, which is set for the first. `fire` must not reject. */
export class DueTimers<T extends Due> {
  readonly #timers = new KeyedHeap<T>((a, b) => a.dueMs < b.dueMs)
  readonly #clock: Clock
  readonly #fire: (timer: T) => Promise<void>
  #armed: { readonly dueMs: number; cancel(): void } | undefined
  #firing = false
  #stopped = false

  constructor(clock: Clock, fire: (timer: T) => Promise<void>) {
    this.#clock = clock
    this.#fire = fire
  }

  get(key: string): T | undefined {
    return this.#timers.get(key)
  }

  values(): readonly T[] {
    return this.#timers.values()
  }

  set(timer: T): void {
    this.#timers.set(timer)
  }

  delete(key: string): void {
    this.#timers.delete(key)
  }

  /** To be called after timers were set: the alarm may have to go off earlier. */
  arm(): void {
    const next = this.#timers.first()
    if (this.#stopped || this.#firing || next === undefined) return
    if (this.#armed && this.#armed.dueMs <= next.dueMs) return
    this.#armed?.cancel()
    const delay = Math.min(Math.max(next.dueMs - this.#clock.now(), 0), LONGEST_WAIT_MS)
    this.#armed = { dueMs: next.dueMs, cancel: this.#clock.after(delay, () => void this.#fireDue()) }
  }

  stop(): void {
    this.#stopped = true
    this.#armed?.cancel()
  }

  async #fireDue(): Promise<void> {
    this.#armed = undefined
    this.#firing = true
    await Promise.all(this.#takeDue().map(this.#fire))
    this.#firing = false
    this.arm()
  }

  #takeDue(): readonly T[] {
    const due: T[] = []
    while (due.length < FIRED_TOGETHER) {
      const next = this.#timers.first()
      if (next === undefined || next.dueMs > this.#clock.now()) break
      // The event that follows clears it or sets it anew; without one it is due again, so that nothing is forgotten.
      this.#timers.set({ ...next, dueMs: this.#clock.now() + AGAIN_AFTER_MS })
      due.push(next)
    }
    return due
  }
}
