import type { Clock } from '../../src/ports/clock.ts'

/** Time that passes only when a test says so; timers run in order of their time. */
export class ManualClock implements Clock {
  #nowMs: number
  #jumpedMs = 0
  #timers: { atMs: number; readonly run: () => void }[] = []

  constructor(at = '2026-01-02T03:04:05.000Z') {
    this.#nowMs = Date.parse(at)
  }

  now(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs - this.#jumpedMs
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  get pending(): number {
    return this.#timers.length
  }

  /** Lets `ms` go by, running what falls due on the way. */
  advance(ms: number): void {
    const until = this.#nowMs + ms
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= until).sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.run()
    }
    this.#nowMs = until
  }

  /** Somebody sets the clock: no time goes by, and what waits waits as long as before. */
  jump(ms: number): void {
    this.#nowMs += ms
    this.#jumpedMs += ms
    for (const timer of this.#timers) timer.atMs += ms
  }
}
