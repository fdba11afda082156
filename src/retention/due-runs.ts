// Which runs the rules of a policy are about, page by page: a namespace has more of them than fit into memory.
import type { Pool } from 'pg'
import type { RetentionPolicy, RunRule } from '../domain/retention/policy.ts'

export type RunTarget = 'streams' | 'executions'

/** `rule` is its place among those of the policy: the first one that says so. `tookMs` is how long the run went on. */
export type DueRun = {
  readonly id: string
  readonly finishedAt: string
  readonly rule: number
  readonly tookMs: number
}

/** The last run of a page, after which the next one begins. */
export type Place = { readonly startedAt: string; readonly id: string }

type Options = {
  readonly namespace: string
  readonly target: RunTarget
  readonly policy: RetentionPolicy
  readonly nowMs: number
  /** Where to go on. */
  readonly after?: Place | undefined
}

/** Whatever the rules say: who follows the log has to have read it (FRESH_MS of the archive), by clocks that need not agree. */
const MIN_ENDED_MS = 15_000
/** How many rows are looked at in one statement. */
const PAGE = 5_000
const FIRST: Place = { startedAt: new Date(0).toISOString(), id: '00000000-0000-0000-0000-000000000000' }

/** Pages of those that are due, the oldest start first; a page may be empty. `last` is where it ends. */
export async function* dueRuns(
  pool: Pool,
  { namespace, target, policy, nowMs, after = FIRST }: Options,
): AsyncGenerator<{ readonly runs: readonly DueRun[]; readonly last: Place }> {
  const rules = policy[target] ?? []
  if (rules.length === 0) return
  const values: unknown[] = [namespace, after.startedAt, after.id]
  const given = (value: unknown): string => `$${values.push(value)}`
  const ended = given(new Date(nowMs - MIN_ENDED_MS).toISOString())
  const due: string[] = []
  for (const rule of rules) due.push(await conditionOf(pool, namespace, rule, nowMs, given))
  const out = [
    'finished_at IS NULL',
    `finished_at > ${ended}::timestamptz`,
    isOut(target, policy),
    ...held(policy, given),
  ]
  const sql = `
    WITH page AS (
      SELECT * FROM executions WHERE namespace = $1 AND (started_at, id) > ($2::timestamptz, $3::uuid)
      ORDER BY started_at, id LIMIT ${PAGE}
    ), judged AS (
      SELECT id, started_at, finished_at, CASE WHEN ${out.join(' OR ')} THEN NULL
        ${due.map((condition, rule) => `WHEN ${condition} THEN ${rule}`).join(' ')} END AS rule FROM page)
    SELECT id, started_at::text AS "startedAt", finished_at AS "finishedAt", rule,
      extract(epoch FROM finished_at - started_at)::float8 * 1000 AS "tookMs"
    FROM judged WHERE rule IS NOT NULL OR (started_at, id) = (SELECT started_at, id FROM judged ORDER BY started_at DESC, id DESC LIMIT 1)
    ORDER BY started_at, id`
  for (;;) {
    const { rows } = await pool.query(sql, values)
    const last: Place | undefined = rows.at(-1)
    if (last === undefined) return
    const runs = rows
      .filter(({ rule }) => rule !== null)
      .map((row) => ({ id: row.id, finishedAt: row.finishedAt.toISOString(), rule: row.rule, tookMs: row.tookMs }))
    yield { runs, last: { startedAt: last.startedAt, id: last.id } }
    values[1] = last.startedAt
    values[2] = last.id
  }
}

/** What has gone already; and rows of runs stay until their streams are safe, where those are to be kept. */
const isOut = (target: RunTarget, { streams }: RetentionPolicy): string => {
  if (target === 'streams') return 'archived_in IS NOT NULL'
  return streams === undefined ? 'false' : 'archived_in IS NULL'
}

function held({ hold = [] }: RetentionPolicy, given: (value: unknown) => string): readonly string[] {
  return hold.map((label) => {
    const at = label.indexOf('=')
    if (at === -1) return `labels ? ${given(label)}`
    return `labels @> ${given(JSON.stringify({ [label.slice(0, at)]: label.slice(at + 1) }))}::jsonb`
  })
}

async function conditionOf(
  pool: Pool,
  namespace: string,
  { olderThan, atMost, statuses }: RunRule,
  nowMs: number,
  given: (value: unknown) => string,
): Promise<string> {
  const either: string[] = []
  // What was put back is as though it had ended then.
  if (olderThan !== undefined)
    either.push(`greatest(finished_at, restored_at) < ${given(new Date(nowMs - olderThan).toISOString())}::timestamptz`)
  if (atMost !== undefined) {
    const firsts = await firstsToGo(pool, namespace, atMost, statuses)
    const columns = `${given(firsts.map(({ workflow }) => workflow))}::text[], ${given(firsts.map(({ startedAt }) => startedAt))}::timestamptz[], ${given(firsts.map(({ id }) => id))}::uuid[]`
    either.push(
      `(restored_at IS NULL AND EXISTS (SELECT FROM unnest(${columns}) AS f (workflow, started_at, id)
         WHERE f.workflow = page.workflow AND (page.started_at, page.id) <= (f.started_at, f.id)))`,
    )
  }
  const any = `(${either.join(' OR ')})`
  return statuses === undefined ? any : `(status = ANY(${given(statuses)}) AND ${any})`
}

/** Of each workflow the newest run that there is no place for any more. */
async function firstsToGo(pool: Pool, namespace: string, atMost: number, statuses: RunRule['statuses']) {
  const { rows } = await pool.query<{ workflow: string; startedAt: string; id: string }>(
    `WITH RECURSIVE w (workflow) AS (
       (SELECT workflow FROM executions WHERE namespace = $1 ORDER BY workflow LIMIT 1)
       UNION ALL SELECT (SELECT e.workflow FROM executions e WHERE e.namespace = $1 AND e.workflow > w.workflow ORDER BY e.workflow LIMIT 1)
       FROM w WHERE w.workflow IS NOT NULL)
     SELECT w.workflow, f.started_at::text AS "startedAt", f.id FROM w CROSS JOIN LATERAL (
       SELECT e.started_at, e.id FROM executions e WHERE e.namespace = $1 AND e.workflow = w.workflow AND e.finished_at IS NOT NULL
         AND ($3::text[] IS NULL OR e.status = ANY($3)) ORDER BY e.started_at DESC, e.id DESC OFFSET $2 LIMIT 1) f`,
    [namespace, atMost, statuses ?? null],
  )
  return rows
}

/** When the first run began that nothing may be taken of; what is on record of it stays too. */
export async function firstHeld(pool: Pool, namespace: string, policy: RetentionPolicy): Promise<string | undefined> {
  const values: unknown[] = [namespace]
  const held_ = held(policy, (value) => `$${values.push(value)}`)
  if (held_.length === 0) return undefined
  const { rows } = await pool.query(
    `SELECT min(started_at) AS first FROM executions WHERE namespace = $1 AND (${held_.join(' OR ')})`,
    values,
  )
  return rows[0].first?.toISOString()
}
