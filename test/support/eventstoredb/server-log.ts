// What the test server keeps: events in one SQLite file, by the rules of EventStoreDB 24.10. Where they are from is said
// beside each (file names of the EventStore repository, folder src/EventStore.Core/Services).
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'

export type Proposed = {
  readonly id: string
  readonly type: string
  readonly json: boolean
  readonly data: Uint8Array
  readonly metadata: Uint8Array
}

export type Row = Omit<Proposed, 'json'> & {
  readonly position: number
  readonly stream: string
  readonly revision: number
  /** 0 or 1. */
  readonly json: number
  /** Milliseconds since 1970. */
  readonly created: number
}

export type Expected = number | 'any' | 'noStream' | 'streamExists'

export type AppendRequest = {
  readonly stream: string
  readonly expected: Expected
  readonly events: readonly Proposed[]
}

/** `current` is -1 where there is no stream. */
export type Outcome =
  | { readonly kind: 'success'; readonly revision: number; readonly position: number; readonly isRepeat?: true }
  | { readonly kind: 'wrongExpectedVersion'; readonly current: number }
  | { readonly kind: 'streamDeleted' }

const SCHEMA = `CREATE TABLE IF NOT EXISTS events (
  position INTEGER PRIMARY KEY, stream TEXT NOT NULL, revision INTEGER NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL,
  json INTEGER NOT NULL, data BLOB NOT NULL, metadata BLOB NOT NULL, created INTEGER NOT NULL, UNIQUE (stream, revision)
) STRICT`
/** A position is where a record begins in the log's files: it grows by the record's size, and no two are neighbours. */
const FIRST_POSITION = 256
const RECENT = 500
const RECORD_OVERHEAD = 96
/** In `$tb` of a stream that was deleted, but may be written to again. */
const SOFT_DELETED = Number.MAX_SAFE_INTEGER
const TOMBSTONE = '$streamDeleted'

export class ServerLog {
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  /** Ids written since the start: as in IndexWriter.cs, a repeat that expects any revision is only seen in memory. */
  #written = new Map<string, { stream: string; revision: number }>()
  #end: number
  /** The newest rows, which subscriptions at the head read again and again: asking SQLite for them was most of what the server did. */
  #recent: Row[] = []

  /** @param folder undefined keeps everything in memory */
  constructor(folder: string | undefined) {
    if (folder !== undefined) mkdirSync(folder, { recursive: true })
    this.#db = new DatabaseSync(folder === undefined ? ':memory:' : join(folder, 'eventstoredb.sqlite'))
    this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    this.#db.exec(SCHEMA)
    const newest = this.#get('SELECT * FROM events ORDER BY position DESC LIMIT 1') as Row | undefined
    this.#end = newest ? newest.position + sizeOf(newest) : FIRST_POSITION
  }

  /** All in one transaction, so that many share one fsync; each is judged by itself. */
  appendAll(requests: readonly AppendRequest[]): Outcome[] {
    this.#db.exec('BEGIN IMMEDIATE')
    const outcomes = requests.map((request) => this.#append(request))
    this.#db.exec('COMMIT')
    return outcomes
  }

  /** IndexWriter.cs, CheckCommit. */
  #append({ stream, expected, events }: AppendRequest): Outcome {
    const current = this.lastRevision(stream)
    if (this.isTombstoned(stream)) return { kind: 'streamDeleted' }
    if (expected === 'streamExists' && current < 0) return { kind: 'wrongExpectedVersion', current }
    const first = events[0]
    if (first === undefined) throw new Error('the test server takes no append without events')
    if (typeof expected === 'string' && expected !== 'noStream') {
      const known = this.#written.get(first.id)
      return known?.stream === stream ? this.#repeated(stream, known.revision, events) : this.#write(stream, events)
    }
    const wanted = expected === 'noStream' ? -1 : expected
    if (wanted === current) return this.#write(stream, events)
    if (wanted > current) return { kind: 'wrongExpectedVersion', current }
    const repeated = this.#repeated(stream, wanted + 1, events)
    return expected === 'noStream' && repeated.kind !== 'success' && this.#isSoftDeleted(stream)
      ? this.#write(stream, events)
      : repeated
  }

  /** The same events where they were wanted: answered as the first time. Anything else there is a conflict. */
  #repeated(stream: string, from: number, events: readonly Proposed[]): Outcome {
    const rows = this.#all(
      'SELECT id, position FROM events WHERE stream = ? AND revision >= ? ORDER BY revision LIMIT ?',
      [stream, from, events.length],
    ) as { id: string; position: number }[]
    const same = rows.length === events.length && rows.every(({ id }, i) => id === events[i]!.id)
    if (!same) return { kind: 'wrongExpectedVersion', current: this.lastRevision(stream) }
    return { kind: 'success', revision: from + events.length - 1, position: rows.at(-1)!.position, isRepeat: true }
  }

  /** Every event has a position of its own, also those of one append (StorageWriterService.cs: LogPosition of its prepare). */
  #write(stream: string, events: readonly Proposed[]): Outcome {
    let revision = this.lastRevision(stream)
    if (this.#isSoftDeleted(stream)) this.#setMetadata(stream, { $tb: revision + 1 })
    let position = 0
    for (const event of events) {
      position = this.#end
      this.#insert({ ...event, position, stream, revision: ++revision, json: Number(event.json), created: Date.now() })
      this.#written.set(event.id, { stream, revision })
    }
    return { kind: 'success', revision, position }
  }

  #insert(row: Row): void {
    const { position, stream, revision, id, type, json, data, metadata, created } = row
    this.#prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)').run(
      ...[position, stream, revision, id, type, json, data, metadata, created],
    )
    this.#end = position + sizeOf(row)
    this.#recent.push(row)
    if (this.#recent.length >= 2 * RECENT) this.#recent = this.#recent.slice(-RECENT)
  }

  #setMetadata(stream: string, metadata: object): void {
    const data = new TextEncoder().encode(JSON.stringify(metadata))
    const event = { id: crypto.randomUUID(), type: '$metadata', json: true, data, metadata: new Uint8Array() }
    this.#write(`$$${stream}`, [event])
  }

  /** Hides what there is; who appends begins behind it. */
  softDelete(stream: string): void {
    this.#setMetadata(stream, { $tb: SOFT_DELETED })
  }

  tombstone(stream: string): number {
    const position = this.#end
    const nothing = new Uint8Array()
    const event = { id: crypto.randomUUID(), type: TOMBSTONE, json: 0, data: nothing, metadata: nothing }
    this.#insert({ ...event, position, stream, revision: SOFT_DELETED, created: Date.now() })
    return position
  }

  isTombstoned(stream: string): boolean {
    return (
      this.#get('SELECT 1 AS there FROM events WHERE stream = ? AND revision = ?', [stream, SOFT_DELETED]) !== undefined
    )
  }

  #isSoftDeleted(stream: string): boolean {
    return this.#metadataOf(stream).$tb === SOFT_DELETED
  }

  #metadataOf(stream: string): { $tb?: number; $maxCount?: number } {
    const row = this.#get('SELECT data FROM events WHERE stream = ? ORDER BY revision DESC LIMIT 1', [`$$${stream}`])
    return row ? JSON.parse(new TextDecoder().decode((row as Row).data)) : {}
  }

  /** -1 where there is no stream. */
  lastRevision(stream: string): number {
    const row = this.#get('SELECT coalesce(max(revision), -1) AS last FROM events WHERE stream = ? AND revision < ?', [
      stream,
      SOFT_DELETED,
    ])
    return (row as { last: number }).last
  }

  /** The first revision that a reader of the stream sees; reading $all still sees what was truncated, until a scavenge. */
  firstRevision(stream: string): number {
    const { $tb = 0, $maxCount } = this.#metadataOf(stream)
    return Math.max($tb, $maxCount === undefined ? 0 : this.lastRevision(stream) - $maxCount + 1)
  }

  /** Whether a reader is told that there is no such stream. */
  isMissing(stream: string): boolean {
    return this.lastRevision(stream) < 0 || this.#isSoftDeleted(stream)
  }

  readStream(stream: string, from: number, backwards: boolean, limit: number): Row[] {
    const [compare, order] = backwards ? ['<=', 'DESC'] : ['>=', 'ASC']
    return this.#all(
      `SELECT * FROM events WHERE stream = ? AND revision ${compare} ? AND revision >= ? AND revision < ? ORDER BY revision ${order} LIMIT ?`,
      [stream, from, this.firstRevision(stream), SOFT_DELETED, limit],
    ) as Row[]
  }

  /** Forwards from the position itself, backwards from what ends before it. */
  readAll(from: number, backwards: boolean, limit: number): Row[] {
    const oldest = this.#recent[0]
    if (!backwards && oldest !== undefined && from >= oldest.position) {
      const start = this.#recent.findLastIndex(({ position }) => position < from) + 1
      return this.#recent.slice(start, start + limit)
    }
    const [compare, order] = backwards ? ['<', 'DESC'] : ['>=', 'ASC']
    return this.#all(`SELECT * FROM events WHERE position ${compare} ? ORDER BY position ${order} LIMIT ?`, [
      from,
      limit,
    ]) as Row[]
  }

  /** Where the next record will begin. */
  get end(): number {
    return this.#end
  }

  close(): void {
    this.#db.close()
  }

  #get(sql: string, values: readonly (string | number)[] = []): unknown {
    return this.#prepare(sql).get(...values)
  }

  #all(sql: string, values: readonly (string | number)[]): unknown[] {
    return this.#prepare(sql).all(...values)
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql) ?? this.#db.prepare(sql)
    this.#statements.set(sql, known)
    return known
  }
}

const sizeOf = ({ data, metadata }: Pick<Row, 'data' | 'metadata'>): number =>
  RECORD_OVERHEAD + data.length + metadata.length
