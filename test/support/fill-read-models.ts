// Rows of the read models in any number, made by PostgreSQL itself: runs of three stages over ninety days, of which one in ten failed.
import type { Pool } from 'pg'

export const WORKFLOWS = Array.from({ length: 20 }, (_, n) => `workflow-${n}`)
const SPAN = `interval '90 days'`

/** Ids grow with time, as UUIDv7 do. */
const ID = `(lpad(to_hex(n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid`
const AT = (total: string) => `now() - ${SPAN} + (n::float8 / ${total}) * ${SPAN}`

export async function fillReadModels(pool: Pool, executions: number): Promise<void> {
  const total = String(executions)
  const running = executions - 50
  const statements = [
    `INSERT INTO workflows SELECT 'default', name, 1, 'active', now(), now(), '{}' FROM unnest($1::text[]) AS name`,
    `INSERT INTO executions (id, namespace, workflow, version, status, input, labels, priority, started_at, finished_at, revision, position)
     SELECT ${ID}, 'default', 'workflow-' || n % 20, 1,
       CASE WHEN n > ${running} THEN 'running' WHEN (n / 20) % 10 = 3 THEN 'failed' ELSE 'completed' END, '{"service":"shop"}',
       jsonb_build_object('team', 'team-' || (n / 7) % 20, 'branch', 'main'), 0, ${AT(total)},
       CASE WHEN n > ${running} THEN NULL ELSE ${AT(total)} + (n % 600) * interval '1 second' END, 16, n * 17
     FROM generate_series(1, ${total}) n`,
    `INSERT INTO stages (execution_id, stage, ordinal, status, attempt, started_at, finished_at)
     SELECT ${ID}, s.stage, s.ordinal, CASE WHEN (n / 20) % 10 = 3 AND s.ordinal = 2 THEN 'failed' ELSE 'completed' END, 1, ${AT(total)},
       ${AT(total)} + (n % 200) * interval '1 second'
     FROM generate_series(1, ${total}) n CROSS JOIN (VALUES ('build', 0), ('test', 1), ('deploy', 2)) AS s (stage, ordinal)`,
    `INSERT INTO attempts (execution_id, stage, attempt, worker, scheduled_at, started_at, finished_at, outcome, class, rule, recovery)
     SELECT ${ID}, s.stage, 1, 'worker-1', ${AT(total)}, ${AT(total)}, ${AT(total)} + (n % 200) * interval '1 second',
       CASE WHEN s.fails THEN 'failed' ELSE 'completed' END, CASE WHEN s.fails THEN 'test-failure' END, CASE WHEN s.fails THEN 'exit' END,
       CASE WHEN s.fails THEN 'fail-fast' END
     FROM generate_series(1, ${total}) n CROSS JOIN LATERAL
       (VALUES ('build', false), ('test', false), ('deploy', (n / 20) % 10 = 3)) AS s (stage, fails)`,
    `INSERT INTO failures (execution_id, stage, attempt, namespace, workflow, class, rule, recovery, failed_at)
     SELECT a.execution_id, a.stage, a.attempt, e.namespace, e.workflow, a.class, a.rule, a.recovery, a.finished_at
     FROM attempts a JOIN executions e ON e.id = a.execution_id WHERE a.outcome = 'failed'`,
    `INSERT INTO events (position, id, stream, revision, type, version, namespace, at, actor, correlation_id, command_id, data, command, source,
       sequence, leads, hash)
     SELECT 2 * n + m, gen_random_uuid(), 'execution-' || ${ID}, m, CASE WHEN m = 1 AND n % 100 = 0 THEN 'CommandRefused' ELSE 'StageScheduled' END,
       1, 'default', ${AT(total)}, CASE WHEN n % 50 = 0 THEN 'user:ada' ELSE 'worker:one' END, ${ID}, ${ID},
       '{"stage":"build","command":"StartExecution","subject":"x","status":409,"code":"X","detail":"x"}', 'StartExecution', '127.0.0.1',
       2 * n + m, m = 0 OR n % 100 = 0, repeat('0', 64)
     FROM generate_series(1, ${total}) n CROSS JOIN generate_series(0, 1) m`,
    `INSERT INTO analytics SELECT 'default', k.dimension, k.key, grain, since, 100, 90, 10, 0, 0, 300, 5, 3, 1000000, 1000
     FROM (SELECT 'namespace' AS dimension, '' AS key UNION ALL SELECT 'workflow', 'workflow-' || n FROM generate_series(0, 19) n
       UNION ALL SELECT 'label', 'team=team-' || n FROM generate_series(0, 19) n
       UNION ALL SELECT 'stage', 'workflow-' || n || '/' || s FROM generate_series(0, 19) n, unnest(ARRAY['build', 'test', 'deploy']) s) k
     CROSS JOIN (SELECT 'hour' AS grain, generate_series(date_trunc('hour', now() - ${SPAN}, 'UTC'), now(), interval '1 hour') AS since
       UNION ALL SELECT 'day', generate_series(date_trunc('day', now() - ${SPAN}, 'UTC'), now(), interval '1 day')) g`,
    `INSERT INTO analytics_durations SELECT namespace, dimension, key, grain, since, 'duration', bucket, 3 FROM analytics
     CROSS JOIN generate_series(60, 60 + CASE grain WHEN 'hour' THEN 10 ELSE 30 END) bucket`,
  ]
  for (const sql of statements) await pool.query(sql, sql.includes('$1') ? [WORKFLOWS] : [])
  await pool.query('VACUUM ANALYZE')
}
