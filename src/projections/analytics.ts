// Runs that have ended, counted: by hour and by day, for the namespace, each workflow, each label and each stage. A run is counted once,
// when it ends, with all of its stages and attempts, which are final then. Durations are kept as counts in buckets that grow by a
// factor, so that those of any hours can be added and give percentiles of the whole.
import type { Write } from './projection.ts'

/** Bucket n has what took more than BUCKET_BASE^(n-1) ms and at most BUCKET_BASE^n: what is read from it is off by 5 % at most. */
export const BUCKET_BASE = 1.1

const BUCKET = (ms: string): string =>
  `CASE WHEN ${ms} <= 1 THEN 0 ELSE ceil(ln(${ms}::float8) / ln(${BUCKET_BASE}::float8))::int END`
const MS = (from: string, to: string): string =>
  `greatest(0, round(extract(epoch FROM ${to} - ${from}) * 1000))::bigint`

const COUNTED = [
  'ended',
  'completed',
  'failed',
  'cancelled',
  'skipped',
  'attempts',
  'retries',
  'flaky',
  'duration_ms',
  'wait_ms',
]

const TRIES = `${MS('coalesce(a.started_at, a.scheduled_at)', 'a.finished_at')} AS ms, ${MS('a.scheduled_at', 'a.started_at')} AS wait`

/** An attempt that was lost with its worker says nothing of its work. */
const FAILED = `a.outcome = 'failed' AND a.rule <> 'worker-lost'`

// Of an attempt that reported its outcome alone the duration is from when it was handed out. A stage is flaky in a run where it
// completed although an attempt of it had failed. Everything is looked up by the key of the run: joins of what was made within the
// statement would be loops within loops. The statement answers the runs, each of which has to be there.
const COUNT = `
  WITH runs AS MATERIALIZED (
    SELECT e.id, e.namespace, e.workflow, e.status, e.labels, e.finished_at, ${MS('e.started_at', 'e.finished_at')} AS ms
    FROM unnest($1::uuid[]) AS ended (id) JOIN executions e ON e.id = ended.id
  ), ofStages AS MATERIALIZED (
    SELECT r.id, r.namespace, r.workflow || '/' || s.stage AS key, r.finished_at, s.status, t.*
    FROM runs r JOIN stages s ON s.execution_id = r.id CROSS JOIN LATERAL (
      SELECT count(*) AS attempts, coalesce(bool_or(${FAILED}), false) AS failed, coalesce(sum(a.ms), 0) AS ms,
        coalesce(sum(a.wait), 0) AS wait
      FROM (SELECT a.outcome, a.rule, ${TRIES} FROM attempts a WHERE a.execution_id = r.id AND a.stage = s.stage) a) t
  ), inRuns AS (
    SELECT r.*, i.* FROM runs r CROSS JOIN LATERAL (
      SELECT count(*) AS attempts, count(*) FILTER (WHERE a.attempt > 1) AS retries, coalesce(bool_or(${FAILED}), false) AS tried,
        coalesce(sum(a.wait), 0) AS wait
      FROM (SELECT a.attempt, a.outcome, a.rule, ${TRIES} FROM attempts a WHERE a.execution_id = r.id) a) i
  ), ofRuns AS MATERIALIZED (
    SELECT r.namespace, d.dimension, d.key, r.finished_at, r.status, r.attempts, r.retries, r.status = 'completed' AND r.tried AS flaky,
      r.ms, r.wait
    FROM inRuns r CROSS JOIN LATERAL (
      SELECT 'namespace' AS dimension, '' AS key UNION ALL SELECT 'workflow', r.workflow
      UNION ALL SELECT 'label', l.key || '=' || l.value FROM jsonb_each_text(r.labels) l) d
  ), facts AS (
    SELECT * FROM ofRuns
    UNION ALL
    SELECT namespace, 'stage', key, finished_at, status, attempts, greatest(attempts - 1, 0), status = 'completed' AND failed, ms, wait
    FROM ofStages
  ), counted AS (
    INSERT INTO analytics AS a (namespace, dimension, key, grain, since, ${COUNTED.join(', ')})
    SELECT namespace, dimension, key, grain, date_trunc(grain, finished_at, 'UTC'), count(*),
      count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),
      count(*) FILTER (WHERE status = 'cancelled'), count(*) FILTER (WHERE status = 'skipped'),
      sum(attempts), sum(retries), count(*) FILTER (WHERE flaky), sum(ms), sum(wait)
    FROM facts CROSS JOIN unnest(ARRAY['hour', 'day']) AS grain GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (namespace, dimension, key, grain, since) DO UPDATE SET
      ${COUNTED.map((name) => `${name} = a.${name} + excluded.${name}`).join(', ')}
  ), took AS (
    SELECT namespace, dimension, key, finished_at, 'duration' AS measure, ms FROM ofRuns
    UNION ALL
    SELECT r.namespace, 'stage', r.workflow || '/' || t.stage, r.finished_at, m.measure, m.took
    FROM runs r CROSS JOIN LATERAL (SELECT a.stage, ${TRIES} FROM attempts a WHERE a.execution_id = r.id) t
      CROSS JOIN LATERAL (VALUES ('duration', t.ms), ('wait', t.wait)) AS m (measure, took) WHERE m.took IS NOT NULL
  ), bucketed AS (
    SELECT namespace, dimension, key, date_trunc('hour', finished_at, 'UTC') AS hour, measure, ${BUCKET('ms')} AS bucket, count(*) AS count
    FROM took GROUP BY 1, 2, 3, 4, 5, 6
  ), buckets AS (
    INSERT INTO analytics_durations AS d (namespace, dimension, key, grain, since, measure, bucket, count)
    SELECT namespace, dimension, key, grain, date_trunc(grain, hour, 'UTC'), measure, bucket, sum(count)
    FROM bucketed CROSS JOIN unnest(ARRAY['hour', 'day']) AS grain GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (namespace, dimension, key, grain, since, measure, bucket) DO UPDATE SET count = d.count + excluded.count
  )
  SELECT id FROM runs`

/** Counts the runs, whose rows are as they ended. */
export const countRuns = (ended: readonly string[]): Write => ({
  kind: 'merge',
  name: 'analytics-count',
  sql: COUNT,
  columns: [ended],
  count: ended.length,
})
