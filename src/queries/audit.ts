// What is on record: the commands of a namespace with their events, and the chain that links every event to the one before.
import type { Pool, QueryResultRow } from 'pg'
import { type AuditRecord, type Link, NO_LINK, recordText } from '../projections/audit-record.ts'
import { events } from '../projections/events.ts'
import { decodeCursor, rowsToRead, toPage } from './cursor.ts'
import type { Page, PageRequest } from './page.ts'

type AuditFilter = {
  readonly actor?: string
  readonly command?: string
  readonly outcome?: 'accepted' | 'refused'
  /** ISO 8601; `from` is inclusive and `to` is not. */
  readonly from?: string
  readonly to?: string
}

/** A command, and what became of it. */
export type AuditEntry = {
  readonly commandId: string
  /** Of its first event in the chain of the namespace. */
  readonly sequence: number
  readonly position: number
  readonly at: string
  readonly actor: string
  /** Where somebody sent it: its name, the address it came from, and why, where that was said. */
  readonly command?: string
  readonly source?: string
  readonly reason?: string
  readonly outcome: 'accepted' | 'refused'
  /** Of a refusal. */
  readonly refusal?: {
    readonly subject: string
    readonly status: number
    readonly code: string
    readonly detail: string
  }
  readonly correlationId: string
  readonly stream: string
  /** At most 40 of them. */
  readonly events: readonly { readonly sequence: number; readonly type: string; readonly stage?: string }[]
  readonly hash: Link
}

/** Where the chain of a namespace ends; sequence 0 of one that has not begun. Retention has removed the records up to `removedTo`. */
export type ChainEnd = {
  readonly sequence: number
  readonly hash: Link
  readonly position: number
  readonly removedTo: number
}

/** The very text that was hashed, and the hash. */
export type ChainLine = { readonly sequence: number; readonly text: string; readonly hash: Link }

export type AuditQueries = {
  /** The newest first. */
  list(namespace: string, filter: AuditFilter, page: PageRequest): Promise<Page<AuditEntry>>
  end(namespace: string): Promise<ChainEnd>
  /** The hash of one link; undefined where the chain is not that long, or the record has been removed and is not the last of those. */
  linkAt(namespace: string, sequence: number): Promise<Link | undefined>
  /** At most `limit` links of the chain from `from` on. */
  lines(namespace: string, from: number, limit: number): Promise<readonly ChainLine[]>
}

const MOST_EVENTS = 40
/** The last time that a Date can be. */
const MOST_MS = 8.64e15

/** The chain is being built anew; what there is of it is not yet that of the log. */
export class ChainNotBuilt extends Error {
  constructor() {
    super(
      'the audit is being built again by this version of the program; ask again when /v1/admin/projections says that it was',
    )
    this.name = 'ChainNotBuilt'
  }
}

export const createAuditQueries = (pool: Pool): AuditQueries => ({
  list: async (namespace, filter, page) => {
    await assertBuilt(pool)
    return listAudit(pool, namespace, filter, page)
  },
  end: async (namespace) => {
    await assertBuilt(pool)
    return chainEnd(pool, namespace)
  },
  linkAt: async (namespace, sequence) => {
    await assertBuilt(pool)
    return linkAt(pool, namespace, sequence)
  },
  lines: (namespace, from, limit) => chainLines(pool, namespace, from, limit),
})

type Key = readonly [atMs: number, position: number]
const isKey = (key: readonly unknown[]): key is Key =>
  key.length === 2 && key.every((one) => Number.isSafeInteger(one)) && Math.abs(key[0] as number) <= MOST_MS

/** Rows that an older version made have no chain, and what comes after them begins one in the middle. */
async function assertBuilt(pool: Pool): Promise<void> {
  const { rows } = await pool.query(`SELECT version FROM checkpoints WHERE name = $1`, [events.name])
  if (rows[0] !== undefined && rows[0].version !== events.version) throw new ChainNotBuilt()
}

async function listAudit(
  pool: Pool,
  namespace: string,
  filter: AuditFilter,
  page: PageRequest,
): Promise<Page<AuditEntry>> {
  const values: unknown[] = [namespace]
  const given = (value: unknown): string => `$${values.push(value)}`
  const conditions = ['namespace = $1', filter.outcome === 'refused' ? `type = 'CommandRefused'` : 'leads']
  if (filter.outcome === 'accepted') conditions.push(`type <> 'CommandRefused'`)
  if (filter.actor !== undefined) conditions.push(`actor = ${given(filter.actor)}`)
  if (filter.command !== undefined) conditions.push(`command = ${given(filter.command)}`)
  if (filter.from !== undefined) conditions.push(`at >= ${given(new Date(filter.from))}`)
  if (filter.to !== undefined) conditions.push(`at < ${given(new Date(filter.to))}`)
  if (page.cursor !== undefined) {
    const [atMs, position] = decodeCursor(page.cursor, 'audit', isKey)
    conditions.push(`(at, position) < (${given(new Date(atMs))}, ${given(position)})`)
  }
  const { rows } = await pool.query(
    `WITH firsts AS (SELECT * FROM events WHERE ${conditions.join(' AND ')} ORDER BY at DESC, position DESC LIMIT ${given(rowsToRead(page))})
     SELECT l.command_id, l.sequence, l.position, l.at, l.actor, l.command, l.source, l.reason, l.type, l.correlation_id, l.stream,
       l.hash, CASE WHEN l.type = 'CommandRefused' THEN l.data END AS refusal, f.own
     FROM firsts l CROSS JOIN LATERAL (
       SELECT json_agg(json_build_array(x.sequence, x.type, substring(x.data::text FROM '^\\{"stage":"([^"\\\\]*)"')) ORDER BY x.sequence) AS own
       FROM (SELECT *, count(*) FILTER (WHERE leads) OVER (ORDER BY sequence) AS commands FROM (SELECT * FROM events x
         WHERE x.namespace = l.namespace AND x.sequence >= l.sequence ORDER BY x.sequence LIMIT ${MOST_EVENTS}) x) x WHERE x.commands = 1) f
     ORDER BY l.at DESC, l.position DESC`,
    values,
  )
  return toPage(rows, page, 'audit', (row) => [row.at.getTime(), Number(row.position)], toEntry)
}

type Own = readonly (readonly [sequence: number, type: string, stage: string | null])[]

function toEntry(row: QueryResultRow): AuditEntry {
  const {
    command_id: commandId,
    correlation_id: correlationId,
    actor,
    command,
    source,
    reason,
    stream,
    hash,
    refusal,
  } = row
  return {
    ...{ commandId, sequence: Number(row.sequence), position: Number(row.position), at: row.at.toISOString(), actor },
    ...(command === null ? {} : { command }),
    ...(source === null ? {} : { source }),
    ...(reason === null ? {} : { reason }),
    outcome: refusal === null ? 'accepted' : 'refused',
    ...(refusal === null ? {} : { command: refusal.command, refusal: refusalOf(refusal) }),
    ...{ correlationId, stream, hash },
    events: (row.own as Own).map(([sequence, type, stage]) => ({
      sequence,
      type,
      ...(stage === null ? {} : { stage }),
    })),
  }
}

const refusalOf = ({ subject, status, code, detail }: NonNullable<AuditEntry['refusal']>) => ({
  ...{ subject, status, code, detail },
})

async function chainEnd(pool: Pool, namespace: string): Promise<ChainEnd> {
  const { rows } = await pool.query(
    'SELECT sequence, hash, position, removed_to FROM audit_chains WHERE namespace = $1',
    [namespace],
  )
  const [end] = rows
  if (end === undefined) return { sequence: 0, hash: NO_LINK, position: -1, removedTo: 0 }
  const [sequence, position, removedTo] = [end.sequence, end.position, end.removed_to].map(Number)
  return { sequence: sequence!, position: position!, removedTo: removedTo!, hash: end.hash }
}

async function linkAt(pool: Pool, namespace: string, sequence: number): Promise<Link | undefined> {
  if (sequence === 0) return NO_LINK
  const { rows } = await pool.query(
    `SELECT hash FROM events WHERE namespace = $1 AND sequence = $2
     UNION ALL SELECT removed_hash FROM audit_chains WHERE namespace = $1 AND removed_to = $2`,
    [namespace, sequence],
  )
  return rows[0]?.hash
}

async function chainLines(pool: Pool, namespace: string, from: number, limit: number): Promise<readonly ChainLine[]> {
  const { rows } = await pool.query(
    `SELECT sequence, position, at, stream, revision, id, type, version, actor, command, source, reason, correlation_id, causation_id,
       command_id, data::text AS data, hash FROM events WHERE namespace = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3`,
    [namespace, from, limit],
  )
  return rows.map((row) => ({
    sequence: Number(row.sequence),
    text: recordText(recordOf(namespace, row)),
    hash: row.hash,
  }))
}

const recordOf = (namespace: string, row: QueryResultRow): AuditRecord => ({
  ...{ namespace, sequence: Number(row.sequence), position: Number(row.position), at: row.at.toISOString() },
  ...{ stream: row.stream, revision: Number(row.revision), id: row.id, type: row.type, version: row.version },
  ...{ actor: row.actor, command: row.command, source: row.source, reason: row.reason },
  ...{ correlationId: row.correlation_id, causationId: row.causation_id, commandId: row.command_id, data: row.data },
})
