import type { NewEvent, RecordedEvent } from '../../domain/message.ts'
import type { RemovalEventOf } from '../../domain/retention/events.ts'
import { ArchiveUnavailable } from '../../ports/archive.ts'
import type { AppendResult, Batch, EventStore, ExpectedRevision } from '../../ports/event-store.ts'
import { START } from '../../ports/event-store.ts'
import type { FileArchive } from './archive-files.ts'
import type { ArchiveReader } from './archive-reader.ts'

/** The streams that are archived. Of each the log keeps the last event, which says that there was a run and where to look for it. */
const STREAMS = 'execution-'
/** Which files there have to be. */
const RECORD = 'archive-files'
const BATCH = 1_000
/**
 * Nothing is archived before it has ended for a while (MIN_ENDED_MS of retention), so a follower that has read within this time has
 * missed nothing.
 */
const FRESH_MS = 5_000

type RunsArchived = RemovalEventOf<'RunsArchived'>['data']
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
  readonly #files = new Set<string>()
  #filesUpTo = -1

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
    // A stream may be cut while it is read, and a server may let go of it piece by piece, so every event is looked at.
    for await (const page of this.#log.readStream(stream, options)) {
      const whole: RecordedEvent[] = []
      for (const event of page) {
        if (event.revision > due) whole.push(...(await this.#missing(stream, event.position, due, event.revision)))
        whole.push(event)
        due = event.revision + 1
      }
      if (whole.length >= left) return yield whole.slice(0, left)
      yield whole
      left -= whole.length
    }
  }

  async *#backwards(stream: string, options: ReadOptions): AsyncGenerator<readonly RecordedEvent[]> {
    let left = options.limit ?? Number.POSITIVE_INFINITY
    /** Where the log is known to have one, for the archive to be looked at. */
    let position: number | undefined
    let due: number | undefined = options.from
    for await (const page of this.#log.readStream(stream, options)) {
      const whole: RecordedEvent[] = []
      for (const event of page) {
        if (position !== undefined && event.revision < due!)
          whole.push(...(await this.#missing(stream, event.position, event.revision + 1, due! + 1)).toReversed())
        whole.push(event)
        position ??= event.position
        due = event.revision - 1
      }
      if (whole.length >= left) return yield whole.slice(0, left)
      yield whole
      left -= whole.length
    }
    // What was asked for may lie before all that the log has kept.
    if (position === undefined)
      for await (const [first] of this.#log.readStream(stream, { limit: 1 })) {
        position = first?.position
        due = Math.min(due ?? Number.POSITIVE_INFINITY, (first?.revision ?? 0) - 1)
      }
    if (position === undefined || due === undefined || due < 0) return
    yield (await this.#missing(stream, position, 0, due + 1)).slice(-left).reverse()
  }

  /** @throws ArchiveUnavailable also where the archive does not have every one of them */
  async #missing(stream: string, position: number, from: number, before: number): Promise<readonly RecordedEvent[]> {
    const all = await this.#archive.eventsOf(stream, position)
    const events = all.filter(({ revision }) => revision >= from && revision < before)
    if (events.length === before - from) return events
    throw new ArchiveUnavailable(
      `the archive has ${events.length} events of ${stream} from revision ${from}, not ${before - from}`,
    )
  }

  async *readAll(options: Parameters<EventStore['readAll']>[0] = {}): AsyncGenerator<readonly RecordedEvent[]> {
    let { after = START } = options
    const reader = this.#archive.readerFrom(after)
    for await (const events of this.#log.readAll(options)) {
      const batch = { events, position: events.at(-1)!.position, caughtUp: false }
      for await (const merged of this.#merged(reader, after, batch, options))
        if (merged.events.length > 0) yield merged.events
      after = batch.position
    }
  }

  async *subscribe(options: Followed): AsyncGenerator<Batch> {
    let { after } = options
    let reader: ArchiveReader | undefined = this.#archive.readerFrom(after)
    let readAt = performance.now()
    for await (const batch of this.#log.subscribe(options)) {
      // Who was held up may be behind once more, and is until it has caught up again.
      if (performance.now() - readAt > FRESH_MS) reader ??= this.#archive.readerFrom(after)
      readAt = performance.now()
      if (reader) yield* this.#merged(reader, after, batch, options)
      else yield batch
      after = batch.position
      if (batch.caughtUp) reader = undefined
    }
  }

  /** What the log had after `after`, and what it had there once. The archive is looked at after the log was read: it is written to before the log is cut. */
  async *#merged(
    reader: ArchiveReader,
    after: number,
    batch: Batch,
    { prefixes, batchSize = BATCH }: Pick<Followed, 'prefixes' | 'batchSize'>,
  ): AsyncGenerator<Batch> {
    if (batch.position === after) return yield batch
    await this.#requireFiles()
    const isWanted = ({ stream }: RecordedEvent): boolean =>
      prefixes === undefined || prefixes.some((prefix) => stream.startsWith(prefix))
    let next = 0
    for await (const archived of reader.upTo(batch.position, batchSize)) {
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

  /** A file that is not there would be missed by nobody: what was in it is not in the log. @throws ArchiveUnavailable */
  async #requireFiles(): Promise<void> {
    for await (const events of this.#log.readStream(RECORD, { from: this.#filesUpTo + 1 }))
      for (const { revision, data } of events) {
        this.#files.add((data as RunsArchived).file)
        this.#filesUpTo = Math.max(this.#filesUpTo, revision)
      }
    await this.#archive.requireAll(this.#files)
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
