// How runs and stages went over time: what was counted when they ended, put together for any stretch of whole hours or days.
import type { Pool, QueryResultRow } from 'pg'
import { BUCKET_BASE } from '../projections/analytics.ts'

type Dimension = 'namespace' | 'workflow' | 'label' | 'stage'

/** From `from` on and before `to`, whole hours or days (ISO 8601, UTC). */
type Stretch = { readonly from: string; readonly to: string; readonly grain: 'hour' | 'day' }

type AnalyticsQuestion = Stretch & {
  readonly by: Dimension
  /** Stages of this workflow alone. */
  readonly workflow?: string
  readonly limit: number
}

type SeriesQuestion = Stretch & {
  readonly of: Dimension
  readonly key: string
  /** Points are that far apart; weeks begin on Mondays. */
  readonly step: 'hour' | 'day' | 'week'
}

/** In milliseconds; percentiles are off by 5 % at most. Undefined of none. */
type Spread = { readonly p50Ms: number; readonly p95Ms: number; readonly p99Ms: number }

/** What ended within a stretch of time. */
type Tally = {
  /** Runs, or of a stage the runs that had it. */
  readonly ended: number
  readonly completed: number
  readonly failed: number
  readonly cancelled: number
  readonly skipped: number
  /** Of those that completed or failed, the share that completed; undefined of none. */
  readonly successRate?: number
  readonly attempts: number
  readonly retries: number
  /** Of those that completed, the share in which an attempt had failed before; undefined of none. */
  readonly flakiness?: number
  readonly averageMs: number
  readonly duration?: Spread
  /** Of stages: from when an attempt was handed out until it began. */
  readonly wait?: Spread
}

/** `bottleneckShare`, of a stage: its attempts' time as a share of the time of all runs of its workflow that ended meanwhile. */
type KeyTally = Tally & { readonly key: string; readonly bottleneckShare?: number }
type Point = Tally & { readonly since: string }

export type AnalyticsQueries = {
  /** The keys with most that ended, at most `limit`. */
  by(namespace: string, question: AnalyticsQuestion): Promise<readonly KeyTally[]>
  /** A point for each step in which something ended. */
  series(namespace: string, question: SeriesQuestion): Promise<readonly Point[]>
}

const SUMS = ['ended', 'completed', 'failed', 'cancelled', 'skipped', 'attempts', 'retries', 'flaky', 'duration_ms']
const summed = SUMS.map((name) => `sum(${name})::float8 AS ${name}`).join(', ')

export const createAnalyticsQueries = (pool: Pool): AnalyticsQueries => ({
  async by(namespace, { by, workflow, from, to, grain, limit }) {
    const within = [namespace, by, grain, from, to]
    const prefix = workflow === undefined ? '' : `${workflow}/`
    const { rows } = await pool.query({
      name: 'analytics-by',
      text: `SELECT key, ${summed} FROM analytics WHERE namespace = $1 AND dimension = $2 AND grain = $3 AND since >= $4 AND since < $5
               AND starts_with(key, $6) GROUP BY key ORDER BY ended DESC, key LIMIT $7`,
      values: [...within, prefix, limit],
    })
    const keys = rows.map(({ key }) => key as string)
    const counts = await bucketsOf(pool, within, keys, 'key')
    const shares = by === 'stage' ? await timeOfWorkflows(pool, within, keys) : new Map<string, number>()
    return rows.map((row) => ({ key: row.key, ...tallyOf(row, counts.get(row.key)), ...shareOf(row, shares) }))
  },

  async series(namespace, { of, key, from, to, grain, step }) {
    const within = [namespace, of, grain, from, to]
    const since = `date_trunc('${step}', since, 'UTC')`
    const { rows } = await pool.query(
      `SELECT ${since} AS since, ${summed} FROM analytics WHERE namespace = $1 AND dimension = $2 AND grain = $3 AND since >= $4
         AND since < $5 AND key = $6 GROUP BY 1 ORDER BY 1`,
      [...within, key],
    )
    const counts = await bucketsOf(pool, within, [key], since)
    return rows.map((row) => {
      const at = (row.since as Date).toISOString()
      return { since: at, ...tallyOf(row, counts.get(at)) }
    })
  },
})

type Buckets = { readonly [measure in 'duration' | 'wait']: (readonly [bucket: number, count: number])[] }

/** Counts in buckets, by key or by time. */
async function bucketsOf(
  pool: Pool,
  within: readonly unknown[],
  keys: readonly string[],
  by: string,
): Promise<ReadonlyMap<string, Buckets>> {
  const { rows } = await pool.query(
    `SELECT ${by} AS of, measure, bucket, sum(count)::float8 AS count FROM analytics_durations
     WHERE namespace = $1 AND dimension = $2 AND grain = $3 AND since >= $4 AND since < $5 AND key = ANY($6)
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
    [...within, keys],
  )
  const found = new Map<string, Buckets>()
  for (const { of, measure, bucket, count } of rows) {
    const key = of instanceof Date ? of.toISOString() : (of as string)
    const buckets = found.get(key) ?? { duration: [], wait: [] }
    found.set(key, buckets)
    buckets[measure as keyof Buckets].push([bucket, count])
  }
  return found
}

/** The time of all runs of each workflow that has one of the stages. */
async function timeOfWorkflows(
  pool: Pool,
  [namespace, , grain, from, to]: readonly unknown[],
  stages: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const workflows = [...new Set(stages.map(workflowOf))]
  const { rows } = await pool.query(
    `SELECT key, sum(duration_ms)::float8 AS ms FROM analytics WHERE namespace = $1 AND dimension = 'workflow' AND grain = $2
       AND since >= $3 AND since < $4 AND key = ANY($5) GROUP BY key`,
    [namespace, grain, from, to, workflows],
  )
  return new Map(rows.map(({ key, ms }) => [key, ms]))
}

/** Names of workflows have no slash. */
const workflowOf = (stage: string): string => stage.slice(0, stage.indexOf('/'))

function shareOf(row: QueryResultRow, times: ReadonlyMap<string, number>): { bottleneckShare?: number } {
  const ms = times.get(workflowOf(row.key))
  return ms === undefined || ms === 0 ? {} : { bottleneckShare: rate(row.duration_ms / ms) }
}

function tallyOf(row: QueryResultRow, buckets: Buckets | undefined): Tally {
  const { ended, completed, failed, cancelled, skipped, attempts, retries, flaky, duration_ms: ms } = row
  const decided = completed + failed
  return {
    ...{ ended, completed, failed, cancelled, skipped },
    ...(decided === 0 ? {} : { successRate: rate(completed / decided) }),
    ...{ attempts, retries },
    ...(completed === 0 ? {} : { flakiness: rate(flaky / completed) }),
    averageMs: ended === 0 ? 0 : Math.round(ms / ended),
    ...spreadOf('duration', buckets),
    ...spreadOf('wait', buckets),
  }
}

function spreadOf(measure: keyof Buckets, buckets: Buckets | undefined): { [name in keyof Buckets]?: Spread } {
  const counts = buckets?.[measure] ?? []
  if (counts.length === 0) return {}
  const at = (share: number) => percentileOf(counts, share)
  return { [measure]: { p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99) } }
}

/** The middle of the bucket in which the value lies that `share` of all do not exceed (nearest rank), in milliseconds. */
export function percentileOf(counts: readonly (readonly [bucket: number, count: number])[], share: number): number {
  const rank = share * counts.reduce((sum, [, count]) => sum + count, 0)
  let passed = 0
  for (const [bucket, count] of counts) {
    passed += count
    if (passed >= rank) return bucket === 0 ? 1 : Math.round((2 * BUCKET_BASE ** bucket) / (1 + BUCKET_BASE))
  }
  return 0
}

const rate = (value: number): number => Math.round(value * 10_000) / 10_000
