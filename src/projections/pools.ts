import { parseStream, type RecordedEvent } from '../domain/message.ts'
import { type Amounts, NOTHING } from '../domain/pool/amounts.ts'
import { type Held, type PoolEvent, poolEventVersions, type Usage } from '../domain/pool/events.ts'
import { plainText, Rows } from './copy.ts'
import type { Projection, Write } from './projection.ts'
import { agedRemovals, inOrder, REMOVALS, removalsHandled } from './removals.ts'

const of = (what: string): string => `${what}_slots, ${what}_cpu, ${what}_memory, ${what}_disk`
const GRANT_COLUMNS =
  'namespace, pool, fence, execution_id, stage, attempt, slots, cpu, memory, disk, granted_at, released_at'
const USAGE_COLUMNS = `namespace, pool, position, at, ${of('capacity')}, ${of('in_use')}`
const UPSERT = `
  INSERT INTO pools (namespace, name, ${of('capacity')}, ${of('in_use')}, revision, position, updated_at)
  SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::bigint[], $6::bigint[], $7::int[], $8::int[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::timestamptz[])
  ON CONFLICT (namespace, name) DO UPDATE SET
    ${[...of('capacity').split(', '), ...of('in_use').split(', '), 'revision', 'position', 'updated_at']
      .map((column) => `${column} = excluded.${column}`)
      .join(', ')}`
const RELEASE = `
  UPDATE pool_grants g SET released_at = u.at
  FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[]) AS u(namespace, pool, fence, at)
  WHERE g.namespace = u.namespace AND g.pool = u.pool AND g.fence = u.fence`

type Place = { readonly namespace: string; readonly pool: string }
type Grant = Place & Held & { readonly at: string; releasedAt: string | null }
type Pool = Place & { readonly usage: Usage; readonly event: RecordedEvent<PoolEvent> }
type Folded = {
  readonly pools: Map<string, Pool>
  readonly grants: Map<string, Grant>
  /** Of grants that were given before the batch. */
  readonly released: (Place & { readonly fence: number; readonly at: string })[]
  readonly usage: Rows
}

/** What pools have, who holds it or has held it, and how much was in use when. */
export const pools: Projection = {
  name: 'pools',
  version: 1,
  tables: ['pools', 'pool_grants', 'pool_usage'],
  streams: ['pool-', ...REMOVALS],
  handles: { ...poolEventVersions, ...removalsHandled },
  apply: (batch) => inOrder(batch, foldPools, (removal) => agedRemovals(['pools'], removal)),
}

function foldPools(batch: readonly RecordedEvent<PoolEvent>[]): readonly Write[] {
  const usage = new Rows(USAGE_COLUMNS.split(',').length)
  const folded: Folded = { pools: new Map(), grants: new Map(), released: [], usage }
  for (const event of batch) fold(folded, event)
  return writes(folded)
}

function fold(folded: Folded, event: RecordedEvent<PoolEvent>): void {
  const { stream, at } = event
  const { id } = parseStream(stream)
  const dot = id.indexOf('.')
  const place = { namespace: id.slice(0, dot), pool: id.slice(dot + 1) }
  const usage = usageOf(event)
  folded.pools.set(stream, { ...place, usage, event })
  addUsage(folded.usage, place, usage, event)
  if (event.type === 'CapacityGranted') {
    const { holder, amounts, fence } = event.data
    folded.grants.set(`${stream}:${fence}`, { ...place, holder, amounts, fence, at, releasedAt: null })
  } else if (event.type === 'CapacityReleased') {
    const { fence } = event.data
    const grant = folded.grants.get(`${stream}:${fence}`)
    if (grant) grant.releasedAt = at
    else folded.released.push({ ...place, fence, at })
  }
}

const usageOf = ({ type, data }: RecordedEvent<PoolEvent>): Usage =>
  type === 'PoolDefined' ? { capacity: data.capacity, inUse: NOTHING } : (data as Usage)

function addAmounts(rows: Rows, { slots, cpuMillicores, memoryBytes, diskBytes }: Amounts): void {
  rows.int(slots)
  rows.int(cpuMillicores)
  rows.bigint(memoryBytes)
  rows.bigint(diskBytes)
}

function addUsage(rows: Rows, place: Place, { capacity, inUse }: Usage, { position, at }: RecordedEvent): void {
  rows.row()
  rows.text(place.namespace)
  rows.text(place.pool)
  rows.bigint(position)
  rows.time(at)
  addAmounts(rows, capacity)
  addAmounts(rows, inUse)
}

function grantRows(grants: Iterable<Grant>): Rows {
  const rows = new Rows(GRANT_COLUMNS.split(',').length)
  for (const { namespace, pool, fence, holder, amounts, at, releasedAt } of grants) {
    rows.row()
    rows.text(namespace)
    rows.text(pool)
    rows.bigint(fence)
    rows.uuid(holder.executionId)
    rows.text(holder.stage ?? '')
    rows.int(holder.attempt ?? 0)
    addAmounts(rows, amounts)
    rows.time(at)
    rows.time(releasedAt)
  }
  return rows
}

function writes({ pools: changed, grants, released, usage }: Folded): Write[] {
  const list = [...changed.values()]
  const texts = (of: readonly Place[]) => [of.map((one) => plainText(one.namespace)), of.map((one) => one.pool)]
  const amounts = (which: (usage: Usage) => Amounts) => [
    list.map((one) => which(one.usage).slots),
    list.map((one) => which(one.usage).cpuMillicores),
    list.map((one) => which(one.usage).memoryBytes),
    list.map((one) => which(one.usage).diskBytes),
  ]
  const rows = grantRows(grants.values())
  const upsert: Write = {
    kind: 'merge',
    name: 'pools-upsert',
    sql: UPSERT,
    columns: [
      ...texts(list),
      ...amounts(({ capacity }) => capacity),
      ...amounts(({ inUse }) => inUse),
      list.map(({ event }) => event.revision),
      list.map(({ event }) => event.position),
      list.map(({ event }) => event.at),
    ],
    count: list.length,
  }
  const release: Write = {
    kind: 'merge',
    name: 'pool-grants-release',
    sql: RELEASE,
    columns: [...texts(released), released.map(({ fence }) => fence), released.map(({ at }) => at)],
    count: released.length,
  }
  const all: Write[] = [
    upsert,
    { kind: 'copy', table: 'pool_grants', columns: GRANT_COLUMNS, rows: rows.finish(), count: rows.count },
    release,
    { kind: 'copy', table: 'pool_usage', columns: USAGE_COLUMNS, rows: usage.finish(), count: usage.count },
  ]
  return all.filter(({ count }) => count !== 0)
}
