// A file of the archive: NDJSON, compressed with gzip. Its first line says what it is and which runs it has; the others are their
// events, in the order of the log. `zcat` and any reader of JSON are enough to read one.
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip, gzipSync } from 'node:zlib'
import type { RecordedEvent } from '../../domain/message.ts'
import { ArchiveUnavailable } from '../../ports/archive.ts'

/** What its name says of a file: positions of its first and last event, and what it hashes to. */
export type ArchiveName = {
  readonly file: string
  readonly namespace: string
  readonly first: number
  readonly last: number
  readonly sha256: string
}

type Header = {
  readonly format: 'millrace-archive'
  readonly version: 1
  readonly namespace: string
  readonly events: number
  readonly streams: readonly string[]
}

const NAME = /^([a-z0-9][a-z0-9-]{0,62})\.(\d{1,16})-(\d{1,16})\.([0-9a-f]{64})\.ndjson\.gz$/
/** A file that unpacks to more was not written here. */
const MOST_BYTES = 1 << 30
const NEWLINE = 0x0a

/** Nothing for a name that no file of an archive has. */
export function parseName(file: string): ArchiveName | undefined {
  const [, namespace, first, last, sha256] = NAME.exec(file) ?? []
  if (namespace === undefined || sha256 === undefined) return undefined
  return { file, namespace, first: Number(first), last: Number(last), sha256 }
}

/** The name and the bytes of the file that has these runs. */
export function pack(namespace: string, runs: readonly (readonly RecordedEvent[])[]): { file: string; bytes: Buffer } {
  const events = runs.flat().sort((a, b) => a.position - b.position)
  const streams = [...new Set(events.map(({ stream }) => stream))]
  const header: Header = { format: 'millrace-archive', version: 1, namespace, events: events.length, streams }
  // The position comes first, so that a reader finds its place without parsing what is before it.
  const lines = events.map(({ position, ...event }) => ({ position, ...event }))
  const bytes = gzipSync([header, ...lines].map((line) => `${JSON.stringify(line)}\n`).join(''))
  const place = `${events[0]!.position}-${events.at(-1)!.position}`
  return { file: `${namespace}.${place}.${sha256Of(bytes)}.ndjson.gz`, bytes }
}

/** Streams of runs that a file has. */
export const parseHeader = (line: string): ReadonlySet<string> => new Set((JSON.parse(line) as Header).streams)

const gunzipped = promisify(gunzip)

/** @throws ArchiveUnavailable where the bytes are not those that its name speaks of */
export async function unpack(name: ArchiveName, bytes: Buffer): Promise<Unpacked> {
  const { file, sha256 } = name
  const damaged = (what: string, cause?: unknown) =>
    new ArchiveUnavailable(`the file ${file} of the archive ${what}; put back a copy of it`, { file, cause })
  if (sha256Of(bytes) !== sha256) throw damaged('was changed or cut: its bytes have another SHA-256 than its name says')
  try {
    return new Unpacked(name, await gunzipped(bytes, { maxOutputLength: MOST_BYTES }))
  } catch (error) {
    throw damaged('is not what this program writes', error)
  }
}

/** An unpacked file: where each of its lines begins, and the position of its event. */
export class Unpacked {
  readonly #text: Buffer
  readonly #starts: readonly number[]
  readonly #positions: readonly number[]

  /** @throws where the text is not what `name` speaks of */
  constructor({ first, last }: ArchiveName, text: Buffer) {
    this.#text = text
    this.#starts = startsOf(text)
    const header = JSON.parse(this.#line(0)) as Header
    this.#positions = this.#starts.slice(1).map((start) => this.#positionFrom(start))
    if (header.version !== 1 || header.events !== this.#positions.length)
      throw new Error('it has other events than it says')
    if (this.#positions[0] !== first || this.#positions.at(-1) !== last)
      throw new Error('it has other events than its name says')
  }

  get events(): number {
    return this.#positions.length
  }

  /** Number of the first event after a position. */
  indexAfter(position: number): number {
    let [low, high] = [0, this.#positions.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#positions[middle]! <= position) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Infinity past the last. */
  positionAt(index: number): number {
    return this.#positions[index] ?? Number.POSITIVE_INFINITY
  }

  eventAt(index: number): RecordedEvent {
    return JSON.parse(this.#line(index + 1)) as RecordedEvent
  }

  /** In the order of their revisions. */
  eventsOf(stream: string): readonly RecordedEvent[] {
    const found: RecordedEvent[] = []
    const name = JSON.stringify(stream)
    for (let index = 0; index < this.events; index++)
      if (this.#line(index + 1).includes(name)) {
        const event = this.eventAt(index)
        if (event.stream === stream) found.push(event)
      }
    return found
  }

  #positionFrom(start: number): number {
    const text = this.#text.toString('latin1', start, start + 32)
    const [, position] = /^\{"position":(\d{1,16}),/.exec(text) ?? []
    if (position === undefined) throw new Error('a line of it does not begin with a position')
    return Number(position)
  }

  #line(number: number): string {
    return this.#text.toString('utf8', this.#starts[number], this.#starts[number + 1] ?? this.#text.length)
  }
}

function startsOf(text: Buffer): number[] {
  const starts: number[] = []
  for (let at = 0; at < text.length; at = text.indexOf(NEWLINE, at) + 1 || text.length) starts.push(at)
  return starts
}

const sha256Of = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
