import type { EntityManager, FilterQuery } from '@mikro-orm/postgresql'
import { Execution, type ExecutionRow } from '../projections/entities.ts'
import { decodeCursor, rowsToRead, toPage } from './cursor.ts'
import { UUID } from './execution.ts'
import type { Page, PageRequest } from './page.ts'
import type { ExecutionStatus, ExecutionSummary, Queries } from './queries.ts'
import { type ExecutionSort, executionSorts, kindOf, orderOf } from './sort.ts'

type Filter = Parameters<Queries['executions']>[1]
type Key = readonly [startedAtMs: number, id: string]

const isKey = (key: readonly unknown[]): key is Key =>
  key.length === 2 && isTime(key[0]) && typeof key[1] === 'string' && UUID.test(key[1])
const isTime = (ms: unknown): ms is number => Number.isInteger(ms) && !Number.isNaN(new Date(ms as number).getTime())

/** `label` is `name` or `name=value`; `from` is inclusive and `to` is not, both over the start. */
export async function listExecutions(
  em: EntityManager,
  namespace: string,
  filter: Filter,
  page: PageRequest,
  sort: ExecutionSort = executionSorts[0],
): Promise<Page<ExecutionSummary>> {
  const { direction, later } = orderOf(sort)
  const kind = kindOf('executions', sort, executionSorts[0])
  const conditions: FilterQuery<ExecutionRow>[] = [{ namespace }]
  if (filter.workflow !== undefined) conditions.push({ workflow: filter.workflow })
  if (filter.status !== undefined) conditions.push({ status: filter.status })
  if (filter.label !== undefined) conditions.push(hasLabel(filter.label))
  if (filter.from !== undefined) conditions.push({ startedAt: { $gte: new Date(filter.from) } })
  if (filter.to !== undefined) conditions.push({ startedAt: { $lt: new Date(filter.to) } })
  if (page.cursor !== undefined) conditions.push(...beyond(decodeCursor(page.cursor, kind, isKey), later))
  const rows = await em.find(
    Execution,
    { $and: conditions },
    { orderBy: { startedAt: direction, id: direction }, limit: rowsToRead(page) },
  )
  return toPage(rows, page, kind, (row) => [row.startedAt.getTime(), row.id], toSummary)
}

function hasLabel(label: string): FilterQuery<ExecutionRow> {
  const equals = label.indexOf('=')
  if (equals === -1) return { labels: { $hasKey: label } } as FilterQuery<ExecutionRow>
  return { labels: { $contains: { [label.slice(0, equals)]: label.slice(equals + 1) } } } as FilterQuery<ExecutionRow>
}

/** The first condition repeats part of the second in a form that the index can seek to. */
function beyond([startedAtMs, id]: Key, later: '$lt' | '$gt'): FilterQuery<ExecutionRow>[] {
  const startedAt = new Date(startedAtMs)
  const notBefore = later === '$lt' ? '$lte' : '$gte'
  return [
    { startedAt: { [notBefore]: startedAt } },
    { $or: [{ startedAt: { [later]: startedAt } }, { id: { [later]: id } }] },
  ] as FilterQuery<ExecutionRow>[]
}

const toSummary = (row: ExecutionRow): ExecutionSummary => ({
  id: row.id,
  namespace: row.namespace,
  workflow: row.workflow,
  version: row.version,
  status: row.status as ExecutionStatus,
  labels: row.labels,
  priority: row.priority,
  ...(row.error == null ? {} : { error: row.error }),
  ...(row.restoredFrom == null ? {} : { restoredFrom: row.restoredFrom }),
  ...(row.parent == null ? {} : { parent: row.parent }),
  ...(row.waiting == null ? {} : { waiting: row.waiting }),
  ...(row.archivedIn == null ? {} : { archivedIn: row.archivedIn }),
  startedAt: row.startedAt.toISOString(),
  ...(row.finishedAt == null ? {} : { finishedAt: row.finishedAt.toISOString() }),
  revision: row.revision,
  position: row.position,
})
