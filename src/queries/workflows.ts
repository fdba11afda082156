import type { EntityManager } from '@mikro-orm/postgresql'
import { Workflow, type WorkflowRow } from '../projections/entities.ts'
import { decodeCursor, rowsToRead, toPage } from './cursor.ts'
import type { Page, PageRequest } from './page.ts'
import type { WorkflowView } from './queries.ts'

const isName = (key: readonly unknown[]): key is readonly [string] => key.length === 1 && typeof key[0] === 'string'

export async function findWorkflow(
  em: EntityManager,
  namespace: string,
  name: string,
): Promise<WorkflowView | undefined> {
  const row = await em.findOne(Workflow, { namespace, name })
  return row ? toView(row) : undefined
}

/** By name. */
export async function listWorkflows(
  em: EntityManager,
  namespace: string,
  page: PageRequest,
): Promise<Page<WorkflowView>> {
  const after = page.cursor === undefined ? undefined : decodeCursor(page.cursor, 'workflows', isName)
  const rows = await em.find(
    Workflow,
    { namespace, ...(after ? { name: { $gt: after[0] } } : {}) },
    { orderBy: { name: 'asc' }, limit: rowsToRead(page) },
  )
  return toPage(rows, page, 'workflows', (row) => [row.name], toView)
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
