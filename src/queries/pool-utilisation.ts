import type { Pool } from 'pg'
import type { UtilisationPoint, UtilisationQuestion } from './queries.ts'

const RESOURCES = ['slots', 'cpu', 'memory', 'disk'] as const
const SCALE: { readonly [resource: string]: number } = { slots: 1, cpu: 1_000, memory: 1, disk: 1 }

// An event holds until the next; the last before `from` is where the first bucket begins.
const SQL = `
  WITH steps AS (
    (SELECT * FROM pool_usage WHERE namespace = $1 AND pool = $2 AND at <= $3 ORDER BY at DESC, position DESC LIMIT 1)
    UNION ALL
    SELECT * FROM pool_usage WHERE namespace = $1 AND pool = $2 AND at > $3 AND at < $4
  ), spans AS (
    SELECT *, greatest(at, $3) AS since, lead(at, 1, $4) OVER (ORDER BY at, position) AS until FROM steps
  ), buckets AS (
    SELECT bucket AS since, least(bucket + $5 * interval '1 millisecond', $4) AS until
    FROM generate_series($3, $4 - interval '1 millisecond', $5 * interval '1 millisecond') bucket
  ), parts AS (
    SELECT b.since AS bucket, s.*,
      extract(epoch FROM least(s.until, b.until) - greatest(s.since, b.since))::float8 AS seconds
    FROM buckets b JOIN spans s ON s.since < b.until AND s.until > b.since
  )
  SELECT bucket, sum(seconds) AS seconds,
    ${RESOURCES.map(
      (name) => `sum(in_use_${name} * seconds) AS used_${name}, sum(capacity_${name} * seconds) AS had_${name},
        max(in_use_${name}) AS most_${name}`,
    ).join(', ')}
  FROM parts WHERE seconds > 0 GROUP BY bucket ORDER BY bucket`

/** What was in use of a pool over time: averages, the capacity on average, and the most at once. Nothing before it was defined. */
export async function poolUtilisation(
  pool: Pool,
  namespace: string,
  name: string,
  { from, to, stepMs }: UtilisationQuestion,
): Promise<readonly UtilisationPoint[]> {
  const { rows } = await pool.query(SQL, [namespace, name, new Date(from), new Date(to), stepMs])
  return rows.map((row) => ({
    from: (row.bucket as Date).toISOString(),
    inUse: each((resource) => Number(row[`used_${resource}`]) / row.seconds / SCALE[resource]!),
    capacity: each((resource) => Number(row[`had_${resource}`]) / row.seconds / SCALE[resource]!),
    most: each((resource) => Number(row[`most_${resource}`]) / SCALE[resource]!),
  }))
}

const each = (value: (resource: string) => number) => ({
  slots: round(value('slots')),
  cpu: round(value('cpu')),
  memory: round(value('memory')),
  disk: round(value('disk')),
})

/** A thousandth is as exact as cores are counted. */
const round = (value: number): number => Math.round(value * 1_000) / 1_000
