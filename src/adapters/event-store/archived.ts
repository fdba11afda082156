import type { NewEvent, RecordedEvent } from '../../domain/message.ts'
import type { RemovalEventOf } from '../../domain/retention/events.ts'
import { ArchiveUnavailable } from '../../ports/archive.ts'
import type { AppendResult, Batch, EventStore, ExpectedRevision } from '../../ports/event-store.ts'
import { START } from '../../ports/event-store.ts'
import type { FileArchive } from './archive-files.ts'

/** The streams that are archived. Of each the log keeps the last event, which says that there was a run and where to look for it. */
const STREAMS = 'execution-'

type RunsArchived = RemovalEventOf<'RunsArchived'>['data']
const BATCH = 1_000

type ReadOptions = NonNullable<Parameters<EventStore['readStream']>[1]>
type Followed = Parameters<EventStore['subscribe']>[0]

/**
 * A log that was cut, together with what was cut off: who reads it sees every event that there ever was, at its place. Only who
 * follows it at its head reads past the archive, where nothing can be.
 */
export class ArchivedEventStore implements EventStore {
  readonly spacing?: number
  readonly #log: EventStore
  readonly #archive: FileArchive

  constructor(log: EventStore, archive: FileArchive) {
    if (log.spacing !== undefined) this.spacing = log.spacing
    this.#log = log
    this.#archive = archive
  }

  append(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): Promise<AppendResult> {
    return this.#log.append(stream, expected, events)
  }

  readStream(stream: string, options: ReadOptions = {}): AsyncIterable<readonly RecordedEvent[]> {
    if (!stream.startsWith(STREAMS)) return this.#log.readStream(stream, options)
    return options.direction === 'backwards' ? this.#backwards(stream, options) : this.#forwards(stream, options)
  }

  async *#forwards(stream: string, options: ReadOptions): AsyncGenerator<readonly RecordedEvent[]> {
    let { from: due = 0 } = options
    let left = options.limit ?? Number.POSITIVE_INFINITY
    // A stream may be cut while it is read, so every page is looked at.
    for await (const page of this.#log.readStream(stream, options)) {
      const { revision, position } = page[0]!
      if (revision > due) {
        const missing = await this.#missing(stream, position, due, revision)
        yield missing.slice(0, left)
        left -= missing.length
      }
      if (left <= 0) return
      yield page.length > left ? page.slice(0, left) : page
      left -= page.length
      due = page.at(-1)!.revision + 1
    }
  }

  async *#backwards(stream: string, options: ReadOptions): AsyncGenerator<readonly RecordedEvent[]> {
    let left = options.limit ?? Number.POSITIVE_INFINITY
    let oldest: RecordedEvent | undefined
    for await (const page of this.#log.readStream(stream, options)) {
      yield page
      left -= page.length
      oldest = page.at(-1)
    }
    if (left <= 0) return
    // What was asked for may lie before all that the log has kept.
    if (oldest === undefined) for await (const [first] of this.#log.readStream(stream, { limit: 1 })) oldest = first
    if (oldest === undefined || oldest.revision === 0) return
    const before = Math.min(oldest.revision, (options.from ?? oldest.revision) + 1)
    const missing = await this.#missing(stream, oldest.position, 0, before)
    yield missing.slice(-left).reverse()
  }

  /** @throws ArchiveUnavailable also where the archive does not have every one of them */
  async #missing(stream: string, position: number, from: number, before: number): Promise<readonly RecordedEvent[]> {
    const events = (await this.#archive.eventsOf(stream, position)).filter(
      ({ revision }) => revision >= from && revision < before,
    )
    if (events.length === before - from) return events
    throw new ArchiveUnavailable(
      `the archive has ${events.length} events of ${stream} from revision ${from}, not ${before - from}`,
    )
  }

  async *readAll(options: Parameters<EventStore['readAll']>[0] = {}): AsyncGenerator<readonly RecordedEvent[]> {
    let { after = START } = options
    for await (const events of this.#log.readAll(options)) {
      const upTo = events.at(-1)!.position
      for await (const { events: merged } of this.#merged(after, { events, position: upTo, caughtUp: false }, options))
        if (merged.length > 0) yield merged
      after = upTo
    }
  }

  async *subscribe(options: Followed): AsyncGenerator<Batch> {
    let { after } = options
    let isBehind = true
    for await (const batch of this.#log.subscribe(options)) {
      if (isBehind) yield* this.#merged(after, batch, options)
      else yield batch
      after = batch.position
      if (batch.caughtUp) isBehind = false
    }
  }

  /** What the log had after `after`, and what it had there once. The archive is looked at after the log was read: it is written to before the log is cut. */
  async *#merged(
    after: number,
    batch: Batch,
    { prefixes, batchSize = BATCH }: Pick<Followed, 'prefixes' | 'batchSize'>,
  ): AsyncGenerator<Batch> {
    for (const { type, data } of batch.events)
      if (type === 'RunsArchived') await this.#archive.require((data as RunsArchived).file)
    const isWanted = ({ stream }: RecordedEvent): boolean =>
      prefixes === undefined || prefixes.some((prefix) => stream.startsWith(prefix))
    let next = 0
    for await (const archived of this.#archive.between(after, batch.position, batchSize)) {
      const events: RecordedEvent[] = []
      for (const event of archived) {
        while (next < batch.events.length && batch.events[next]!.position <= event.position)
          events.push(batch.events[next++]!)
        if (events.at(-1)?.position !== event.position && isWanted(event)) events.push(event)
      }
      yield { events, position: archived.at(-1)!.position, caughtUp: false }
    }
    yield next === 0 ? batch : { ...batch, events: batch.events.slice(next) }
  }

  truncate(stream: string, keepLast: number): Promise<void> {
    return this.#log.truncate(stream, keepLast)
  }

  putBack(stream: string, events: readonly RecordedEvent[]): Promise<boolean> {
    return this.#log.putBack(stream, events)
  }

  head(): Promise<number> {
    return this.#log.head()
  }

  close(): Promise<void> {
    return this.#log.close()
  }
}
