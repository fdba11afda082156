// The archive as files in one folder, which everybody who reads the log has to reach.
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import type { RecordedEvent } from '../../domain/message.ts'
import { type Archive, type ArchivedBatch, ArchiveUnavailable } from '../../ports/archive.ts'
import { type ArchiveName, pack, parseName, Unpacked } from './archive-format.ts'

/** How many files are kept unpacked: those whose runs overlap are read side by side. */
const UNPACKED = 16

export class FileArchive implements Archive {
  readonly #folder: string
  readonly #unpacked = new LRUCache<string, Unpacked>({ max: UNPACKED })

  constructor(folder: string) {
    this.#folder = folder
  }

  async write(namespace: string, runs: readonly (readonly RecordedEvent[])[]): Promise<ArchivedBatch> {
    const { file, bytes } = pack(namespace, runs)
    const name = parseName(file)
    if (name === undefined) throw new Error(`${file} is no name of a file of the archive`)
    const path = join(this.#folder, file)
    const unfinished = `${path}.unfinished`
    try {
      await mkdir(this.#folder, { recursive: true })
      await writeDurably(unfinished, bytes)
      // What the disk gives back is what counts: the log is cut on the strength of it.
      const { events } = new Unpacked(name, await readFile(unfinished))
      await rename(unfinished, path)
      await syncFolder(this.#folder)
      return { file, events, bytes: bytes.length }
    } catch (error) {
      await rm(unfinished, { force: true }).catch(() => {})
      throw explained(error, `the archive cannot be written to ${this.#folder}`)
    }
  }

  async statistics(): Promise<{ files: number; bytes: number }> {
    const names = await this.list()
    let bytes = 0
    for (const { file } of names) bytes += (await stat(join(this.#folder, file))).size
    return { files: names.length, bytes }
  }

  /** Those that are there now; none where there is no folder. */
  async list(): Promise<readonly ArchiveName[]> {
    const files = await readdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw explained(error, `the archive ${this.#folder} cannot be read`)
    })
    return files.map(parseName).filter((name) => name !== undefined)
  }

  /** @throws ArchiveUnavailable where the file, which the log says there is, is not there */
  async require(file: string): Promise<void> {
    if ((await this.list()).some((name) => name.file === file)) return
    throw new ArchiveUnavailable(
      `the file ${file} of the archive is not in ${this.#folder}, so that a part of the log is missing; put it back, or name its folder with --archive`,
    )
  }

  /** What the archive has of a stream, whose last event stands at `position` of the log. */
  async eventsOf(stream: string, position: number): Promise<readonly RecordedEvent[]> {
    for (const name of await this.list()) {
      if (position < name.first || position > name.last) continue
      const unpacked = await this.#read(name)
      if (unpacked.streams.has(stream)) return unpacked.eventsOf(stream)
    }
    throw new ArchiveUnavailable(
      `${stream} has been archived, and no file in ${this.#folder} has it; put back the file, or name its folder with --archive`,
    )
  }

  /** Events after position `after`, up to `upTo`, in the order of the log and each once, in batches of `size` and one of the rest. */
  async *between(after: number, upTo: number, size: number): AsyncGenerator<readonly RecordedEvent[]> {
    const waiting = (await this.list())
      .filter(({ first, last }) => last > after && first <= upTo)
      .sort((a, b) => a.first - b.first)
    const open: Reading[] = []
    let events: RecordedEvent[] = []
    for (let done = after; waiting.length > 0 || leastOf(open) <= upTo; ) {
      // A file that begins before the next event of those that are open has to be open as well.
      while (waiting[0] !== undefined && waiting[0].first <= leastOf(open)) {
        const unpacked = await this.#read(waiting.shift()!)
        open.push({ unpacked, index: unpacked.indexAfter(done) })
      }
      take(open, { done, until: Math.min(upTo + 1, waiting[0]?.first ?? Number.POSITIVE_INFINITY), size }, events)
      done = events.at(-1)?.position ?? done
      if (events.length < size) continue
      yield events
      events = []
    }
    if (events.length > 0) yield events
  }

  async #read(name: ArchiveName): Promise<Unpacked> {
    const known = this.#unpacked.get(name.file)
    if (known !== undefined) return known
    const bytes = await readFile(join(this.#folder, name.file)).catch((error) => {
      throw explained(error, `the file ${name.file} of the archive cannot be read`)
    })
    const unpacked = new Unpacked(name, bytes)
    this.#unpacked.set(name.file, unpacked)
    return unpacked
  }
}

type Reading = { readonly unpacked: Unpacked; index: number }

const nextOf = ({ unpacked, index }: Reading): number => unpacked.positionAt(index)

/** Infinity where none has any left. */
function leastOf(open: readonly Reading[]): number {
  let least = Number.POSITIVE_INFINITY
  for (const one of open) least = Math.min(least, nextOf(one))
  return least
}

/** Adds what files that are open have after `done` and before `until`, in order, while there are fewer than `size`. Who has no more is closed. */
function take(
  open: Reading[],
  { done, until, size }: { readonly done: number; readonly until: number; readonly size: number },
  events: RecordedEvent[],
): void {
  for (let last = done; events.length < size; ) {
    const least = leastOf(open)
    const at = least < until ? open.findIndex((one) => nextOf(one) === least) : -1
    const from = open[at]
    if (from === undefined) return
    // Runs that were put back into the log and archived again are in two files.
    if (least > last) events.push(from.unpacked.eventAt(from.index))
    last = least
    from.index++
    if (nextOf(from) === Number.POSITIVE_INFINITY) open.splice(at, 1)
  }
}

async function writeDurably(path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

const explained = (error: unknown, what: string): ArchiveUnavailable =>
  error instanceof ArchiveUnavailable ? error : new ArchiveUnavailable(`${what}: ${(error as Error).message}`, error)
