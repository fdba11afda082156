import type { Pool } from 'pg'
import type { Blocker } from '../domain/execution/events.ts'
import type { ResourceName } from '../domain/pool/amounts.ts'
import { decodeCursor, rowsToRead, toPage } from './cursor.ts'
import type { Page, PageRequest } from './page.ts'
import type { PoolView, WaitingView } from './queries.ts'

/** Of who holds a pool, and of who waits for it, at most so many are answered; the counts are of all. */
const MOST_SHOWN = 100

// Positions and amounts are below 2^53, so that numbers hold them.
const amounts = (of: string): string =>
  `json_build_object('slots', ${of}slots, 'cpu', ${of}cpu::float8 / 1000, 'memory', ${of}memory, 'disk', ${of}disk)`

/** Of each pool of the page who holds it and who waits for it, in one statement and so of one moment. */
const sqlOf = (where: string, limit: string): string => `
  SELECT p.name, ${amounts('p.capacity_')} AS capacity, ${amounts('p.in_use_')} AS in_use, p.revision, p.position,
    p.updated_at, h.held, h.count AS held_count, w.waiting, w.count AS waiting_count
  FROM (SELECT * FROM pools WHERE namespace = $1 AND ${where} ORDER BY name ${limit}) p
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS count, coalesce(json_agg(g.shown ORDER BY g.fence) FILTER (WHERE g.place <= ${MOST_SHOWN}), '[]') AS held
    FROM (
      SELECT fence, row_number() OVER (ORDER BY fence) AS place, json_build_object('executionId', execution_id, 'stage', stage,
        'attempt', attempt, 'fence', fence::text, 'since', granted_at, 'amounts', ${amounts('')}) AS shown
      FROM pool_grants WHERE namespace = p.namespace AND pool = p.name AND released_at IS NULL
    ) g
  ) h
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS count, coalesce(json_agg(s.shown ORDER BY s.place) FILTER (WHERE s.place <= ${MOST_SHOWN}), '[]') AS waiting
    FROM (
      SELECT row_number() OVER (ORDER BY e.started_at, e.id, s.ordinal) AS place, json_build_object('executionId', e.id,
        'stage', s.stage, 'workflow', e.workflow, 'priority', e.priority, 'reason', s.waiting ->> 'reason',
        'short', s.waiting -> 'short', 'blockers', s.waiting -> 'blockers') AS shown
      FROM stages s JOIN executions e ON e.id = s.execution_id
      WHERE s.waiting_for = 'pool' AND e.namespace = p.namespace AND s.waiting ->> 'pool' = p.name
    ) s
  ) w
  ORDER BY p.name`

type Row = {
  readonly name: string
  readonly capacity: PoolView['capacity']
  readonly in_use: PoolView['inUse']
  readonly revision: string
  readonly position: string
  readonly updated_at: Date
  readonly held: readonly (Omit<PoolView['held'][number], 'since'> & { readonly since: string })[]
  readonly held_count: number
  readonly waiting: readonly {
    readonly executionId: string
    readonly stage: string
    readonly workflow: string
    readonly priority: number
    readonly reason: NonNullable<WaitingView['reason']>
    readonly short: readonly ResourceName[] | null
    readonly blockers: readonly Blocker[]
  }[]
  readonly waiting_count: number
}

const isName = (key: readonly unknown[]): key is readonly [string] => key.length === 1 && typeof key[0] === 'string'

/** By name. */
export async function listPools(pool: Pool, namespace: string, page: PageRequest): Promise<Page<PoolView>> {
  const after = page.cursor === undefined ? '' : decodeCursor(page.cursor, 'pools', isName)[0]
  const { rows } = await pool.query<Row>(sqlOf('name > $2', 'LIMIT $3'), [namespace, after, rowsToRead(page)])
  return toPage(rows, page, 'pools', ({ name }) => [name], toView)
}

export async function findPool(pool: Pool, namespace: string, name: string): Promise<PoolView | undefined> {
  const { rows } = await pool.query<Row>(sqlOf('name = $2', ''), [namespace, name])
  return rows[0] && toView(rows[0])
}

const toView = (row: Row): PoolView => ({
  name: row.name,
  capacity: row.capacity,
  inUse: row.in_use,
  held: row.held.map(({ since, ...one }) => ({ ...one, since: new Date(since).toISOString() })),
  heldCount: row.held_count,
  waiting: row.waiting.map(({ short, ...one }) => ({ ...one, ...(short === null ? {} : { short }) })),
  waitingCount: row.waiting_count,
  updatedAt: row.updated_at.toISOString(),
  revision: Number(row.revision),
  position: Number(row.position),
})
