// Attempts that failed, each as a row with all that statistics of failures ask for. What became of an attempt is read from its row,
// which is final: a batch may say of an attempt that it failed which had ended before.
import { changeRows, type Write } from './projection.ts'

/** One attempt of a stage of a run. */
export type AttemptKey = { readonly run: string; readonly stage: string; readonly attempt: number }

const ADD = `
  INSERT INTO failures (execution_id, stage, attempt, namespace, workflow, class, rule, recovery, failed_at)
  SELECT a.execution_id, a.stage, a.attempt, e.namespace, e.workflow, a.class, a.rule, a.recovery, a.finished_at
  FROM unnest($1::uuid[], $2::text[], $3::int[]) AS u (run, stage, attempt)
    JOIN attempts a ON a.execution_id = u.run AND a.stage = u.stage AND a.attempt = u.attempt JOIN executions e ON e.id = u.run
  WHERE a.outcome = 'failed' ON CONFLICT DO NOTHING`
const COUNT = `
  UPDATE failures f SET many = true FROM unnest($1::uuid[]) AS u (run)
  WHERE f.execution_id = u.run AND NOT f.many AND EXISTS (
    SELECT FROM failures o WHERE o.execution_id = u.run AND (o.stage, o.attempt) <> (f.stage, f.attempt))`
const RECOVER = `
  UPDATE failures f SET recovered = true
  FROM unnest($1::uuid[], $2::text[], $3::int[]) AS u (run, stage, attempt)
    JOIN attempts a ON a.execution_id = u.run AND a.stage = u.stage AND a.attempt = u.attempt AND a.outcome = 'completed'
  WHERE f.execution_id = u.run AND f.stage = u.stage AND f.attempt < u.attempt AND NOT f.recovered`

/** @param failed of the batch @param completed of the batch, which may have been tried before */
export function failureWrites(failed: readonly AttemptKey[], completed: readonly AttemptKey[]): readonly Write[] {
  const again = completed.filter(({ attempt }) => attempt > 1)
  const writes: Write[] = []
  if (failed.length > 0) {
    writes.push(changeRows('failures-add', ADD, ...columnsOf(failed)))
    writes.push(changeRows('failures-count', COUNT, [...new Set(failed.map(({ run }) => run))]))
  }
  if (again.length > 0) writes.push(changeRows('failures-recover', RECOVER, ...columnsOf(again)))
  return writes
}

const columnsOf = (keys: readonly AttemptKey[]) => [
  keys.map(({ run }) => run),
  keys.map(({ stage }) => stage),
  keys.map(({ attempt }) => attempt),
]
