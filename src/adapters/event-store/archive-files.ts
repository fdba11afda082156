// The archive as files in one folder, which everybody who reads the log has to reach.
import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createGunzip } from 'node:zlib'
import { LRUCache } from 'lru-cache'
import type { RecordedEvent } from '../../domain/message.ts'
import { type Archive, type ArchivedBatch, ArchiveUnavailable } from '../../ports/archive.ts'
import { type ArchiveName, pack, parseHeader, parseName, type Unpacked, unpack } from './archive-format.ts'
import { ArchiveReader } from './archive-reader.ts'

/** How many files are kept unpacked for whoever asks for single runs. */
const UNPACKED = 8
/** Of how many files it is remembered which runs they have. */
const HEADERS = 2_000
const UNFINISHED = '.unfinished'
/** What a crash has left. */
const LEFT_AFTER_MS = 3_600_000
/** No first line is longer. */
const MOST_HEADER_BYTES = 4_194_304

export class FileArchive implements Archive {
  readonly #folder: string
  readonly #unpacked = new LRUCache<string, Unpacked>({ max: UNPACKED })
  readonly #headers = new LRUCache<string, ReadonlySet<string>>({ max: HEADERS })

  constructor(folder: string) {
    this.#folder = folder
  }

  async write(namespace: string, runs: readonly (readonly RecordedEvent[])[]): Promise<ArchivedBatch> {
    const { file, bytes } = pack(namespace, runs)
    const name = parseName(file)
    if (name === undefined) throw new Error(`${file} is no name of a file of the archive`)
    // Others may write the same runs at this moment, each to a file of its own until it is whole.
    const unfinished = join(this.#folder, `${file}.${randomUUID()}${UNFINISHED}`)
    try {
      await mkdir(this.#folder, { recursive: true })
      await this.#sweep()
      await writeDurably(unfinished, bytes)
      // What the disk gives back is what counts: the log is cut on the strength of it.
      const { events } = await unpack(name, await readFile(unfinished))
      await rename(unfinished, join(this.#folder, file))
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
    return (await this.#files()).map(parseName).filter((name) => name !== undefined)
  }

  /** @throws ArchiveUnavailable where a file is not there that the log says there is */
  async requireAll(files: ReadonlySet<string>): Promise<void> {
    if (files.size === 0) return
    const there = new Set(await this.#files())
    for (const file of files)
      if (!there.has(file))
        throw new ArchiveUnavailable(
          `the file ${file} of the archive is not in ${this.#folder}, so that a part of the log is missing; put it back, or name its folder with --archive`,
          { file },
        )
  }

  /** What the archive has of a stream, whose last event stands at `position` of the log. */
  async eventsOf(stream: string, position: number): Promise<readonly RecordedEvent[]> {
    const names = (await this.list()).filter(({ first, last }) => first <= position && position <= last)
    for (const name of names.sort((a, b) => a.last - a.first - (b.last - b.first)))
      if ((await this.#streamsIn(name)).has(stream)) {
        const known = this.#unpacked.get(name.file) ?? (await this.read(name))
        this.#unpacked.set(name.file, known)
        return known.eventsOf(stream)
      }
    throw new ArchiveUnavailable(
      `${stream} has been archived, and no file in ${this.#folder} has it; put back the file, or name its folder with --archive`,
    )
  }

  /** For one who reads on and on, from after a position. */
  readerFrom(after: number): ArchiveReader {
    return new ArchiveReader(this, after)
  }

  async read(name: ArchiveName): Promise<Unpacked> {
    const bytes = await readFile(join(this.#folder, name.file)).catch((error) => {
      throw explained(error, `the file ${name.file} of the archive cannot be read`, name.file)
    })
    return unpack(name, bytes)
  }

  /** Of the first line alone: most files have other runs than the one that is looked for. */
  async #streamsIn({ file }: ArchiveName): Promise<ReadonlySet<string>> {
    const known = this.#headers.get(file)
    if (known !== undefined) return known
    try {
      const streams = parseHeader(await firstLine(join(this.#folder, file)))
      this.#headers.set(file, streams)
      return streams
    } catch (error) {
      throw explained(error, `the file ${file} of the archive was changed or cut`, file)
    }
  }

  async #files(): Promise<readonly string[]> {
    return readdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw explained(error, `the archive ${this.#folder} cannot be read`)
    })
  }

  async #sweep(): Promise<void> {
    for (const file of await this.#files()) {
      if (!file.endsWith(UNFINISHED)) continue
      const path = join(this.#folder, file)
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
      if (Date.now() - mtimeMs > LEFT_AFTER_MS) await rm(path, { force: true })
    }
  }
}

async function firstLine(path: string): Promise<string> {
  const source = createReadStream(path)
  const unzipped = source.pipe(createGunzip())
  source.on('error', (error) => unzipped.destroy(error))
  let text = ''
  try {
    for await (const piece of unzipped) {
      text += (piece as Buffer).toString('latin1')
      const end = text.indexOf('\n')
      if (end !== -1) return text.slice(0, end)
      if (text.length > MOST_HEADER_BYTES) break
    }
  } finally {
    source.destroy()
    unzipped.destroy()
  }
  throw new Error('it has no first line')
}

async function writeDurably(path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, 'wx', 0o600)
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

const explained = (error: unknown, what: string, file?: string): ArchiveUnavailable =>
  error instanceof ArchiveUnavailable
    ? error
    : new ArchiveUnavailable(`${what}: ${(error as Error).message}`, { cause: error, ...(file && { file }) })
