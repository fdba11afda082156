import type { ClientBase } from 'pg'
import { AUDIT_STREAMS } from '../domain/audit/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import { PROJECTION_STREAMS } from '../domain/projection/events.ts'
import { ARCHIVE_STREAMS, REMOVAL_STREAMS, RETENTION_STREAMS } from '../domain/retention/events.ts'
import { upcast } from '../domain/upcast.ts'

/**
 * Rows on their way into a table. `copy` adds rows, in the binary format of COPY; `merge` runs `sql`
 * over columns of equal length. Either must touch exactly `count` rows, or the projection is
 * not what it should be; `any` is for what goes, which may be gone already.
 */
export type Write =
  | {
      readonly kind: 'copy'
      readonly table: string
      readonly columns: string
      readonly rows: Buffer
      readonly count: number
    }
  | {
      readonly kind: 'merge'
      /** Names the prepared statement. */
      readonly name: string
      readonly sql: string
      readonly columns: readonly (readonly unknown[])[]
      readonly count: number | 'any'
    }

/** Runs `sql` over columns, whatever rows it finds. */
export const changeRows = (name: string, sql: string, ...columns: (readonly unknown[])[]): Write => ({
  kind: 'merge',
  name,
  sql,
  columns,
  count: 'any',
})

/** A read model as data: the runner owns batches, checkpoint, transaction and retry. */
export type Projection = {
  readonly name: string
  /** Raised whenever `apply` would make other rows of the same events; the rows are then built again. */
  readonly version: number
  readonly tables: readonly string[]
  /**
   * A table to which every event adds one row that never changes, and its column with the position of that event. `gone` says of a
   * row `c` that retention has removed it, by the tables of `schema`.
   */
  readonly rowForEach?: { readonly table: string; readonly column: string; gone(schema: string): string }
  /** Beginnings of the names of the streams it reads; every event in them must be one that it handles. */
  readonly streams: readonly string[]
  /** The newest schema version it understands of each type of event, or that it keeps every event as it is. */
  readonly handles: Readonly<Record<string, number>> | 'everything'
  /** What `apply` goes on from, of the projection's own tables; read in the transaction that writes. */
  before?(client: Pick<ClientBase, 'query'>, events: readonly RecordedEvent[]): Promise<unknown>
  /** Folds a batch first, so that one row is written once; pure, and in the order of the log. */
  apply(events: readonly RecordedEvent[], before?: unknown): readonly Write[]
}

/** Beginnings of the names of streams that read models are made of; of the others they show nothing. */
export const PREFIXES: readonly string[] = [
  ...['execution-', 'workflow-', 'pool-', 'group-', 'schedule-', 'worker-'],
  PROJECTION_STREAMS,
  AUDIT_STREAMS,
  RETENTION_STREAMS,
  REMOVAL_STREAMS,
  ARCHIVE_STREAMS,
]

/** Those of the streams that a projection reads. */
export const prefixesOf = ({ streams }: Projection): readonly string[] =>
  PREFIXES.filter((prefix) => streams.some((start) => prefix.startsWith(start)))

/** Whether nothing in `batch` is for a projection. */
export const isIdle = (projection: Projection, batch: readonly RecordedEvent[]): boolean =>
  !batch.some((event) => isOf(projection, event))

const isOf = ({ streams }: Projection, { stream }: RecordedEvent): boolean =>
  streams.some((start) => stream.startsWith(start))

/** The events of `batch` that are for a projection, in their newest version. @throws when one is of a type or version that it does not know */
export function eventsFor(projection: Projection, batch: readonly RecordedEvent[]): readonly RecordedEvent[] {
  const { handles } = projection
  if (handles === 'everything') return batch
  const own = batch.filter((event) => isOf(projection, event))
  for (const { type, version } of own) {
    const known = handles[type]
    if (known === undefined) throw new Error(`${type} is no event that this version of the program knows`)
    if (version > known) throw new Error(`${type} has schema version ${version}, this program knows up to ${known}`)
  }
  return own.map((event) => (event.version === handles[event.type] ? event : upcast(event)))
}
