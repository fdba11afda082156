// The folder that the embedded profile lives in: one program at a time owns it, and it has an identity of its own.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { v7 as uuidv7 } from 'uuid'

/** Holds the id of the process that has the folder, for the message to the next one. */
const HOLDER = 'holder'
const SQLITE_BUSY = 5

export type DataDirectory = {
  readonly path: string
  /** The same for the life of the folder; marks what was started from it. */
  readonly instance: string
  release(): void
}

/** Another program runs on this folder. */
export class DataDirectoryInUse extends Error {
  constructor(path: string, holder: string) {
    super(
      `${path} is in use by another Millrace (process ${holder}); stop that one, or choose another folder with --data`,
    )
    this.name = 'DataDirectoryInUse'
  }
}

/** The folder cannot be made or written to. */
export class DataDirectoryUnusable extends Error {
  constructor(path: string, cause: unknown) {
    super(`${path} cannot be used as the data folder: ${(cause as Error).message}; choose another with --data`, {
      cause,
    })
    this.name = 'DataDirectoryUnusable'
  }
}

/** Not by mkdir's own `recursive`, which never returns where a parent is there and takes no folders, as in /proc. */
function makeFolder(path: string): void {
  if (existsSync(path)) return
  makeFolder(dirname(path))
  mkdirSync(path)
}

/**
 * Takes the folder for this process until `release`, or until the process ends, however it ends.
 * @throws DataDirectoryInUse | DataDirectoryUnusable
 */
export function takeDataDirectory(path: string): DataDirectory {
  try {
    makeFolder(path)
    const lock = takeLock(path)
    writeFileSync(join(path, HOLDER), String(process.pid))
    return { path, instance: identityOf(path), release: () => lock.close() }
  } catch (error) {
    throw error instanceof DataDirectoryInUse ? error : new DataDirectoryUnusable(path, error)
  }
}

/** SQLite's lock on a file is the operating system's: it goes with its process, also with one that was killed. */
function takeLock(path: string): DatabaseSync {
  const lock = new DatabaseSync(join(path, 'lock.sqlite'))
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock.close()
    const isHeld = (error as { errcode?: number }).errcode === SQLITE_BUSY
    throw isHeld ? new DataDirectoryInUse(path, read(join(path, HOLDER)) ?? 'unknown') : error
  }
}

function identityOf(path: string): string {
  const file = join(path, 'instance')
  const known = read(file)
  if (known) return known
  const created = uuidv7()
  writeFileSync(file, created)
  return created
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}
