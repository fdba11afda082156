import type { RecordedEvent } from '../../domain/message.ts'
import type { ArchiveName, Unpacked } from './archive-format.ts'

type Files = { list(): Promise<readonly ArchiveName[]>; read(name: ArchiveName): Promise<Unpacked> }
type Reading = { readonly unpacked: Unpacked; index: number }

/**
 * What one reader of the log has left of the archive to read. Files whose runs overlap are read side by side, each is unpacked once, and
 * kept until it is read to its end.
 */
export class ArchiveReader {
  readonly #files: Files
  readonly #seen = new Set<string>()
  #open: Reading[] = []
  #done: number

  constructor(files: Files, after: number) {
    this.#files = files
    this.#done = after
  }

  /** Events up to a position that were not read yet, in the order of the log and each once, in batches of `size` and one of the rest. */
  async *upTo(position: number, size: number): AsyncGenerator<readonly RecordedEvent[]> {
    const waiting = (await this.#files.list())
      .filter(({ file, first, last }) => !this.#seen.has(file) && last > this.#done && first <= position)
      .sort((a, b) => a.first - b.first)
    let events: RecordedEvent[] = []
    while (waiting.length > 0 || this.#least() <= position) {
      // A file that begins before the next event of those that are open has to be open as well.
      while (waiting[0] !== undefined && waiting[0].first <= this.#least()) {
        const name = waiting.shift()!
        const unpacked = await this.#files.read(name)
        this.#seen.add(name.file)
        this.#open.push({ unpacked, index: unpacked.indexAfter(this.#done) })
      }
      this.#take(events, Math.min(position + 1, waiting[0]?.first ?? Number.POSITIVE_INFINITY), size)
      if (events.length < size) continue
      yield events
      events = []
    }
    if (events.length > 0) yield events
    this.#done = Math.max(this.#done, position)
  }

  /** Adds what files that are open have before `until`, while there are fewer than `size`. Who has no more is closed. */
  #take(events: RecordedEvent[], until: number, size: number): void {
    while (events.length < size) {
      const least = this.#least()
      const from = least < until ? this.#open.find((one) => nextOf(one) === least) : undefined
      if (from === undefined) return
      // Runs that were put back into the log and archived again are in two files.
      if (least > this.#done) events.push(from.unpacked.eventAt(from.index))
      this.#done = Math.max(this.#done, least)
      from.index++
      if (nextOf(from) === Number.POSITIVE_INFINITY) this.#open = this.#open.filter((one) => one !== from)
    }
  }

  /** Infinity where none has any left. */
  #least(): number {
    let least = Number.POSITIVE_INFINITY
    for (const one of this.#open) least = Math.min(least, nextOf(one))
    return least
  }
}

const nextOf = ({ unpacked, index }: Reading): number => unpacked.positionAt(index)
