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
const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26

/** What SQLite threw, and where that means damage, which file is damaged and what to do. */
export function explained(error: unknown, file: string): Error {
  const { errcode = 0, message } = error as Error & { errcode?: number }
  const damaged = [SQLITE_CORRUPT, SQLITE_NOTADB].includes(errcode & 0xff)
  return damaged ? new DamagedLog(file, message) : (error as Error)
}

/** Whether the write may have reached the disk or not. Anything else that SQLite throws was rolled back. */
export const isWriteError = (error: unknown): boolean =>
  ((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_IOERR
