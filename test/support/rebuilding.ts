// What specs of rebuilds ask for and wait for.
import type { Pool } from 'pg'
import { type Rebuild, readRebuilds } from '../../src/projections/rebuild/record.ts'
import { mixInto } from './mixed-log.ts'
import { recordedLog, until } from './recorded-log.ts'

/** A log with so many runs, and what adds more. */
export function mixed(runs: number) {
  const log = recordedLog()
  const more = mixInto(log)
  more(runs)
  return { log, more }
}

export const ASKED = { by: 'user:ada', reason: 'to see', hold: false }

export const rebuildOf = async (pool: Pool, name = 'executions'): Promise<Rebuild | undefined> =>
  (await readRebuilds(pool).catch(() => [])).find((one) => one.name === name)
export const ended = (pool: Pool, name = 'executions') =>
  until(`the rebuild of ${name}`, async () => {
    const rebuild = await rebuildOf(pool, name)
    return rebuild !== undefined && rebuild.status !== 'running' && rebuild
  })
export const inPhase = (pool: Pool, phase: string) =>
  until(`the phase ${phase}`, async () => {
    const rebuild = await rebuildOf(pool)
    return rebuild?.phase === phase && rebuild
  })

export const besides = async (pool: Pool, schema: 'next' | 'previous'): Promise<readonly string[]> => {
  const sql = `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() || $1 ORDER BY 1`
  return (await pool.query(sql, [`_${schema}`])).rows.map(({ tablename }) => tablename)
}
