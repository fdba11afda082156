import type { AgedTable, RetentionPolicy } from './policy.ts'

/** What a namespace keeps, and for how long: `retention-<namespace>`. */
export type RetentionEvent = { type: 'RetentionPolicySet'; data: { readonly policy: RetentionPolicy } }

/** What went, and what came back: `removal-<namespace>`, and what was archived in one stream for all. Read models lose the same rows when they are built again. */
export type RemovalEvent =
  /** Their streams, whole, are in a file of the archive; the log keeps the last event of each. */
  | {
      type: 'RunsArchived'
      data: {
        readonly runs: readonly string[]
        readonly file: string
        readonly events: number
        /** Of the file, compressed. */
        readonly bytes: number
        readonly because: string
      }
    }
  /** Their streams are in the log again. */
  | { type: 'RunsRestored'; data: { readonly runs: readonly string[] } }
  /** Their rows are gone, and those of their stages and attempts. */
  | { type: 'RunsRemoved'; data: { readonly runs: readonly string[]; readonly because: string } }
  /** Rows are gone up to there: of the audit a sequence, inclusive, whose hash it has; of the others a time, exclusive. */
  | {
      type: 'RowsRemoved'
      data: { readonly table: AgedTable; readonly upTo: string; readonly hash?: string; readonly because: string }
    }

export type RemovalEventOf<T extends RemovalEvent['type']> = Extract<RemovalEvent, { type: T }>

/** The newest schema version of each event. */
export const retentionEventVersions: Readonly<Record<RetentionEvent['type'], number>> = { RetentionPolicySet: 1 }
export const removalEventVersions: Readonly<Record<RemovalEvent['type'], number>> = {
  RunsArchived: 1,
  RunsRestored: 1,
  RunsRemoved: 1,
  RowsRemoved: 1,
}

export const RETENTION_STREAMS = 'retention-'
export const REMOVAL_STREAMS = 'removal-'
export const retentionStream = (namespace: string): string => `${RETENTION_STREAMS}${namespace}`
export const ARCHIVE_STREAMS = 'archive-'
/** Which files there have to be is asked by everybody who reads the log from behind, so it stands in one place. */
export const removalStream = (namespace: string, type: RemovalEvent['type']): string =>
  type === 'RunsArchived' ? `${ARCHIVE_STREAMS}files` : `${REMOVAL_STREAMS}${namespace}`
