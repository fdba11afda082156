// Up to where rows go that have only their age: how many would, and the next step of a clean-up, which takes a few at a time.
import type { Pool } from 'pg'
import type { AgedTable } from '../domain/retention/policy.ts'

/** `upTo` and `hash` as `RowsRemoved` has them. */
type Step = { readonly upTo: string; readonly hash?: string; readonly rows: number }

/** About how many rows a step takes, where that is for us to say. */
const ROWS = 2_000
const DAY_MS = 86_400_000

type Asked = { readonly pool: Pool; readonly namespace: string; readonly before: Date }
type Due = {
  /** All that would go. */
  count(asked: Asked): Promise<{ readonly rows: number; readonly oldest: string | undefined }>
  /** Nothing when nothing is left to go. */
  next(asked: Asked): Promise<Step | undefined>
}

/** A query of one row over what would go with `upTo = $2`: `rows` and `oldest`. */
async function counted({ pool, namespace, before }: Asked, sql: string) {
  const { rows } = await pool.query<{ rows: string; oldest: Date | null }>(sql, [namespace, before])
  return { rows: Number(rows[0]?.rows ?? 0), oldest: rows[0]?.oldest?.toISOString() }
}

const AUDIT = 'FROM events e WHERE e.namespace = $1 AND e.at < $2'
const audit: Due = {
  count: (asked) => counted(asked, `SELECT count(*) AS rows, min(at) AS oldest ${AUDIT}`),
  async next({ pool, namespace, before }) {
    // The chain is cut at one place: nothing goes that comes after what stays.
    const { rows } = await pool.query(
      `WITH next AS (SELECT sequence, at, hash FROM events WHERE namespace = $1 AND sequence > coalesce(
           (SELECT removed_to FROM audit_chains WHERE namespace = $1), 0) ORDER BY sequence LIMIT ${ROWS})
       SELECT sequence, hash, count(*) OVER () AS rows FROM next
       WHERE sequence < coalesce((SELECT min(sequence) FROM next WHERE at >= $2), 'infinity'::numeric)
       ORDER BY sequence DESC LIMIT 1`,
      [namespace, before],
    )
    return rows[0] && { upTo: String(rows[0].sequence), hash: rows[0].hash, rows: Number(rows[0].rows) }
  },
}

const analytics = (grain: 'hour' | 'day'): Due => {
  const of = `FROM analytics a WHERE a.namespace = $1 AND a.grain = '${grain}' AND a.since < $2`
  return {
    count: (asked) => counted(asked, `SELECT count(*) AS rows, min(since) AS oldest ${of}`),
    async next(asked) {
      // Every run is counted for its namespace, so the first of those is the first of all.
      const { oldest } = await counted(
        asked,
        `SELECT 1 AS rows, min(since) AS oldest ${of} AND dimension = 'namespace' AND key = ''`,
      )
      if (oldest === undefined) return undefined
      const upTo = new Date(Math.min(Date.parse(oldest) + DAY_MS, asked.before.getTime()))
      const { rows } = await counted({ ...asked, before: upTo }, `SELECT count(*) AS rows, min(since) AS oldest ${of}`)
      return { upTo: upTo.toISOString(), rows }
    },
  }
}

/** `of` names the rows that would go, and their time. */
const byRows = (of: (upTo: string) => string): Due => {
  const count = (asked: Asked) => counted(asked, `SELECT count(*) AS rows, min(at) AS oldest FROM (${of('$2')}) due`)
  return {
    count,
    async next(asked) {
      const { pool, namespace, before } = asked
      const { rows } = await pool.query(`SELECT at FROM (${of('$2')}) due ORDER BY at OFFSET ${ROWS} LIMIT 1`, [
        namespace,
        before,
      ])
      const nearer: Date = rows[0]?.at ?? before
      for (const upTo of [nearer, before]) {
        const due = await count({ ...asked, before: upTo })
        if (due.rows > 0) return { upTo: upTo.toISOString(), rows: due.rows }
      }
      return undefined
    },
  }
}

const POOLS = (upTo: string): string => `
  SELECT u.at FROM pool_usage u WHERE u.namespace = $1 AND u.at < ${upTo} AND EXISTS (
    SELECT FROM pool_usage l WHERE l.namespace = u.namespace AND l.pool = u.pool AND l.at < ${upTo} AND (l.at, l.position) > (u.at, u.position))
  UNION ALL SELECT released_at FROM pool_grants WHERE namespace = $1 AND released_at < ${upTo}`
const SCHEDULE_RUNS = (upTo: string): string =>
  `SELECT updated_at AS at FROM schedule_runs WHERE namespace = $1 AND status NOT IN ('open', 'queued') AND updated_at < ${upTo}`

export const dueRows: Readonly<Record<AgedTable, Due>> = {
  audit,
  analyticsByHour: analytics('hour'),
  analyticsByDay: analytics('day'),
  pools: byRows(POOLS),
  scheduleRuns: byRows(SCHEDULE_RUNS),
}
