import type { RecordedEvent } from '../domain/message.ts'
import { type WorkflowEvent, type WorkflowVersionData, workflowEventVersions } from '../domain/workflow/events.ts'
import { plainText, Rows } from './copy.ts'
import type { Projection, Write } from './projection.ts'

const VERSION_COLUMNS = 'namespace, name, version, created_at, fingerprint, source, definition'
// A workflow's first event brings `created_at`; where the row is there already it stays.
const UPSERT = `
  INSERT INTO workflows (namespace, name, version, status, created_at, updated_at, source)
  SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::json[])
  ON CONFLICT (namespace, name) DO UPDATE SET
    version = excluded.version, status = excluded.status, updated_at = excluded.updated_at, source = excluded.source`
const RETIRE = `
  UPDATE workflows w SET status = 'retired', updated_at = u.at
  FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS u(namespace, name, at)
  WHERE w.namespace = u.namespace AND w.name = u.name`

type Row = { version: number; status: string; createdAt: string; updatedAt: string; source: string }
type Key = { readonly namespace: string; readonly name: string }
type Folded = {
  readonly rows: Map<string, Row & Key>
  /** Retired with nothing else of them in this batch so far. */
  readonly retired: Map<string, Key & { at: string }>
  readonly versions: Rows
}

/** What is registered: the newest version of each workflow, and every version. */
export const workflows: Projection = {
  name: 'workflows',
  version: 1,
  tables: ['workflows', 'workflow_versions'],
  streams: ['workflow-'],
  handles: workflowEventVersions,
  apply(batch) {
    const folded: Folded = {
      rows: new Map(),
      retired: new Map(),
      versions: new Rows(VERSION_COLUMNS.split(',').length),
    }
    for (const event of batch as readonly RecordedEvent<WorkflowEvent>[]) fold(folded, event)
    return writes(folded)
  },
}

function fold(folded: Folded, event: RecordedEvent<WorkflowEvent>): void {
  const { at, stream } = event
  const { namespace } = event.metadata
  switch (event.type) {
    case 'WorkflowRegistered':
    case 'WorkflowRevised': {
      const { name, version } = event.data
      const source = JSON.stringify(event.data.source)
      const createdAt = folded.rows.get(stream)?.createdAt ?? at
      folded.rows.set(stream, { namespace, name, version, status: 'active', createdAt, updatedAt: at, source })
      addVersion(folded.versions, namespace, at, event.data, source)
      return
    }
    case 'WorkflowRetired': {
      const row = folded.rows.get(stream)
      if (row) Object.assign(row, { status: 'retired', updatedAt: at })
      else folded.retired.set(stream, { namespace, name: event.data.name, at })
      return
    }
  }
}

function addVersion(rows: Rows, namespace: string, at: string, data: WorkflowVersionData, source: string): void {
  rows.row()
  rows.text(namespace)
  rows.text(data.name)
  rows.int(data.version)
  rows.time(at)
  rows.text(data.fingerprint)
  rows.json(source)
  rows.json(JSON.stringify(data.definition))
}

function writes({ rows, retired, versions }: Folded): Write[] {
  const all: Write[] = []
  if (retired.size > 0) {
    const list = [...retired.values()]
    const columns = [list.map((r) => plainText(r.namespace)), list.map((r) => plainText(r.name)), list.map((r) => r.at)]
    all.push({ kind: 'merge', name: 'workflows-retire', sql: RETIRE, columns, count: list.length })
  }
  if (versions.count === 0) return all
  const list = [...rows.values()]
  const columns = [
    list.map((row) => plainText(row.namespace)),
    list.map((row) => plainText(row.name)),
    list.map((row) => row.version),
    list.map((row) => row.status),
    list.map((row) => row.createdAt),
    list.map((row) => row.updatedAt),
    list.map((row) => row.source),
  ]
  all.push({ kind: 'merge', name: 'workflows-upsert', sql: UPSERT, columns, count: list.length })
  all.push({
    kind: 'copy',
    table: 'workflow_versions',
    columns: VERSION_COLUMNS,
    rows: versions.finish(),
    count: versions.count,
  })
  return all
}
