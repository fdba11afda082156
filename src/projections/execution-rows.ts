// The fold of a batch as rows: what began within the batch is added whole, what is older is merged into what is there.
import { plainText, Rows } from './copy.ts'
import type { Attempt, Stage } from './execution-stages.ts'
import type { Run } from './executions.ts'
import { type AttemptKey, failureWrites } from './failures.ts'
import type { Write } from './projection.ts'

type Started = { readonly run: Run; readonly begin: NonNullable<Run['started']> }
type StageOfRun = { readonly run: Run; readonly id: string; readonly stage: Stage }
type AttemptOfRun = { readonly run: Run; readonly id: string; readonly number: number; readonly attempt: Attempt }

/** Every column of a table, and what of a row goes into it. */
type Columns<R> = Readonly<Record<string, (rows: Rows, row: R) => void>>

const executionColumns: Columns<Started> = {
  id: (rows, { run }) => rows.uuid(run.id),
  namespace: (rows, { begin }) => rows.text(begin.namespace),
  workflow: (rows, { begin }) => rows.text(begin.data.workflow),
  version: (rows, { begin }) => rows.int(begin.data.version),
  status: (rows, { run }) => rows.text(run.status),
  input: (rows, { begin }) => rows.json(JSON.stringify(begin.data.input)),
  labels: (rows, { begin }) => rows.jsonb(begin.data.labels),
  priority: (rows, { begin }) => rows.int(begin.data.priority),
  error: (rows, { run }) => rows.json(run.error),
  started_at: (rows, { begin }) => rows.time(begin.at),
  finished_at: (rows, { run }) => rows.time(run.finishedAt),
  revision: (rows, { run }) => rows.bigint(run.revision),
  position: (rows, { run }) => rows.bigint(run.position),
  output: (rows, { run }) => rows.json(run.output),
  restored_from: (rows, { begin }) => rows.json(textOf(begin.data.restoredFrom)),
  parent: (rows, { begin }) => rows.json(textOf(begin.data.parent)),
  waiting: (rows, { run }) => rows.json(run.waiting),
}

const stageColumns: Columns<StageOfRun> = {
  execution_id: (rows, { run }) => rows.uuid(run.id),
  stage: (rows, { id }) => rows.text(id),
  ordinal: (rows, { stage }) => rows.bigint(stage.ordinal!),
  status: (rows, { stage }) => rows.text(stage.status),
  attempt: (rows, { stage }) => rows.int(stage.attempt),
  started_at: (rows, { stage }) => rows.time(stage.startedAt),
  finished_at: (rows, { stage }) => rows.time(stage.finishedAt),
  output: (rows, { stage }) => rows.json(stage.output),
  error: (rows, { stage }) => rows.json(stage.error),
  waiting_for: (rows, { stage }) => rows.text(stage.waitingFor),
  waiting_until: (rows, { stage }) => rows.time(stage.waitingUntil),
  reason: (rows, { stage }) => rows.text(stage.reason),
  parent: (rows, { stage }) => rows.text(stage.parent),
  waiting: (rows, { stage }) => rows.json(stage.waiting),
  granted: (rows, { stage }) => rows.text(stage.granted),
  checkpoint: (rows, { stage }) => rows.json(stage.checkpoint),
}

const attemptColumns: Columns<AttemptOfRun> = {
  execution_id: (rows, { run }) => rows.uuid(run.id),
  stage: (rows, { id }) => rows.text(id),
  attempt: (rows, { number }) => rows.int(number),
  worker: (rows, { attempt }) => rows.text(attempt.worker),
  scheduled_at: (rows, { attempt }) => rows.time(attempt.scheduledAt),
  started_at: (rows, { attempt }) => rows.time(attempt.startedAt),
  finished_at: (rows, { attempt }) => rows.time(attempt.finishedAt),
  outcome: (rows, { attempt }) => rows.text(attempt.outcome),
  error: (rows, { attempt }) => rows.json(attempt.error),
  class: (rows, { attempt }) => rows.text(attempt.class),
  rule: (rows, { attempt }) => rows.text(attempt.rule),
  recovery: (rows, { attempt }) => rows.text(attempt.recovery),
}

const namesOf = (columns: Columns<never>): string => Object.keys(columns).join(', ')

const textOf = (value: object | undefined): string | null => (value ? JSON.stringify(value) : null)

const MERGE_EXECUTIONS = `
  UPDATE executions e SET
    status = coalesce(u.status, e.status), error = coalesce(u.error, e.error), output = coalesce(u.output, e.output),
    finished_at = coalesce(u.finished_at, e.finished_at), revision = u.revision, position = u.position,
    waiting = CASE WHEN u.status IS NULL THEN e.waiting ELSE u.waiting END
  FROM unnest($1::uuid[], $2::text[], $3::json[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::json[], $8::json[])
    AS u(id, status, error, finished_at, revision, position, output, waiting)
  WHERE e.id = u.id`

const kept = (column: string): string =>
  `${column} = CASE WHEN u.fresh THEN u.${column} ELSE coalesce(u.${column}, s.${column}) END`
/** What a stage waits for is said together with its status; without one, what is said adds to it. */
const waits = (column: string, added: string): string =>
  `${column} = CASE WHEN u.status IS NULL THEN ${added} ELSE u.${column} END`
const MERGE_STAGES = `
  UPDATE stages s SET
    status = coalesce(u.status, s.status), attempt = coalesce(u.attempt, s.attempt),
    ${['started_at', 'finished_at', 'output', 'error', 'reason'].map(kept).join(', ')},
    ${['waiting_for', 'waiting_until', 'waiting'].map((column) => waits(column, `coalesce(u.${column}, s.${column})`)).join(', ')},
    ${waits('granted', `nullif(concat_ws(',', s.granted, u.granted), '')`)},
    checkpoint = coalesce(u.checkpoint, s.checkpoint)
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::bool[], $6::timestamptz[], $7::timestamptz[],
      $8::json[], $9::json[], $10::text[], $11::text[], $12::timestamptz[], $13::json[], $14::text[], $15::json[])
    AS u(execution_id, stage, status, attempt, fresh, started_at, finished_at, output, error, reason, waiting_for,
      waiting_until, waiting, granted, checkpoint)
  WHERE s.execution_id = u.execution_id AND s.stage = u.stage`

const added = (column: string): string => `${column} = coalesce(excluded.${column}, a.${column})`
/** An attempt that has ended stays as it ended. */
const final = (column: string): string =>
  `${column} = CASE WHEN a.outcome IS NULL THEN excluded.${column} ELSE a.${column} END`
const MERGE_ATTEMPTS = `
  INSERT INTO attempts AS a (${namesOf(attemptColumns)})
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::timestamptz[],
    $7::timestamptz[], $8::text[], $9::json[], $10::text[], $11::text[], $12::text[])
  ON CONFLICT (execution_id, stage, attempt) DO UPDATE SET
    ${['worker', 'scheduled_at', 'started_at'].map(added).join(', ')},
    ${['finished_at', 'outcome', 'error', 'class', 'rule', 'recovery'].map(final).join(', ')}`

/** The writes that bring the three tables from before the batch to after it. */
export function executionWrites(runs: readonly Run[]): Write[] {
  const added = {
    executions: copy('executions', executionColumns),
    stages: copy('stages', stageColumns),
    attempts: copy('attempts', attemptColumns),
  }
  const ended = { failed: [] as AttemptKey[], completed: [] as AttemptKey[] }
  const merged = { executions: [] as Run[], stages: [] as StageOfRun[], attempts: [] as AttemptOfRun[] }
  for (const run of runs) {
    if (run.started) added.executions.add({ run, begin: run.started })
    else merged.executions.push(run)
    for (const [id, stage] of run.stages) {
      if (stage.ordinal !== null) added.stages.add({ run, id, stage })
      else merged.stages.push({ run, id, stage })
      for (const [number, attempt] of stage.attempts) {
        if (attempt.scheduledAt !== null) added.attempts.add({ run, id, number, attempt })
        else merged.attempts.push({ run, id, number, attempt })
        const { outcome } = attempt
        if (outcome === 'failed' || outcome === 'completed')
          ended[outcome].push({ run: run.id, stage: plainText(id), attempt: number })
      }
    }
  }
  const writes: Write[] = [
    added.executions.write(),
    added.stages.write(),
    added.attempts.write(),
    mergeExecutions(merged.executions),
    mergeStages(merged.stages),
    mergeAttempts(merged.attempts),
    ...failureWrites(ended.failed, ended.completed),
  ]
  return writes.filter(({ count }) => count !== 0)
}

function copy<R>(table: string, columns: Columns<R>) {
  const setters = Object.values(columns)
  const rows = new Rows(setters.length)
  return {
    add(row: R): void {
      rows.row()
      for (const set of setters) set(rows, row)
    },
    write: (): Write => ({ kind: 'copy', table, columns: namesOf(columns), rows: rows.finish(), count: rows.count }),
  }
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
    runs.map((run) => run.output),
    runs.map((run) => run.waiting),
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
    stages.map(({ stage }) => stage.waiting),
    stages.map(({ stage }) => stage.granted),
    stages.map(({ stage }) => stage.checkpoint),
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
