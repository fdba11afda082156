import type { RecordedEvent } from '../domain/message.ts'

/** What became of a batch of runs: the file is named after its place in the log and after the SHA-256 of what is in it. */
export type ArchivedBatch = {
  readonly file: string
  readonly events: number
  /** Of the file, compressed. */
  readonly bytes: number
}

/** Where the streams of runs go that the log is to be rid of. Whoever reads the log finds them there. */
export interface Archive {
  /**
   * Writes whole runs of one namespace, with everything that their streams hold; durable, and read again, when it resolves.
   * The same runs give the same file.
   * @throws ArchiveUnavailable with nothing kept
   */
  write(namespace: string, runs: readonly (readonly RecordedEvent[])[]): Promise<ArchivedBatch>
  /** @throws ArchiveUnavailable */
  statistics(): Promise<{ readonly files: number; readonly bytes: number }>
}

/** A file of the archive is missing, was changed, or the disk does not give or take it. */
export class ArchiveUnavailable extends Error {
  /** The file, where it is one. */
  readonly file: string | undefined
  constructor(message: string, { file, cause }: { readonly file?: string; readonly cause?: unknown } = {}) {
    super(message, { cause })
    this.name = 'ArchiveUnavailable'
    this.file = file
  }
}
