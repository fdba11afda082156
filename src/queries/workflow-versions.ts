import type { EntityManager } from '@mikro-orm/postgresql'
import { Workflow, WorkflowVersion } from '../projections/entities.ts'
import { decodeCursor, rowsToRead, toPage } from './cursor.ts'
import type { Page, PageRequest } from './page.ts'
import type { WorkflowVersionView } from './queries.ts'

const isVersion = (key: readonly unknown[]): key is readonly [number] => key.length === 1 && Number.isInteger(key[0])

/** The newest first. */
export async function listWorkflowVersions(
  em: EntityManager,
  namespace: string,
  name: string,
  page: PageRequest,
): Promise<Page<WorkflowVersionView> | undefined> {
  const before = page.cursor === undefined ? undefined : decodeCursor(page.cursor, 'versions', isVersion)
  if ((await em.count(Workflow, { namespace, name })) === 0) return undefined
  const rows = await em.find(
    WorkflowVersion,
    { namespace, name, ...(before ? { version: { $lt: before[0] } } : {}) },
    { orderBy: { version: 'desc' }, limit: rowsToRead(page) },
  )
  return toPage(
    rows,
    page,
    'versions',
    (row) => [row.version],
    (row) => ({ version: row.version, createdAt: row.createdAt.toISOString(), source: row.source }),
  )
}
