// The fold of a batch as rows: what began within the batch is added whole, what is older is merged into what is there.
import { plainText, Rows } from './copy.ts'
import type { Attempt, Run, Stage } from './executions.ts'
import type { Write } from './projection.ts'

const EXECUTION_COLUMNS =
  'id, namespace, workflow, version, status, input, labels, priority, error, started_at, finished_at, revision, position'
const STAGE_COLUMNS =
  'execution_id, stage, ordinal, status, attempt, started_at, finished_at, output, error, waiting_for, waiting_until, reason'
const ATTEMPT_COLUMNS =
  'execution_id, stage, attempt, worker, scheduled_at, started_at, finished_at, outcome, error, class, rule, recovery'

const MERGE_EXECUTIONS = `
  UPDATE executions e SET
    status = coalesce(u.status, e.status), error = coalesce(u.error, e.error),
    finished_at = coalesce(u.finished_at, e.finished_at), revision = u.revision, position = u.position
  FROM unnest($1::uuid[], $2::text[], $3::json[], $4::timestamptz[], $5::bigint[], $6::bigint[])
    AS u(id, status, error, finished_at, revision, position)
  WHERE e.id = u.id`

const kept = (column: string): string =>
  `${column} = CASE WHEN u.fresh THEN u.${column} ELSE coalesce(u.${column}, s.${column}) END`
const MERGE_STAGES = `
  UPDATE stages s SET
    status = u.status, attempt = coalesce(u.attempt, s.attempt),
    ${['started_at', 'finished_at', 'output', 'error', 'reason'].map(kept).join(', ')},
    waiting_for = u.waiting_for, waiting_until = u.waiting_until
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::bool[], $6::timestamptz[], $7::timestamptz[],
      $8::json[], $9::json[], $10::text[], $11::text[], $12::timestamptz[])
    AS u(execution_id, stage, status, attempt, fresh, started_at, finished_at, output, error, reason, waiting_for, waiting_until)
  WHERE s.execution_id = u.execution_id AND s.stage = u.stage`

const MERGE_ATTEMPTS = `
  INSERT INTO attempts AS a (${ATTEMPT_COLUMNS})
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::timestamptz[],
    $7::timestamptz[], $8::text[], $9::json[], $10::text[], $11::text[], $12::text[])
  ON CONFLICT (execution_id, stage, attempt) DO UPDATE SET
    ${['worker', 'scheduled_at', 'started_at', 'finished_at', 'outcome', 'error', 'class', 'rule', 'recovery']
      .map((column) => `${column} = coalesce(excluded.${column}, a.${column})`)
      .join(', ')}`

type StageOfRun = { readonly run: Run; readonly id: string; readonly stage: Stage }
type AttemptOfRun = { readonly run: Run; readonly id: string; readonly number: number; readonly attempt: Attempt }

/** The writes that bring the three tables from before the batch to after it. */
export function executionWrites(runs: readonly Run[]): Write[] {
  const added = {
    executions: rowsOf(EXECUTION_COLUMNS),
    stages: rowsOf(STAGE_COLUMNS),
    attempts: rowsOf(ATTEMPT_COLUMNS),
  }
  const merged = { executions: [] as Run[], stages: [] as StageOfRun[], attempts: [] as AttemptOfRun[] }
  for (const run of runs) {
    if (run.started) addExecution(added.executions, run, run.started)
    else merged.executions.push(run)
    let ordinal = 0
    for (const [id, stage] of run.stages) {
      if (run.started) addStage(added.stages, run.id, id, ordinal++, stage)
      else merged.stages.push({ run, id, stage })
      for (const [number, attempt] of stage.attempts)
        if (attempt.scheduledAt !== null) addAttempt(added.attempts, run.id, id, number, attempt)
        else merged.attempts.push({ run, id, number, attempt })
    }
  }
  const writes: Write[] = [
    copy('executions', EXECUTION_COLUMNS, added.executions),
    copy('stages', STAGE_COLUMNS, added.stages),
    copy('attempts', ATTEMPT_COLUMNS, added.attempts),
    mergeExecutions(merged.executions),
    mergeStages(merged.stages),
    mergeAttempts(merged.attempts),
  ]
  return writes.filter(({ count }) => count > 0)
}

const rowsOf = (columns: string): Rows => new Rows(columns.split(',').length)
const copy = (table: string, columns: string, rows: Rows): Write => ({
  kind: 'copy',
  table,
  columns,
  rows: rows.finish(),
  count: rows.count,
})

function addExecution(rows: Rows, run: Run, { namespace, at, data }: NonNullable<Run['started']>): void {
  rows.row()
  rows.uuid(run.id)
  rows.text(namespace)
  rows.text(data.workflow)
  rows.int(data.version)
  rows.text(run.status)
  rows.json(JSON.stringify(data.input))
  rows.jsonb(data.labels)
  rows.int(data.priority)
  rows.json(run.error)
  rows.time(at)
  rows.time(run.finishedAt)
  rows.bigint(run.revision)
  rows.bigint(run.position)
}

function addStage(rows: Rows, executionId: string, id: string, ordinal: number, stage: Stage): void {
  rows.row()
  rows.uuid(executionId)
  rows.text(id)
  rows.int(ordinal)
  rows.text(stage.status)
  rows.int(stage.attempt)
  rows.time(stage.startedAt)
  rows.time(stage.finishedAt)
  rows.json(stage.output)
  rows.json(stage.error)
  rows.text(stage.waitingFor)
  rows.time(stage.waitingUntil)
  rows.text(stage.reason)
}

function addAttempt(rows: Rows, executionId: string, stage: string, number: number, attempt: Attempt): void {
  rows.row()
  rows.uuid(executionId)
  rows.text(stage)
  rows.int(number)
  rows.text(attempt.worker)
  rows.time(attempt.scheduledAt)
  rows.time(attempt.startedAt)
  rows.time(attempt.finishedAt)
  rows.text(attempt.outcome)
  rows.json(attempt.error)
  rows.text(attempt.class)
  rows.text(attempt.rule)
  rows.text(attempt.recovery)
}

const merge = (name: string, sql: string, count: number, columns: readonly (readonly unknown[])[]): Write => ({
  kind: 'merge',
  name,
  sql,
  columns,
  count,
})

const mergeExecutions = (runs: readonly Run[]): Write =>
  merge('executions-merge', MERGE_EXECUTIONS, runs.length, [
    runs.map((run) => run.id),
    runs.map((run) => run.status),
    runs.map((run) => run.error),
    runs.map((run) => run.finishedAt),
    runs.map((run) => run.revision),
    runs.map((run) => run.position),
  ])

const mergeStages = (stages: readonly StageOfRun[]): Write =>
  merge('stages-merge', MERGE_STAGES, stages.length, [
    stages.map(({ run }) => run.id),
    stages.map(({ id }) => plainText(id)),
    stages.map(({ stage }) => stage.status),
    stages.map(({ stage }) => stage.attempt),
    stages.map(({ stage }) => stage.fresh),
    stages.map(({ stage }) => stage.startedAt),
    stages.map(({ stage }) => stage.finishedAt),
    stages.map(({ stage }) => stage.output),
    stages.map(({ stage }) => stage.error),
    stages.map(({ stage }) => stage.reason && plainText(stage.reason)),
    stages.map(({ stage }) => stage.waitingFor),
    stages.map(({ stage }) => stage.waitingUntil),
  ])

const mergeAttempts = (attempts: readonly AttemptOfRun[]): Write =>
  merge('attempts-merge', MERGE_ATTEMPTS, attempts.length, [
    attempts.map(({ run }) => run.id),
    attempts.map(({ id }) => plainText(id)),
    attempts.map(({ number }) => number),
    attempts.map(({ attempt }) => attempt.worker && plainText(attempt.worker)),
    attempts.map(({ attempt }) => attempt.scheduledAt),
    attempts.map(({ attempt }) => attempt.startedAt),
    attempts.map(({ attempt }) => attempt.finishedAt),
    attempts.map(({ attempt }) => attempt.outcome),
    attempts.map(({ attempt }) => attempt.error),
    attempts.map(({ attempt }) => attempt.class),
    attempts.map(({ attempt }) => attempt.rule && plainText(attempt.rule)),
    attempts.map(({ attempt }) => attempt.recovery),
  ])
