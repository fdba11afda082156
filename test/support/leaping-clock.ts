import { systemClock } from '../../src/adapters/clock.ts'
import type { Clock } from '../../src/ports/clock.ts'

/**
 * The time of day goes on by itself, and a test can make it leap, so that hours pass at once in a program that runs.
 * Leases go by `monotonicMs`, which never leaps.
 */
export class LeapingClock implements Clock {
  #leaptMs = 0
  readonly #timers = new Map<object, { readonly atMs: number; readonly run: () => void; cancel: () => void }>()

  now(): number {
    return systemClock.now() + this.#leaptMs
  }

  monotonicMs(): number {
    return systemClock.monotonicMs()
  }

  after(delayMs: number, run: () => void): () => void {
    const key = {}
    this.#timers.set(key, { atMs: this.now() + delayMs, run, cancel: () => {} })
    this.#arm(key)
    return () => {
      this.#timers.get(key)?.cancel()
      this.#timers.delete(key)
    }
  }

  /** Makes it `ms` later; what falls due by that is run soon. */
  leap(ms: number): void {
    this.#leaptMs += ms
    for (const key of this.#timers.keys()) this.#arm(key)
  }

  #arm(key: object): void {
    const timer = this.#timers.get(key)!
    timer.cancel()
    timer.cancel = systemClock.after(Math.max(timer.atMs - this.now(), 0), () => {
      this.#timers.delete(key)
      timer.run()
    })
  }
}
