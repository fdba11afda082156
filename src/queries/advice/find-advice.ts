import type { EntityManager } from '@mikro-orm/postgresql'
import type { Pool } from 'pg'
import { WorkflowVersion } from '../../projections/entities.ts'
import { type Advice, adviseOn } from './advice.ts'
import type { RecordedAttempt, RecordedRun, RecordedStage } from './recorded-run.ts'

/** What is read for one answer, at most; a thousand runs of a hundred stages. Runs beyond that are left out whole. */
const MAX_ROWS = 100_000

/**
 * One row an attempt, or one for a stage without any; runs come newest first and whole. A version has no runs from before it
 * was there, which keeps the scan of the index away from those of older versions. Each run's stages are asked for by
 * themselves, sorted so that PostgreSQL leaves it at that: else it may read the whole table for a thousand runs.
 */
const RECORDED_RUNS = `
  SELECT e.id, e.status AS run_status, ${ms('e.started_at')} AS run_started_ms, ${ms('e.finished_at')} AS run_finished_ms,
    s.*
  FROM (
    SELECT id, status, started_at, finished_at FROM executions
    WHERE namespace = $1 AND workflow = $2 AND version = $3 AND started_at >= $4 AND finished_at IS NOT NULL
    ORDER BY started_at DESC, id DESC LIMIT $5
  ) e
  CROSS JOIN LATERAL (
    SELECT s.stage, s.ordinal, ${ms('s.finished_at')} AS stage_finished_ms, a.attempt, ${ms('a.scheduled_at')} AS scheduled_ms,
      ${ms('a.started_at')} AS started_ms, ${ms('a.finished_at')} AS finished_ms, a.outcome, a.class, a.rule, a.recovery
    FROM stages s LEFT JOIN attempts a ON a.execution_id = s.execution_id AND a.stage = s.stage
    WHERE s.execution_id = e.id ORDER BY s.ordinal, a.attempt
  ) s
  ORDER BY e.started_at DESC, e.id DESC, s.ordinal, s.attempt LIMIT $6`

function ms(column: string): string {
  return `round(extract(epoch FROM ${column}) * 1000)::float8`
}

type Row = {
  readonly id: string
  readonly run_status: string
  readonly run_started_ms: number
  readonly run_finished_ms: number
  readonly stage: string
  readonly stage_finished_ms: number | null
  /** Null in the row of a stage that has no attempt. */
  readonly attempt: number | null
  readonly scheduled_ms: number | null
  readonly started_ms: number | null
  readonly finished_ms: number | null
} & Pick<RecordedAttempt, 'outcome' | 'class' | 'rule' | 'recovery'>

/** Undefined where the namespace has no such workflow, or it no such version. */
export async function findAdvice(
  em: EntityManager,
  pool: Pool,
  namespace: string,
  name: string,
  { version, runs }: { readonly version?: number; readonly runs: number },
  maxRows = MAX_ROWS,
): Promise<Advice | undefined> {
  const one = await em.findOne(
    WorkflowVersion,
    { namespace, name, ...(version === undefined ? {} : { version }) },
    { orderBy: { version: 'desc' }, populate: ['definition'] },
  )
  if (!one) return undefined
  const { rows } = await pool.query<Row>({
    name: 'recorded-runs',
    text: RECORDED_RUNS,
    values: [namespace, name, one.version, one.createdAt, runs, maxRows + 1],
  })
  const recorded = toRuns(rows)
  if (rows.length <= maxRows) return adviseOn(one.version, one.definition, recorded)
  // The oldest may have been cut.
  const advice = adviseOn(one.version, one.definition, recorded.slice(0, -1))
  const cut = `Only the newest runs were read: together they have ${maxRows} attempts.`
  return { ...advice, note: [cut, ...(advice.note === undefined ? [] : [advice.note])].join(' ') }
}

type Mutable = Omit<RecordedRun, 'stages'> & { stages: Map<string, RecordedStage & { attempts: RecordedAttempt[] }> }

function toRuns(rows: readonly Row[]): RecordedRun[] {
  const runs = new Map<string, Mutable>()
  for (const row of rows) {
    let run = runs.get(row.id)
    if (!run) {
      run = {
        status: row.run_status,
        startedMs: row.run_started_ms,
        finishedMs: row.run_finished_ms,
        stages: new Map(),
      }
      runs.set(row.id, run)
    }
    let stage = run.stages.get(row.stage)
    if (!stage) {
      stage = { finishedMs: row.stage_finished_ms, attempts: [] }
      run.stages.set(row.stage, stage)
    }
    if (row.attempt !== null) stage.attempts.push(toAttempt(row))
  }
  return [...runs.values()]
}

const toAttempt = (row: Row): RecordedAttempt => ({
  scheduledMs: row.scheduled_ms,
  startedMs: row.started_ms,
  finishedMs: row.finished_ms,
  outcome: row.outcome,
  class: row.class,
  rule: row.rule,
  recovery: row.recovery,
})
