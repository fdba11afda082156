const SECONDS = 60

/** Counts what happens, in all and in the last minute. Times are monotonic milliseconds. */
export class Meter {
  total = 0
  readonly #counts = new Uint32Array(SECONDS)
  #second = 0

  add(nowMs: number): void {
    this.#pass(nowMs)
    this.#counts[this.#second % SECONDS]!++
    this.total++
  }

  perMinute(nowMs: number): number {
    this.#pass(nowMs)
    return this.#counts.reduce((sum, count) => sum + count, 0)
  }

  /** Forgets the seconds that are a minute old by now. */
  #pass(nowMs: number): void {
    const second = Math.floor(nowMs / 1_000)
    const passed = Math.min(second - this.#second, SECONDS)
    for (let at = 1; at <= passed; at++) this.#counts[(this.#second + at) % SECONDS] = 0
    if (passed > 0) this.#second = second
  }
}
