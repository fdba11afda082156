// A cheap look at the newest part of the log, where a crash or a bad copy would have left its marks: reading all of a
// large file takes minutes, and SQLite itself reports a torn page when it meets one.
import type { DatabaseSync } from 'node:sqlite'
import { DamagedLog } from './sqlite-errors.ts'

/** How many of the newest events are looked at. */
const EVENTS = 1_000
/** A file of at most this many pages is read whole; that takes a few milliseconds. */
const SMALL_PAGES = 512

/** @throws DamagedLog */
export function checkRows(db: DatabaseSync, file: string): void {
  const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number }
  if (pages <= SMALL_PAGES) {
    const { quick_check: found } = db.prepare('PRAGMA quick_check(1)').get() as { quick_check: string }
    if (found !== 'ok') throw new DamagedLog(file, found.replaceAll(/\s+/g, ' '))
  }
  // One picture of table and index, whatever another process appends meanwhile.
  db.exec('BEGIN')
  try {
    checkNewest(db, file)
  } finally {
    db.exec('ROLLBACK')
  }
}

function checkNewest(db: DatabaseSync, file: string): void {
  const rows = db
    .prepare('SELECT position, stream, revision FROM events ORDER BY position DESC LIMIT ?')
    .all(EVENTS) as { position: number; stream: number; revision: number }[]
  // The table says which events there are, the index which is a stream's last: appends trust both to agree.
  const last = db.prepare('SELECT max(revision) AS last FROM events WHERE stream = ?')
  const following = new Map<number, number>()
  for (const { position, stream, revision } of rows) {
    const next = following.get(stream) ?? (last.get(stream) as { last: number }).last + 1
    if (revision !== next - 1)
      throw new DamagedLog(
        file,
        `the event at position ${position} has revision ${revision}, where ${next - 1} belongs`,
      )
    following.set(stream, revision)
  }
}
