import type { Pool } from 'pg'
import type { Recovery } from '../domain/execution/events.ts'
import type { FailureGroup, FailureKey, FailureQuestion, FailureStatistics } from './queries.ts'

const COLUMNS: Readonly<Record<FailureKey, string>> = {
  class: 'a.class',
  rule: 'a.rule',
  workflow: 'e.workflow',
  stage: 'a.stage',
}
const RECOVERIES = Object.keys({
  retry: 0,
  fallback: 0,
  skip: 0,
  ask: 0,
  'fail-fast': 0,
  compensate: 0,
  continue: 0,
} satisfies Record<Recovery, 0>) as Recovery[]

const byRecovery = RECOVERIES.map((name) => `'${name}', nullif(count(*) FILTER (WHERE a.recovery = '${name}'), 0)`)

/** Text of the statement for the keys, which come from the closed list above; everything else is a parameter. */
const sqlOf = (keys: readonly FailureKey[]): string => `
  SELECT ${keys.map((key) => `${COLUMNS[key]} AS "${key}"`).join(', ')}, count(*)::int AS failures,
    count(DISTINCT a.execution_id)::int AS runs,
    (count(*) FILTER (WHERE EXISTS (SELECT FROM attempts b WHERE b.execution_id = a.execution_id AND b.stage = a.stage
      AND b.attempt > a.attempt AND b.outcome = 'completed')))::int AS recovered,
    json_strip_nulls(json_build_object(${byRecovery.join(', ')})) AS by_recovery, max(a.failed_at) AS last_at
  FROM attempts a JOIN executions e ON e.id = a.execution_id
  WHERE a.failed_at >= $2 AND a.failed_at < $3 AND e.namespace = $1
    AND ($4::text IS NULL OR e.workflow = $4) AND ($5::text IS NULL OR a.stage = $5) AND ($6::text IS NULL OR a.class = $6)
  GROUP BY ${keys.map((key) => COLUMNS[key]).join(', ')}
  ORDER BY failures DESC, last_at DESC, ${keys.map((key) => COLUMNS[key]).join(', ')}
  LIMIT $7`

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
