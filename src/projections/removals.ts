// What retention takes from the read models. Every removal is an event, so that rows that are built again lose the same.
import type { RecordedEvent } from '../domain/message.ts'
import {
  ARCHIVE_STREAMS,
  REMOVAL_STREAMS,
  type RemovalEvent,
  removalEventVersions,
} from '../domain/retention/events.ts'
import type { AgedTable } from '../domain/retention/policy.ts'
import { changeRows, type Write } from './projection.ts'

/** For projections that lose rows: beside `handles` of their own. */
export const removalsHandled = removalEventVersions

/** Beginnings of the names of streams that say what goes; projections that lose rows read them beside their own. */
export const REMOVALS: readonly string[] = [REMOVAL_STREAMS, ARCHIVE_STREAMS]
const isRemoval = ({ stream }: RecordedEvent): boolean => REMOVALS.some((start) => stream.startsWith(start))

/** Writes of what is the projection's own and of what goes, in the order of the log: rows may come anew after others like them went. */
export function inOrder<E extends RecordedEvent>(
  batch: readonly RecordedEvent[],
  fold: (own: readonly E[]) => readonly Write[],
  remove: (removal: RecordedEvent<RemovalEvent>) => readonly Write[],
): readonly Write[] {
  if (!batch.some(isRemoval)) return fold(batch as readonly RecordedEvent[] as readonly E[])
  const writes: Write[] = []
  let own: RecordedEvent[] = []
  const flush = (): void => {
    if (own.length > 0) writes.push(...fold(own as readonly RecordedEvent[] as readonly E[]))
    own = []
  }
  for (const event of batch)
    if (isRemoval(event)) {
      flush()
      writes.push(...remove(event as RecordedEvent<RemovalEvent>))
    } else own.push(event)
  flush()
  return writes
}

/** In the order of what refers to what. */
const OF_RUNS = ['failures', 'attempts', 'stages', 'executions'].map((table) => {
  const id = table === 'executions' ? 'id' : 'execution_id'
  return [`${table}-remove`, `DELETE FROM ${table} WHERE ${id} = ANY($1::uuid[])`] as const
})
const ARCHIVE = `UPDATE executions SET archived_in = f.file FROM unnest($1::text[]) AS f (file) WHERE id = ANY($2::uuid[])`
const RESTORE = `UPDATE executions SET archived_in = NULL, restored_at = r.at FROM unnest($1::timestamptz[]) AS r (at) WHERE id = ANY($2::uuid[])`

/** What becomes of the rows of runs. */
export function runRemovals({ type, data, at }: RecordedEvent<RemovalEvent>): readonly Write[] {
  switch (type) {
    case 'RunsArchived':
      return [changeRows('executions-archive', ARCHIVE, [data.file], data.runs)]
    case 'RunsRestored':
      return [changeRows('executions-restore', RESTORE, [at], data.runs)]
    case 'RunsRemoved':
      return OF_RUNS.map(([name, sql]) => changeRows(name, sql, data.runs))
    case 'RowsRemoved':
      return []
  }
}

const ANALYTICS = (table: string, grain: string): string => `
  DELETE FROM ${table} t USING unnest($1::text[], $2::timestamptz[]) AS r (namespace, up_to)
  WHERE t.namespace = r.namespace AND t.grain = '${grain}' AND t.since < r.up_to`

/** The row of a pool that was the last before says what was in use until the next, so it stays. */
const OF_POOLS = `
  DELETE FROM pool_usage u USING unnest($1::text[], $2::timestamptz[]) AS r (namespace, up_to)
  WHERE u.namespace = r.namespace AND u.at < r.up_to AND EXISTS (
    SELECT FROM pool_usage l WHERE l.namespace = u.namespace AND l.pool = u.pool AND l.at < r.up_to AND (l.at, l.position) > (u.at, u.position))`
const OF_GRANTS = `
  DELETE FROM pool_grants g USING unnest($1::text[], $2::timestamptz[]) AS r (namespace, up_to)
  WHERE g.namespace = r.namespace AND g.released_at < r.up_to`
const OF_SCHEDULES = `
  DELETE FROM schedule_runs s USING unnest($1::text[], $2::timestamptz[]) AS r (namespace, up_to)
  WHERE s.namespace = r.namespace AND s.status NOT IN ('open', 'queued') AND s.updated_at < r.up_to`
// The hash of the last record that goes stays: what comes after it is linked to it.
const OF_AUDIT = `
  WITH removed AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[]) AS r (namespace, up_to, hash)),
  gone AS (DELETE FROM events e USING removed r WHERE e.namespace = r.namespace AND e.sequence <= r.up_to)
  UPDATE audit_chains c SET removed_to = r.up_to, removed_hash = r.hash FROM removed r
  WHERE c.namespace = r.namespace AND c.removed_to < r.up_to`

const AGED: Readonly<Record<AgedTable, readonly (readonly [name: string, sql: string])[]>> = {
  audit: [['events-remove', OF_AUDIT]],
  analyticsByHour: [
    ['analytics-remove-hours', ANALYTICS('analytics', 'hour')],
    ['durations-remove-hours', ANALYTICS('analytics_durations', 'hour')],
  ],
  analyticsByDay: [
    ['analytics-remove-days', ANALYTICS('analytics', 'day')],
    ['durations-remove-days', ANALYTICS('analytics_durations', 'day')],
  ],
  pools: [
    ['pool-usage-remove', OF_POOLS],
    ['pool-grants-remove', OF_GRANTS],
  ],
  scheduleRuns: [['schedule-runs-remove', OF_SCHEDULES]],
}

/** What becomes of rows that lose their age's right to be there. */
export function agedRemovals(
  tables: readonly AgedTable[],
  { type, data, metadata: { namespace } }: RecordedEvent<RemovalEvent>,
): readonly Write[] {
  if (type !== 'RowsRemoved' || !tables.includes(data.table)) return []
  const { table, upTo, hash } = data
  const given = [[namespace], [upTo], ...(hash === undefined ? [] : [[hash]])]
  return AGED[table].map(([name, sql]) => changeRows(name, sql, ...given))
}

/** Of a batch whose own rows are written first: where it does not matter which come before. */
export const agedRemovalsIn = (tables: readonly AgedTable[], batch: readonly RecordedEvent[]): readonly Write[] =>
  batch.filter(isRemoval).flatMap((event) => agedRemovals(tables, event as RecordedEvent<RemovalEvent>))
