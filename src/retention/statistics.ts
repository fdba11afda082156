// What there is, what it takes, and what could be done about it.
import type { Pool } from 'pg'
import type { AgedTable, RetentionPolicy } from '../domain/retention/policy.ts'
import type { RunTarget } from './due-runs.ts'

type Target = RunTarget | AgedTable

/** Of all namespaces. `rows` is what PostgreSQL reckons, `bytes` with indexes. */
export type TableSize = { readonly table: string; readonly rows: number; readonly bytes: number }
/** Of one namespace. */
export type TargetSize = {
  readonly target: Target
  readonly rows: number
  readonly oldest?: string
  readonly newest?: string
}
export type Recommendation = { readonly target: Target | 'labels'; readonly says: string; readonly because: string }

const SIZES = `
  SELECT c.relname AS "table", greatest(c.reltuples, 0)::bigint AS rows, pg_total_relation_size(c.oid) AS bytes
  FROM pg_class c WHERE c.oid = ANY($1::regclass[]) ORDER BY bytes DESC`

export async function sizesOf(pool: Pool, tables: readonly string[]): Promise<readonly TableSize[]> {
  const { rows } = await pool.query(SIZES, [tables])
  return rows.map(({ table, rows: count, bytes }) => ({ table, rows: Number(count), bytes: Number(bytes) }))
}

const RUNS = (condition: string): string =>
  `SELECT count(*) AS rows, min(finished_at) AS oldest, max(finished_at) AS newest FROM executions WHERE namespace = $1 AND ${condition}`
const AGED = (table: string, column: string, condition = 'true'): string =>
  `SELECT count(*) AS rows, min(${column}) AS oldest, max(${column}) AS newest FROM ${table} WHERE namespace = $1 AND ${condition}`
const COUNTS: Readonly<Record<Target, string>> = {
  streams: RUNS('archived_in IS NULL'),
  executions: RUNS('true'),
  audit: AGED('events', 'at'),
  analyticsByHour: AGED('analytics', 'since', `grain = 'hour'`),
  analyticsByDay: AGED('analytics', 'since', `grain = 'day'`),
  pools: AGED('pool_usage', 'at'),
  scheduleRuns: AGED('schedule_runs', 'updated_at'),
}

export async function targetSizes(pool: Pool, namespace: string): Promise<readonly TargetSize[]> {
  const sizes: TargetSize[] = []
  for (const [target, sql] of Object.entries(COUNTS) as [Target, string][]) {
    const { rows } = await pool.query(sql, [namespace])
    const { rows: count, oldest, newest } = rows[0]
    sizes.push({
      ...{ target, rows: Number(count) },
      ...(oldest === null ? {} : { oldest: oldest.toISOString(), newest: newest.toISOString() }),
    })
  }
  return sizes
}

const DAY_MS = 86_400_000
/** Below this nothing is worth a rule. */
const MANY_ROWS = 100_000
const SUGGESTED: Readonly<Record<Target, string>> = {
  streams: '90d',
  executions: '365d',
  audit: '730d',
  analyticsByHour: '90d',
  analyticsByDay: '1825d',
  pools: '30d',
  scheduleRuns: '365d',
}
const WORDS: Readonly<Record<Target, string>> = {
  streams: 'runs whose streams are in the log',
  executions: 'rows of runs',
  audit: 'records of the audit',
  analyticsByHour: 'rows of analytics by the hour',
  analyticsByDay: 'rows of analytics by the day',
  pools: 'rows of what pools had in use',
  scheduleRuns: 'rows of times of schedules',
}
const grouped = (count: number): string => Math.round(count).toLocaleString('en-US')

/** Label names with so many values that hardly any repeats: each value has rows of its own in every hour. */
const UNREPEATED = `
  SELECT split_part(key, '=', 1) AS label, count(DISTINCT key) AS values, sum(ended) AS runs, count(*) AS rows
  FROM analytics WHERE namespace = $1 AND dimension = 'label' AND grain = 'day' GROUP BY 1
  HAVING count(DISTINCT key) > 1000 AND sum(ended) < 3 * count(DISTINCT key) ORDER BY 2 DESC LIMIT 5`

/** What could be set, and why: of what has grown large and has no rule, and of rules that do not go together. */
export async function recommend(
  pool: Pool,
  namespace: string,
  policy: RetentionPolicy,
  sizes: readonly TargetSize[],
): Promise<readonly Recommendation[]> {
  const found: Recommendation[] = []
  for (const { target, rows, oldest, newest } of sizes) {
    if (policy[target] !== undefined || rows < MANY_ROWS || oldest === undefined || newest === undefined) continue
    const days = Math.max((Date.parse(newest) - Date.parse(oldest)) / DAY_MS, 1)
    found.push({
      target,
      says: `set a rule for ${target}, such as olderThan ${SUGGESTED[target]}`,
      because: `there are ${grouped(rows)} ${WORDS[target]}, ${grouped(rows / days)} more each day since ${oldest.slice(0, 10)}, and none ever goes`,
    })
  }
  if (policy.executions !== undefined && policy.streams === undefined)
    found.push({
      target: 'streams',
      says: 'set a rule for streams that is met before the one for executions',
      because: 'runs leave the lists, and the log keeps their streams for ever: only what has a row is archived',
    })
  const { rows: labels } = await pool.query(UNREPEATED, [namespace])
  for (const { label, values, runs } of labels)
    found.push({
      target: 'labels',
      says: `put ${label} into the input of runs instead of their labels`,
      because: `it had ${grouped(Number(values))} values in ${grouped(Number(runs))} runs, and each value has rows of its own in the analytics`,
    })
  return found
}
