// How SQLite is told to keep its write-ahead log, so that a commit is durable and costs one short fsync.
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'

/** Frames of a write-ahead log before it is folded into the file: about 16 MB. */
const WAL_PAGES = 4_000
const WAL_BYTES = 32 + WAL_PAGES * (24 + 4_096)

/**
 * Fills the write-ahead log up with zeros, which SQLite takes for no frames, to the length that it is used at anyway: a
 * commit that overwrites is synced in about half the time of one that makes a file longer. No longer than that: SQLite's index
 * of it has room for 4,062 frames before it has to grow, and on a full disk it is better that the log itself is what cannot.
 */
export function lengthenWal(file: string): void {
  const fd = openSync(file, 'r+')
  const before = fstatSync(fd).size
  try {
    const zeros = Buffer.alloc(1_048_576)
    for (let at = before; at < WAL_BYTES; at += zeros.length)
      writeSync(fd, zeros, 0, Math.min(zeros.length, WAL_BYTES - at), at)
    fsyncSync(fd)
  } catch {
    // It only saves time. On a full disk the room is better left to events.
    ftruncateSync(fd, before)
  } finally {
    closeSync(fd)
  }
}

/**
 * Folds the write-ahead log into the file, so that the next commit begins it anew. What a crash tore stays in it otherwise,
 * behind the commits that follow; and what the next crash tears before it was written over would look like damage.
 */
export function foldWal(db: DatabaseSync): void {
  try {
    // Whoever reads at the moment is not waited for: then it stays as it is.
    db.exec('PRAGMA wal_checkpoint(PASSIVE)')
  } catch {
    // On a full disk there is no room to fold it into.
  }
}

const WAL_WITHIN_MS = 10_000
const WAL_AGAIN_MS = 5

/** The busy timeout does not hold for this switch: whoever opens a new file at the same moment is turned away at once. */
export function useWal(db: DatabaseSync): void {
  for (const until = Date.now() + WAL_WITHIN_MS; ; ) {
    try {
      db.exec('PRAGMA journal_mode = WAL')
      return
    } catch (error) {
      if ((error as { errcode?: number }).errcode !== SQLITE_BUSY || Date.now() > until) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAL_AGAIN_MS)
    }
  }
}
const SQLITE_BUSY = 5
