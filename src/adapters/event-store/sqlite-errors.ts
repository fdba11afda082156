/** The log's files are damaged in a way that using them would hide or make worse. Nothing was changed. */
export class DamagedLog extends Error {
  constructor(file: string, what: string) {
    super(
      `${file} is damaged: ${what}; nothing was changed. Restore its folder from a backup, or see on a copy of it what ` +
        'the sqlite3 program can save (.recover)',
    )
    this.name = 'DamagedLog'
  }
}

const SQLITE_IOERR = 10
/** The index of the write-ahead log, which is no part of what is durable, could not grow: as on a full disk. */
const SQLITE_IOERR_SHMSIZE = SQLITE_IOERR | (19 << 8)
const SQLITE_CORRUPT = 11
const SQLITE_CONSTRAINT = 19
const SQLITE_NOTADB = 26

/** What SQLite threw, and where that means damage, which file is damaged and what to do. */
export function explained(error: unknown, file: string): Error {
  const damaged = [SQLITE_CORRUPT, SQLITE_NOTADB].includes(codeOf(error) ?? 0)
  return damaged ? new DamagedLog(file, (error as Error).message) : (error as Error)
}

/** Whether the write may have reached the disk or not. Anything else that SQLite throws was rolled back. */
export const isWriteError = (error: unknown): boolean => codeOf(error) === SQLITE_IOERR

/** Whether what the disk holds can only be known by opening the log anew. */
export const isBreaking = (error: unknown): boolean =>
  [SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_NOTADB].includes(codeOf(error) ?? 0) &&
  (error as { errcode?: number }).errcode !== SQLITE_IOERR_SHMSIZE

/** Whether another append would have failed as well, as on a full disk: the fault is not in what was appended. */
export const isRefusal = (error: unknown): boolean => ![undefined, SQLITE_CONSTRAINT].includes(codeOf(error))

/** SQLite's primary result code; undefined for what SQLite did not throw. */
function codeOf(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: number }
  return errcode === undefined ? undefined : errcode & 0xff
}
