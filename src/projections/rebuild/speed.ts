/** How long back the speed is taken from: long enough not to waver, short enough to follow. */
const WINDOW_MS = 10_000
/** What indexes, statistics and the comparison take for each row, as `bench/rebuild.ts` saw it; another machine is off by what it is slower or faster. */
const FINISHING_MS_PER_ROW = 0.0025

type Sample = { readonly ms: number; readonly position: number; readonly head: number }

/** How fast a rebuild goes through the log, which grows meanwhile, and when it will have caught up. */
export class RebuildSpeed {
  readonly #spacing: number
  #rows = 0
  #begunAt: number | undefined
  #samples: Sample[] = []

  /** @param spacing about how far the positions of two neighbours in the log lie apart */
  constructor(spacing: number) {
    this.#spacing = spacing
  }

  /** @param sample.rows how many were added since the sample before */
  take({ rows, ...sample }: Sample & { readonly rows: number }): void {
    this.#rows += rows
    this.#begunAt ??= sample.position
    this.#samples.push(sample)
    while (this.#samples.length > 2 && this.#samples[1]!.ms <= sample.ms - WINDOW_MS) this.#samples.shift()
  }

  get figures(): { readonly eventsPerSecond: number; readonly etaSeconds: number | undefined } {
    return { eventsPerSecond: this.eventsPerSecond, etaSeconds: this.etaSeconds }
  }

  /** Events of the log that it goes through in a second, also those that are not for the projection. */
  get eventsPerSecond(): number {
    const { seconds, read } = this.#over()
    return seconds === 0 ? 0 : Math.round(read / this.#spacing / seconds)
  }

  /** Until it can be swapped in; undefined as long as nobody can tell. */
  get etaSeconds(): number | undefined {
    const { seconds, read, grown, left } = this.#over()
    if (left > 0 && (seconds === 0 || read <= grown)) return undefined
    const replaying = left <= 0 ? 0 : left / ((read - grown) / seconds)
    return Math.round((replaying + this.#finishingSeconds()) * 10) / 10
  }

  /** The rows that come are taken to be as dense in the log as those that came. */
  #finishingSeconds(): number {
    const last = this.#samples.at(-1)
    if (last === undefined || this.#begunAt === undefined || last.position <= this.#begunAt) return 0
    return ((this.#rows / (last.position - this.#begunAt)) * last.head * FINISHING_MS_PER_ROW) / 1_000
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
