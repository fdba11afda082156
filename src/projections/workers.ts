import { parseStream, type RecordedEvent } from '../domain/message.ts'
import { type WorkerEvent, type WorkerRegistration, workerEventVersions } from '../domain/worker/events.ts'
import { plainText } from './copy.ts'
import type { Projection, Write } from './projection.ts'

// One that registers again stays the one that it was; what it says of itself now counts.
const UPSERT = `
  INSERT INTO workers (id, status, since, reason, registered_at, host, pid, version, queues, labels, concurrency, handlers)
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::text[], $7::int[],
    $8::text[], $9::json[], $10::json[], $11::int[], $12::json[])
  ON CONFLICT (id) DO UPDATE SET
    status = excluded.status, since = excluded.since, reason = excluded.reason, host = excluded.host, pid = excluded.pid,
    version = excluded.version, queues = excluded.queues, labels = excluded.labels, concurrency = excluded.concurrency,
    handlers = excluded.handlers`
const CHANGE = `
  UPDATE workers w SET status = u.status, since = u.since, reason = u.reason
  FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[]) AS u(id, status, since, reason)
  WHERE w.id = u.id`

/** What a batch says about one worker; `registered` is what it said of itself last, with the time of the first of the batch. */
type Row = {
  readonly id: string
  status: 'running' | 'draining' | 'stopped' | 'lost'
  since: string
  reason: string | null
  registered: { readonly at: string; readonly said: WorkerRegistration } | undefined
}

/** The workers that are there, and those that were. */
export const workers: Projection = {
  name: 'workers',
  version: 1,
  tables: ['workers'],
  streams: ['worker-'],
  handles: workerEventVersions,
  apply(batch) {
    const rows = new Map<string, Row>()
    for (const event of batch as readonly RecordedEvent<WorkerEvent>[])
      rows.set(event.stream, fold(event, rows.get(event.stream)))
    return writes([...rows.values()])
  },
}

function fold(event: RecordedEvent<WorkerEvent>, before: Row | undefined): Row {
  const row = { id: parseStream(event.stream).id, since: event.at, reason: null, registered: before?.registered }
  switch (event.type) {
    case 'WorkerRegistered':
      return { ...row, status: 'running', registered: { at: before?.registered?.at ?? event.at, said: event.data } }
    case 'WorkerDraining':
      return { ...row, status: 'draining' }
    case 'WorkerStopped':
      return { ...row, status: 'stopped' }
    case 'WorkerLost':
      return { ...row, status: 'lost', reason: plainText(event.data.reason) }
  }
}

function writes(rows: readonly Row[]): Write[] {
  const added = rows.flatMap((row) => (row.registered ? [{ row, ...row.registered }] : []))
  const changed = rows.filter(({ registered }) => registered === undefined)
  const upsert: Write = {
    kind: 'merge',
    name: 'workers-upsert',
    sql: UPSERT,
    columns: [
      ...livesOf(added.map(({ row }) => row)),
      added.map(({ at }) => at),
      added.map(({ said }) => plainText(said.host)),
      added.map(({ said }) => said.pid),
      added.map(({ said }) => plainText(said.version)),
      added.map(({ said }) => JSON.stringify(said.queues)),
      added.map(({ said }) => JSON.stringify(said.labels)),
      added.map(({ said }) => said.concurrency),
      added.map(({ said }) => JSON.stringify(said.handlers)),
    ],
    count: added.length,
  }
  const columns = livesOf(changed)
  const change: Write = { kind: 'merge', name: 'workers-change', sql: CHANGE, columns, count: changed.length }
  return [upsert, change].filter(({ count }) => count !== 0)
}

const livesOf = (rows: readonly Row[]): readonly (readonly unknown[])[] => [
  rows.map(({ id }) => id),
  rows.map(({ status }) => status),
  rows.map(({ since }) => since),
  rows.map(({ reason }) => reason),
]
