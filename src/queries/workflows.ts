import type { EntityManager, FilterQuery } from '@mikro-orm/postgresql'
import { Workflow, type WorkflowRow } from '../projections/entities.ts'
import { decodeCursor, rowsToRead, toPage } from './cursor.ts'
import type { Page, PageRequest } from './page.ts'
import type { WorkflowView } from './queries.ts'
import { kindOf, orderOf, type WorkflowSort, workflowSorts } from './sort.ts'

const isName = (key: readonly unknown[]): key is readonly [string] => key.length === 1 && typeof key[0] === 'string'
const isTimeAndName = (key: readonly unknown[]): key is readonly [number, string] =>
  key.length === 2 && Number.isSafeInteger(key[0]) && typeof key[1] === 'string' && Math.abs(key[0] as number) < 8e15

export async function findWorkflow(
  em: EntityManager,
  namespace: string,
  name: string,
): Promise<WorkflowView | undefined> {
  const row = await em.findOne(Workflow, { namespace, name })
  return row ? toView(row) : undefined
}

export async function listWorkflows(
  em: EntityManager,
  namespace: string,
  page: PageRequest,
  sort: WorkflowSort = workflowSorts[0],
): Promise<Page<WorkflowView>> {
  const { by, direction, later } = orderOf(sort)
  const kind = kindOf('workflows', sort, workflowSorts[0])
  const keyOf = (row: WorkflowRow) => (by === 'name' ? [row.name] : [row[by].getTime(), row.name])
  const beyond = (): FilterQuery<WorkflowRow> => {
    if (page.cursor === undefined) return {}
    if (by === 'name') return { name: { [later]: decodeCursor(page.cursor, kind, isName)[0] } }
    const [ms, name] = decodeCursor(page.cursor, kind, isTimeAndName)
    const at = new Date(ms)
    return { $or: [{ [by]: { [later]: at } }, { [by]: at, name: { [later]: name } }] } as FilterQuery<WorkflowRow>
  }
  const rows = await em.find(
    Workflow,
    { $and: [{ namespace }, beyond()] },
    { orderBy: { [by]: direction, name: direction }, limit: rowsToRead(page) },
  )
  return toPage(rows, page, kind, keyOf, toView)
}

const toView = (row: WorkflowRow): WorkflowView => ({
  namespace: row.namespace,
  name: row.name,
  version: row.version,
  status: row.status as WorkflowView['status'],
  createdAt: row.createdAt.toISOString(),
  updatedAt: row.updatedAt.toISOString(),
  source: row.source,
})
