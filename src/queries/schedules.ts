import type { Pool } from 'pg'
import type { ScheduleSpec } from '../domain/schedule/events.ts'
import { dueTime, nextTimes } from '../domain/schedule/nominal-times.ts'
import { writtenSchedule } from '../domain/schedule/written.ts'
import { decodeCursor, rowsToRead, toPage } from './cursor.ts'
import type { Page, PageRequest } from './page.ts'
import type { ScheduleDetail, ScheduleView, UpcomingTime } from './queries.ts'

const going = (status: string): string =>
  `(SELECT count(*)::int FROM schedule_runs r WHERE r.namespace = s.namespace AND r.schedule = s.name AND r.status = '${status}')`

const COLUMNS = `s.*, ${going('open')} AS open, ${going('queued')} AS queued,
  (SELECT r.status FROM schedule_runs r
    WHERE r.namespace = s.namespace AND r.schedule = s.name AND r.nominal_at = s.last_nominal_at) AS last_status`

const LIST = `
  SELECT ${COLUMNS} FROM schedules s
  WHERE namespace = $1 AND status <> 'deleted' AND name > $2 AND ($3::text IS NULL OR workflow = $3)
  ORDER BY name LIMIT $4`
const ONE = `SELECT ${COLUMNS} FROM schedules s WHERE namespace = $1 AND name = $2 AND status <> 'deleted'`
const GOING = `
  SELECT nominal_at, execution_id, status, backfill FROM schedule_runs
  WHERE namespace = $1 AND schedule = $2 AND status IN ('open', 'queued') ORDER BY nominal_at LIMIT 1100`

type Row = {
  readonly namespace: string
  readonly name: string
  readonly workflow: string
  readonly defined_by: string | null
  readonly status: 'active' | 'paused'
  readonly spec: ScheduleSpec
  readonly decided_to: Date
  readonly last_nominal_at: Date | null
  readonly last_execution: string | null
  readonly last_status: NonNullable<ScheduleView['lastRun']>['status'] | null
  readonly fired: number
  readonly completed: number
  readonly failed: number
  readonly cancelled: number
  readonly refused: number
  readonly passed: string
  readonly backfill: NonNullable<ScheduleView['backfill']> | null
  readonly open: number
  readonly queued: number
  readonly created_at: Date
  readonly updated_at: Date
  readonly revision: string
  readonly position: string
}

const isName = (key: readonly unknown[]): key is readonly [string] => key.length === 1 && typeof key[0] === 'string'

/** By name. */
export async function listSchedules(
  pool: Pool,
  namespace: string,
  filter: { readonly workflow?: string },
  page: PageRequest,
): Promise<Page<ScheduleView>> {
  const [after] = page.cursor === undefined ? [''] : decodeCursor(page.cursor, 'schedules', isName)
  const values = [namespace, after, filter.workflow ?? null, rowsToRead(page)]
  const { rows } = await pool.query<Row>({ name: 'schedules', text: LIST, values })
  return toPage(rows, page, 'schedules', (row) => [row.name], toView)
}

export async function findSchedule(pool: Pool, namespace: string, name: string): Promise<ScheduleDetail | undefined> {
  const values = [namespace, name]
  const { rows } = await pool.query<Row>({ name: 'schedule', text: ONE, values })
  if (!rows[0]) return undefined
  const going = await pool.query({ name: 'schedule-going', text: GOING, values })
  const open = going.rows.filter(({ status }) => status === 'open')
  const queued = going.rows.filter(({ status }) => status === 'queued')
  return {
    ...toView(rows[0]),
    openRuns: open.map((run) => ({
      nominalAt: run.nominal_at.toISOString(),
      executionId: run.execution_id,
      ...(run.backfill === null ? {} : { backfill: run.backfill }),
    })),
    queue: queued.map((run) => run.nominal_at.toISOString()),
  }
}

/** The next nominal times of a schedule, and when each is due; none of one that is paused. */
export async function upcomingTimes(
  pool: Pool,
  namespace: string,
  name: string,
  count: number,
): Promise<readonly UpcomingTime[] | undefined> {
  const { rows } = await pool.query<Row>({ name: 'schedule', text: ONE, values: [namespace, name] })
  return rows[0] && upcoming(rows[0], count)
}

function upcoming({ namespace, name, status, spec, decided_to }: Row, count: number): readonly UpcomingTime[] {
  if (status !== 'active') return []
  return nextTimes(spec.timing, decided_to.getTime(), count).map((nominalAt) => {
    const dueMs = dueTime(Date.parse(nominalAt), spec.jitterMs, `${namespace}.${name}`)
    return { nominalAt, dueAt: new Date(dueMs).toISOString() }
  })
}

function toView(row: Row): ScheduleView {
  const [next] = upcoming(row, 1)
  const { fired, completed, failed, cancelled, refused } = row
  return {
    namespace: row.namespace,
    name: row.name,
    workflow: row.workflow,
    status: row.status,
    ...(row.defined_by === null ? {} : { definedBy: row.defined_by }),
    spec: writtenSchedule(row.spec),
    ...(next ? { nextAt: next.nominalAt } : {}),
    ...lastRunOf(row),
    counts: { fired, completed, failed, cancelled, refused, passed: Number(row.passed) },
    open: row.open,
    queued: row.queued,
    ...(row.backfill === null ? {} : { backfill: row.backfill }),
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    revision: Number(row.revision),
    position: Number(row.position),
  }
}

function lastRunOf({ last_nominal_at, last_execution, last_status }: Row): Pick<ScheduleView, 'lastRun'> {
  if (last_nominal_at === null || last_execution === null || last_status === null) return {}
  const nominalAt = last_nominal_at.toISOString()
  return { lastRun: { nominalAt, executionId: last_execution, status: last_status } }
}
