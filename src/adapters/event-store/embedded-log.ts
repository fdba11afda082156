// The SQLite file behind the embedded event store; synchronous, so it lives in threads of its own (embedded-thread.ts).
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { ExpectedRevision } from '../../ports/event-store.ts'
import { checkRows } from './row-check.ts'
import { explained } from './sqlite-errors.ts'
import { foldWal, lengthenWal, useWal } from './use-wal.ts'

/** SQLite keeps its write-ahead log beside it, with `-wal` at the end. */
export const LOG_FILE = 'events.sqlite'

export type StoredRow = {
  readonly position: number
  readonly stream: string
  readonly revision: number
  /** 32 hexadecimal digits. */
  readonly id: string
  readonly type: string
  readonly version: number
  readonly at: string
  readonly data: string
  readonly metadata: string
}

/** How many cells of `AppendRequest.cells` an event takes: id, type, version, at, data and metadata as JSON text. */
const CELLS = 6

/** Flat, because crossing to a thread costs by the object and by the name of each member. */
export type AppendRequest = {
  readonly seq: number
  readonly stream: string
  readonly expected: ExpectedRevision
  readonly cells: readonly (string | number)[]
}

/** `conflict` carries the actual revision, -1 where there is no stream. */
export type AppendOutcome =
  | {
      readonly seq: number
      readonly kind: 'appended' | 'repeated'
      readonly revision: number
      readonly position: number
    }
  | { readonly seq: number; readonly kind: 'conflict'; readonly actual: number }

/** `revision` is that of the last event, -1 before the first. */
type Stream = { readonly id: number; readonly revision: number }

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
  ) STRICT;
  CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES streams (id),
    revision INTEGER NOT NULL,
    id BLOB NOT NULL,
    type TEXT NOT NULL,
    version INTEGER NOT NULL,
    at TEXT NOT NULL,
    data TEXT NOT NULL,
    metadata TEXT NOT NULL,
    UNIQUE (stream, revision)
  ) STRICT;
`
/** How many streams' last revisions a generation remembers; older ones are looked up again. */
const REMEMBERED_STREAMS = 25_000
/** How far back a repeat is looked for where any revision was expected. An index of ids would cost every append a page. */
const REPEATS_WITHIN = 1_000

const COLUMNS = `position, streams.name AS stream, revision, lower(hex(events.id)) AS id, type, version, at, data, metadata
  FROM events JOIN streams ON streams.id = events.stream`

export class EmbeddedLog {
  readonly #db: DatabaseSync
  /** The streams used lately, in two generations: the older goes as a whole, which costs nothing by the entry. */
  #streams = new Map<string, Stream>()
  #olderStreams = new Map<string, Stream>()
  readonly #statements = new Map<string, StatementSync>()
  readonly #insert: StatementSync
  #dataVersion = -1

  /** @param options.writes whether this connection is the one that appends; the other looks for damage first */
  constructor(folder: string, options: { writes: boolean }) {
    mkdirSync(folder, { recursive: true })
    const file = join(folder, LOG_FILE)
    try {
      this.#db = new DatabaseSync(file)
      this.#db.exec('PRAGMA busy_timeout = 10000')
      useWal(this.#db)
      if (options.writes) foldWal(this.#db)
      // Two processes may create the file at the same moment; IMMEDIATE makes the second wait for the first.
      this.#db.exec(`BEGIN IMMEDIATE; ${SCHEMA}`)
      // Within the transaction, so that nobody else writes to the same place meanwhile.
      if (options.writes) lengthenWal(`${file}-wal`)
      this.#db.exec('COMMIT')
      if (!options.writes) checkRows(this.#db, file)
      this.#insert = this.#db.prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)')
    } catch (error) {
      throw explained(error, file)
    }
  }

  /** Appends every request or conflicts it, all in one transaction with one fsync; throws with nothing written. */
  appendAll(requests: readonly AppendRequest[]): AppendOutcome[] {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      this.#forgetIfOthersWrote()
      let position = this.head()
      const outcomes = requests.map((request) => {
        const outcome = this.#append(request, position)
        if (outcome.kind === 'appended') position = outcome.position
        return outcome
      })
      this.#db.exec('COMMIT')
      return outcomes
    } catch (error) {
      this.#forget()
      // A failed COMMIT may have rolled back already; then there is no transaction left to end.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }

  #append({ seq, stream: name, expected, cells }: AppendRequest, head: number): AppendOutcome {
    const stream = this.#stream(name)
    const actual = stream?.revision ?? -1
    const fits = expected === 'any' || actual === revisionOf(expected)
    if (!fits || expected === 'any') {
      const repeated = stream && this.#repeat(seq, stream, expected, cells)
      if (repeated) return repeated
      if (!fits) return { seq, kind: 'conflict', actual }
    }
    const { id } = stream ?? this.#createStream(name)
    let position = head
    let revision = actual
    for (let i = 0; i < cells.length; i += CELLS)
      this.#insert.run(
        ++position,
        id,
        ++revision,
        idBytes(cells[i] as string),
        cells[i + 1]!,
        cells[i + 2]!,
        cells[i + 3]!,
        cells[i + 4]!,
        cells[i + 5]!,
      )
    this.#remember(name, { id, revision })
    return { seq, kind: 'appended', revision, position }
  }

  /** The answer of an earlier append of the same events to the same stream, if there was one. */
  #repeat(
    seq: number,
    stream: Stream,
    expected: ExpectedRevision,
    cells: AppendRequest['cells'],
  ): AppendOutcome | undefined {
    const back = cells.length / CELLS - 1
    const [from, to] =
      expected === 'any'
        ? [stream.revision - REPEATS_WITHIN, stream.revision]
        : [revisionOf(expected) + 1 + back, revisionOf(expected) + 1 + back]
    const last = idBytes(cells[back * CELLS] as string)
    const found = this.#prepare(
      'SELECT revision, position FROM events WHERE stream = ? AND revision BETWEEN ? AND ? AND id = ?',
    ).get(stream.id, from, to, last) as { revision: number; position: number } | undefined
    return found && { seq, kind: 'repeated', ...found }
  }

  #stream(name: string): Stream | undefined {
    const known = this.#streams.get(name) ?? this.#olderStreams.get(name)
    if (known) return known
    const row = this.#prepare(`SELECT streams.id, coalesce(max(events.revision), -1) AS revision FROM streams
      LEFT JOIN events ON events.stream = streams.id WHERE name = ? GROUP BY streams.id`).get(name) as
      | Stream
      | undefined
    return row && this.#remember(name, { id: row.id, revision: row.revision })
  }

  #createStream(name: string): Stream {
    const { lastInsertRowid } = this.#prepare('INSERT INTO streams (name) VALUES (?)').run(name)
    return { id: Number(lastInsertRowid), revision: -1 }
  }

  #remember(name: string, stream: Stream): Stream {
    if (this.#streams.size >= REMEMBERED_STREAMS) {
      this.#olderStreams = this.#streams
      this.#streams = new Map()
    }
    this.#streams.set(name, stream)
    return stream
  }

  #forget(): void {
    this.#streams.clear()
    this.#olderStreams.clear()
  }

  /** What is remembered holds only as long as no other connection has written. */
  #forgetIfOthersWrote(): void {
    const version = this.dataVersion()
    if (version !== this.#dataVersion) this.#forget()
    this.#dataVersion = version
  }

  /** Changes whenever another connection has committed. */
  dataVersion(): number {
    return (this.#prepare('PRAGMA data_version').get() as { data_version: number }).data_version
  }

  head(): number {
    return (this.#prepare('SELECT coalesce(max(position), -1) AS head FROM events').get() as { head: number }).head
  }

  readStream(stream: string, from: number, backwards: boolean, limit: number): StoredRow[] {
    const [compare, order] = backwards ? ['<=', 'DESC'] : ['>=', 'ASC']
    const sql = `SELECT ${COLUMNS} WHERE streams.name = ? AND revision ${compare} ? ORDER BY revision ${order} LIMIT ?`
    return this.#prepare(sql).all(stream, from, limit) as StoredRow[]
  }

  readAll(after: number, limit: number): StoredRow[] {
    return this.#prepare(`SELECT ${COLUMNS} WHERE position > ? ORDER BY position LIMIT ?`).all(
      after,
      limit,
    ) as StoredRow[]
  }

  truncate(stream: string, keepLast: number): void {
    this.#prepare(`DELETE FROM events WHERE stream = (SELECT id FROM streams WHERE name = ?1) AND revision <=
      (SELECT max(revision) - ?2 FROM events WHERE stream = (SELECT id FROM streams WHERE name = ?1))`).run(
      stream,
      keepLast,
    )
  }

  /** Rows at their old places; those that are there stay. */
  putBack(stream: string, rows: readonly StoredRow[]): void {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      const insert = this.#prepare(
        `INSERT OR IGNORE INTO events SELECT ?, streams.id, ?, ?, ?, ?, ?, ?, ? FROM streams WHERE name = ?`,
      )
      for (const { position, revision, id, type, version, at, data, metadata } of rows)
        insert.run(position, revision, idBytes(id), type, version, at, data, metadata, stream)
      this.#db.exec('COMMIT')
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }

  close(): void {
    this.#db.close()
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known) return known
    const statement = this.#db.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }
}

const revisionOf = (expected: Exclude<ExpectedRevision, 'any'>): number => (expected === 'noStream' ? -1 : expected)

const idBytes = (id: string): Uint8Array => Buffer.from(id.replaceAll('-', ''), 'hex')
