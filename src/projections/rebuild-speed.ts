/** How long back the speed is taken from: long enough not to waver, short enough to follow. */
const WINDOW_MS = 10_000

type Sample = { readonly ms: number; readonly position: number; readonly head: number }

/** How fast a rebuild goes through the log, which grows meanwhile, and when it will have caught up. */
export class RebuildSpeed {
  readonly #spacing: number
  #samples: Sample[] = []

  /** @param spacing about how far the positions of two neighbours in the log lie apart */
  constructor(spacing: number) {
    this.#spacing = spacing
  }

  take(sample: Sample): void {
    this.#samples.push(sample)
    while (this.#samples.length > 2 && this.#samples[1]!.ms <= sample.ms - WINDOW_MS) this.#samples.shift()
  }

  /** Events of the log that it goes through in a second, also those that are not for the projection. */
  get eventsPerSecond(): number {
    const { seconds, read } = this.#over()
    return seconds === 0 ? 0 : Math.round(read / this.#spacing / seconds)
  }

  /** Until it has caught up; undefined as long as nobody can tell. */
  get etaSeconds(): number | undefined {
    const { seconds, read, grown, left } = this.#over()
    if (left <= 0) return 0
    if (seconds === 0 || read <= grown) return undefined
    return Math.round((left / ((read - grown) / seconds)) * 10) / 10
  }

  #over(): { seconds: number; read: number; grown: number; left: number } {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined) return { seconds: 0, read: 0, grown: 0, left: 0 }
    return {
      seconds: (last.ms - first.ms) / 1_000,
      read: last.position - first.position,
      grown: last.head - first.head,
      left: last.head - last.position,
    }
  }
}
