// The event store of a simulated world: a log in memory that outlives every process of it.
import type { NewEvent, RecordedEvent } from '../../src/domain/message.ts'
import {
  type AppendResult,
  AppendTooLarge,
  type Batch,
  type EventStore,
  type ExpectedRevision,
  MAX_APPEND_BYTES,
  WrongExpectedRevision,
} from '../../src/ports/event-store.ts'

const BATCH = 500

/** What a stream holds now; `first` is the revision of the oldest event that was kept. */
type Stream = { first: number; events: RecordedEvent[] }

type ReadOptions = NonNullable<Parameters<EventStore['readStream']>[1]>

/** What `readStream` gives of the events of a stream, the oldest of which has the revision `first`. */
export function read(
  events: readonly RecordedEvent[],
  first: number,
  { from, direction = 'forwards', limit }: ReadOptions,
): readonly RecordedEvent[] {
  const place = from === undefined ? undefined : from - first
  const chosen =
    direction === 'forwards'
      ? events.slice(Math.max(place ?? 0, 0))
      : events.slice(0, place === undefined ? undefined : place + 1).reverse()
  return chosen.slice(0, limit)
}

export class MemoryLog implements EventStore {
  /** Everything that was ever appended, also what was truncated since; an event stands at the index of its position. */
  readonly events: RecordedEvent[] = []
  readonly #streams = new Map<string, Stream>()
  readonly #truncated = new Set<number>()
  readonly #places = new Map<string, number>()
  readonly #waiting = new Set<() => void>()
  readonly #appended: (given: readonly NewEvent[], recorded: readonly RecordedEvent[]) => void

  /** @param appended hears of every append, as it was given and as it stands in the log */
  constructor(appended: (given: readonly NewEvent[], recorded: readonly RecordedEvent[]) => void = () => {}) {
    this.#appended = appended
  }

  /** As `append`, at once. */
  commit(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): AppendResult {
    const texts = events.map(({ data, metadata }) => JSON.stringify({ data, metadata }))
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    if (bytes > MAX_APPEND_BYTES) throw new AppendTooLarge(stream, bytes)
    const known = this.#streams.get(stream) ?? { first: 0, events: [] }
    const last = known.first + known.events.length - 1
    const repeated = this.#repeated(stream, expected, events)
    if (repeated) return repeated
    const isExpected = expected === 'any' || (expected === 'noStream' ? last === -1 : last === expected)
    if (!isExpected) throw new WrongExpectedRevision(stream, expected, last === -1 ? 'noStream' : last)
    const recorded = events.map((event, index): RecordedEvent => {
      const { id, type, version, at } = event
      const place = { stream, revision: last + 1 + index, position: this.events.length + index }
      return { id, type, version, at, ...JSON.parse(texts[index]!), ...place }
    })
    this.events.push(...recorded)
    for (const { id, position } of recorded) this.#places.set(id, position)
    known.events.push(...recorded)
    this.#streams.set(stream, known)
    this.#appended(events, recorded)
    for (const resume of [...this.#waiting]) resume()
    return { revision: last + events.length, position: this.events.length - 1 }
  }

  async append(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): Promise<AppendResult> {
    return this.commit(stream, expected, events)
  }

  async *readStream(stream: string, options: ReadOptions = {}): AsyncGenerator<readonly RecordedEvent[]> {
    const { first, events } = this.#streams.get(stream) ?? { first: 0, events: [] }
    const chosen = read(events, first, options)
    for (let at = 0; at < chosen.length; at += BATCH) yield chosen.slice(at, at + BATCH)
  }

  async *readAll(options: { after?: number; prefixes?: readonly string[] } = {}): AsyncGenerator<RecordedEvent[]> {
    const { after = -1, prefixes } = options
    const events = this.#after(after, this.events.length).filter(({ stream }) => startsWithOne(stream, prefixes))
    for (let at = 0; at < events.length; at += BATCH) yield events.slice(at, at + BATCH)
  }

  async *subscribe(options: {
    after: number
    prefixes?: readonly string[]
    batchSize?: number
    signal: AbortSignal
  }): AsyncGenerator<Batch> {
    const { prefixes, batchSize = BATCH, signal } = options
    let { after } = options
    let told = false
    while (!signal.aborted) {
      const found = this.#after(after, batchSize)
      after = Math.min(after + batchSize, Math.max(after, this.events.length - 1))
      const caughtUp = after >= this.events.length - 1
      if (found.length > 0 || (caughtUp && !told)) {
        told = caughtUp
        yield { events: found.filter(({ stream }) => startsWithOne(stream, prefixes)), position: after, caughtUp }
      } else await this.#moreThan(after, signal)
    }
  }

  async truncate(stream: string, keepLast: number): Promise<void> {
    const known = this.#streams.get(stream)
    if (known === undefined || known.events.length <= keepLast) return
    const gone = known.events.splice(0, known.events.length - keepLast)
    for (const { position } of gone) this.#truncated.add(position)
    known.first += gone.length
  }

  async putBack(stream: string): Promise<boolean> {
    const known = this.#streams.get(stream)
    if (known === undefined) return false
    const whole = this.events.filter((event) => event.stream === stream)
    for (const { position } of whole) this.#truncated.delete(position)
    this.#streams.set(stream, { first: 0, events: whole })
    return true
  }

  async head(): Promise<number> {
    return this.events.length - 1
  }

  async close(): Promise<void> {}

  has(eventId: string): boolean {
    return this.#places.has(eventId)
  }

  #after(position: number, limit: number): RecordedEvent[] {
    const found = this.events.slice(position + 1, position + 1 + limit)
    return this.#truncated.size === 0 ? found : found.filter((event) => !this.#truncated.has(event.position))
  }

  /** The answer that the same events were given before. */
  #repeated(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): AppendResult | undefined {
    const places = events.map(({ id }) => this.#places.get(id))
    const [first] = places
    if (first === undefined) return undefined
    const last = this.events[places.at(-1) ?? -1]
    const isSame = places.every((place, index) => place === first + index) && last?.stream === stream
    if (isSame) return { revision: last.revision, position: last.position }
    const known = this.#streams.get(stream)
    throw new WrongExpectedRevision(stream, expected, known ? known.first + known.events.length - 1 : 'noStream')
  }

  #moreThan(position: number, signal: AbortSignal): Promise<void> {
    if (this.events.length - 1 > position || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const resume = () => {
        signal.removeEventListener('abort', resume)
        this.#waiting.delete(resume)
        resolve()
      }
      signal.addEventListener('abort', resume, { once: true })
      this.#waiting.add(resume)
    })
  }
}

const startsWithOne = (stream: string, prefixes: readonly string[] | undefined): boolean =>
  prefixes === undefined || prefixes.some((prefix) => stream.startsWith(prefix))
