// What a clean-up would take, without taking any of it.
import type { Pool } from 'pg'
import { type AgedTable, agedTables, type RetentionPolicy } from '../domain/retention/policy.ts'
import { ruleInWords } from '../domain/retention/written.ts'
import { dueRows } from './due-rows.ts'
import { dueRuns, firstHeld, type RunTarget } from './due-runs.ts'

/** `examples` are ids of runs, at most 5. */
export type DueOfTarget = {
  readonly target: RunTarget | AgedTable
  readonly count: number
  readonly oldest?: string
  readonly because: readonly string[]
  readonly examples?: readonly string[]
}

const EXAMPLES = 5

export async function previewOf(
  pool: Pool,
  asked: { readonly namespace: string; readonly policy: RetentionPolicy; readonly nowMs: number },
): Promise<readonly DueOfTarget[]> {
  const found: DueOfTarget[] = []
  for (const target of ['streams', 'executions'] as const)
    if (asked.policy[target] !== undefined) found.push(await previewRuns(pool, { ...asked, target }))
  for (const table of agedTables) {
    const before = await cutOf(pool, asked.namespace, table, asked.policy, asked.nowMs)
    if (before === undefined) continue
    const { rows, oldest } = await dueRows[table].count({ pool, namespace: asked.namespace, before })
    found.push({
      target: table,
      count: rows,
      ...(oldest && { oldest }),
      because: [`older than ${before.toISOString()}`],
    })
  }
  return found
}

async function previewRuns(pool: Pool, asked: Parameters<typeof dueRuns>[1]): Promise<DueOfTarget> {
  const examples: string[] = []
  const rules = new Set<number>()
  let count = 0
  let oldest: string | undefined
  for await (const { runs } of dueRuns(pool, asked)) {
    count += runs.length
    for (const { id, finishedAt, rule } of runs) {
      if (examples.length < EXAMPLES) examples.push(id)
      if (oldest === undefined || finishedAt < oldest) oldest = finishedAt
      rules.add(rule)
    }
  }
  const because = [...rules].sort().map((rule) => ruleInWords(asked.policy[asked.target]![rule]!))
  return { target: asked.target, count, ...(oldest && { oldest }), because, examples }
}

const BUCKET_MS: Partial<Record<AgedTable, number>> = { analyticsByHour: 3_600_000, analyticsByDay: 86_400_000 }

/**
 * Before when rows of a table go; nothing where no rule says so. What is on record of runs that are held stays, and so do the hour and
 * the day that are being counted, and the ones before: what comes late is added to them.
 */
export async function cutOf(
  pool: Pool,
  namespace: string,
  table: AgedTable,
  policy: RetentionPolicy,
  nowMs: number,
): Promise<Date | undefined> {
  const rule = policy[table]
  if (rule === undefined) return undefined
  const heldFrom = table === 'audit' ? await firstHeld(pool, namespace, policy) : undefined
  const bucketMs = BUCKET_MS[table]
  const limits = [
    nowMs - rule.olderThan,
    ...(heldFrom === undefined ? [] : [Date.parse(heldFrom)]),
    ...(bucketMs === undefined ? [] : [Math.floor(nowMs / bucketMs) * bucketMs - bucketMs]),
  ]
  return new Date(Math.min(...limits))
}
