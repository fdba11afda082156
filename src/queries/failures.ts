import type { Pool } from 'pg'
import type { Recovery } from '../domain/execution/events.ts'
import type { FailureGroup, FailureKey, FailureQuestion, FailureStatistics } from './queries.ts'

const RECOVERIES = Object.keys({
  retry: 0,
  fallback: 0,
  skip: 0,
  ask: 0,
  'fail-fast': 0,
  compensate: 0,
  continue: 0,
} satisfies Record<Recovery, 0>) as Recovery[]

const byRecovery = RECOVERIES.map((name) => `'${name}', nullif(count(*) FILTER (WHERE recovery = '${name}'), 0)`)

const FOUND = `FROM failures WHERE namespace = $1 AND failed_at >= $2 AND failed_at < $3
  AND ($4::text IS NULL OR workflow = $4) AND ($5::text IS NULL OR stage = $5) AND ($6::text IS NULL OR class = $6)`

/**
 * Text of the statement for the keys, which come from a closed list; everything else is a parameter. Runs with one failure count as
 * such; those with many are looked at once more, for each to count once in a group.
 */
const sqlOf = (keys: readonly FailureKey[]): string => `
  WITH counted AS (
    SELECT ${keys.join(', ')}, count(*)::int AS failures, count(*) FILTER (WHERE NOT many) AS alone,
      (count(*) FILTER (WHERE recovered))::int AS recovered,
      json_strip_nulls(json_build_object(${byRecovery.join(', ')})) AS by_recovery, max(failed_at) AS last_at
    ${FOUND} GROUP BY ${keys.join(', ')}
  ), repeated AS (
    SELECT ${keys.join(', ')}, count(*) AS runs FROM (SELECT DISTINCT ${keys.join(', ')}, execution_id ${FOUND} AND many) r
    GROUP BY ${keys.join(', ')}
  )
  SELECT c.*, (c.alone + coalesce(r.runs, 0))::int AS runs FROM counted c LEFT JOIN repeated r USING (${keys.join(', ')})
  ORDER BY failures DESC, last_at DESC, ${keys.join(', ')} LIMIT $7`

export async function countFailures(
  pool: Pool,
  namespace: string,
  { groupBy, from, to, limit, workflow, stage, class: failureClass }: FailureQuestion,
): Promise<FailureStatistics> {
  const values = [namespace, from, to, workflow ?? null, stage ?? null, failureClass ?? null, limit + 1]
  const { rows } = await pool.query(sqlOf(groupBy), values)
  return { items: rows.slice(0, limit).map((row) => toGroup(row, groupBy)), more: rows.length > limit }
}

const toGroup = (row: Record<string, unknown>, keys: readonly FailureKey[]): FailureGroup => ({
  ...Object.fromEntries(keys.map((key) => [key, row[key] as string])),
  failures: row.failures as number,
  runs: row.runs as number,
  recovered: row.recovered as number,
  byRecovery: row.by_recovery as FailureGroup['byRecovery'],
  lastAt: (row.last_at as Date).toISOString(),
})
