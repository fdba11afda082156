import type { Pool } from 'pg'
import type { ExecutionStatus, ExecutionView, StageView, WaitingView } from './queries.ts'

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

// One statement, so that the run and its stages are of the same moment. This is what clients poll, hence no ORM.
const SQL = `
  SELECT id, namespace, workflow, version, status, input, labels, priority, output, error, restored_from, parent, waiting, archived_in, started_at,
    finished_at, revision, position, (SELECT coalesce(json_agg(s ORDER BY s.ordinal), '[]') FROM stages s WHERE s.execution_id = e.id) AS stages
  FROM executions e WHERE id = $1 AND namespace = $2`

type StageRow = {
  stage: string
  status: StageView['status']
  attempt: number
  started_at: string | null
  finished_at: string | null
  output: NonNullable<StageView['output']> | null
  error: NonNullable<StageView['error']> | null
  waiting_for: WaitingView['for'] | null
  waiting_until: string | null
  waiting: Omit<WaitingView, 'for' | 'until' | 'granted'> | null
  granted: string | null
  reason: string | null
  checkpoint: NonNullable<StageView['checkpoint']> | null
  parent: string | null
}

export async function findExecution(pool: Pool, namespace: string, id: string): Promise<ExecutionView | undefined> {
  if (!UUID.test(id)) return undefined
  const { rows } = await pool.query({ name: 'execution', text: SQL, values: [id, namespace] })
  const row = rows[0]
  if (!row) return undefined
  return {
    id: row.id,
    namespace: row.namespace,
    workflow: row.workflow,
    version: row.version,
    status: row.status as ExecutionStatus,
    input: row.input,
    labels: row.labels,
    priority: row.priority,
    ...(row.output === null ? {} : { output: row.output }),
    ...(row.error === null ? {} : { error: row.error }),
    ...(row.restored_from === null ? {} : { restoredFrom: row.restored_from }),
    ...(row.archived_in === null ? {} : { archivedIn: row.archived_in }),
    ...(row.parent === null ? {} : { parent: row.parent }),
    ...(row.waiting === null ? {} : { waiting: row.waiting }),
    startedAt: row.started_at.toISOString(),
    ...(row.finished_at === null ? {} : { finishedAt: row.finished_at.toISOString() }),
    stages: Object.fromEntries((row.stages as StageRow[]).map((stage) => [stage.stage, toStage(stage)])),
    revision: Number(row.revision),
    position: Number(row.position),
  }
}

const toStage = (row: StageRow): StageView => ({
  status: row.status,
  attempt: row.attempt,
  ...(row.started_at === null ? {} : { startedAt: iso(row.started_at) }),
  ...(row.finished_at === null ? {} : { finishedAt: iso(row.finished_at) }),
  // A completed stage may have answered null, which is an output, too.
  ...(row.output === null && row.status !== 'completed' ? {} : { output: row.output }),
  ...(row.error === null ? {} : { error: row.error }),
  ...(row.waiting_for === null ? {} : { waiting: toWaiting(row, row.waiting_for) }),
  ...(row.reason === null ? {} : { reason: row.reason }),
  ...(row.checkpoint === null ? {} : { checkpoint: row.checkpoint }),
  ...(row.parent === null ? {} : { parent: row.parent }),
})

const toWaiting = ({ waiting_until, waiting, granted }: StageRow, what: WaitingView['for']): WaitingView => ({
  for: what,
  ...(waiting_until === null ? {} : { until: iso(waiting_until) }),
  ...waiting,
  ...(what === 'approval' ? { granted: JSON.parse(`[${granted ?? ''}]`) } : {}),
})

const iso = (time: string): string => new Date(time).toISOString()
