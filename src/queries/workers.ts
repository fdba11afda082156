import type { EntityManager } from '@mikro-orm/postgresql'
import type { Pool } from 'pg'
import { Worker, type WorkerRow } from '../projections/entities.ts'
import { decodeCursor, rowsToRead, toPage } from './cursor.ts'
import { UUID } from './execution.ts'
import type { Page, PageRequest } from './page.ts'
import type { WorkerStatus, WorkerView } from './queries.ts'
import { kindOf, orderOf, type WorkerSort, workerSorts } from './sort.ts'

const isId = (key: readonly unknown[]): key is readonly [string] =>
  key.length === 1 && typeof key[0] === 'string' && UUID.test(key[0])

export async function listWorkers(
  em: EntityManager,
  pool: Pool,
  namespace: string,
  { status }: { status?: WorkerStatus },
  page: PageRequest,
  sort: WorkerSort = workerSorts[0],
): Promise<Page<WorkerView>> {
  const { direction, later } = orderOf(sort)
  const kind = kindOf('workers', sort, workerSorts[0])
  const last = page.cursor === undefined ? undefined : decodeCursor(page.cursor, kind, isId)
  const rows = await em.find(
    Worker,
    { ...(status === undefined ? {} : { status }), ...(last ? { id: { [later]: last[0] } } : {}) },
    { orderBy: { id: direction }, limit: rowsToRead(page) },
  )
  const running = await countRunning(pool, namespace, rows)
  return toPage(
    rows,
    page,
    kind,
    ({ id }) => [id],
    (row) => toView(row, running.get(row.id) ?? 0),
  )
}

// By way of the runs that have not ended, which have an index: one over the attempts that run would be written to by every
// attempt that ends, and no update of those touches an index now. OFFSET 0 keeps the planner to it: it takes attempts without
// an end for fewer than they are, and would read through all that there ever were.
const RUNNING = `
  SELECT a.worker, count(*)::int AS count
  FROM executions e CROSS JOIN LATERAL (
    SELECT worker FROM attempts WHERE execution_id = e.id AND finished_at IS NULL AND worker = ANY ($2) OFFSET 0) a
  WHERE e.namespace = $1 AND e.status IN ('running', 'paused', 'cancelling')
  GROUP BY a.worker`

async function countRunning(
  pool: Pool,
  namespace: string,
  workers: readonly WorkerRow[],
): Promise<ReadonlyMap<string, number>> {
  // What has stopped runs nothing; of one that is lost some may be on their way to the next attempt.
  const ids = workers.filter(({ status }) => status !== 'stopped').map(({ id }) => id)
  if (ids.length === 0) return new Map()
  const { rows } = await pool.query<{ worker: string; count: number }>({
    name: 'workers-running',
    text: RUNNING,
    values: [namespace, ids],
  })
  return new Map(rows.map(({ worker, count }) => [worker, count]))
}

const toView = (row: WorkerRow, running: number): WorkerView => ({
  id: row.id,
  status: row.status as WorkerStatus,
  since: row.since.toISOString(),
  ...(row.reason == null ? {} : { reason: row.reason }),
  registeredAt: row.registeredAt.toISOString(),
  host: row.host,
  pid: row.pid,
  version: row.version,
  queues: row.queues,
  labels: row.labels,
  concurrency: row.concurrency,
  handlers: row.handlers,
  running,
})
