// An installation whose retention is asked for, in which time leaps.
import { expect, type TestContext } from 'vitest'
import { readRebuilds } from '../../src/projections/rebuild/record.ts'
import { audited } from './audited.ts'
import { hashReadModels } from './hash-read-models.ts'
import { LeapingClock } from './leaping-clock.ts'
import type { TestPostgres } from './postgres.ts'

export const RETENTION = '/v1/default/retention'
export const DAY_MS = 86_400_000
/** Nothing goes that has only just ended. */
export const MINUTE_MS = 60_000

/** An installation in which time leaps, and what can be asked of its retention. */
export async function kept(t: TestContext, postgres: TestPostgres) {
  const clock = new LeapingClock()
  const built = await audited(t, postgres, { clock })
  const { server, send, caughtUp } = built
  const set = async (policy: object) => {
    const answer = await send('PUT', 'retention', policy)
    expect(answer.statusCode, answer.body).toBe(200)
  }
  const cleanUp = async (limit = 1_000) => {
    await caughtUp()
    const answer = await send('POST', 'retention/clean-up', { limit })
    expect(answer.statusCode, answer.body).toBe(200)
    return answer.json<{ removed: Record<string, number>; done: boolean }>()
  }
  const preview = async (body: object = {}) => {
    await caughtUp()
    const answer = await server.inject({ method: 'POST', url: `${RETENTION}/preview`, payload: body })
    expect(answer.statusCode, answer.body).toBe(200)
    return answer.json<{ items: { target: string; count: number; because: string[]; examples?: string[] }[] }>().items
  }
  const get = async (path: string) => {
    const answer = await server.inject(`/v1/default/${path}`)
    return { status: answer.statusCode, body: answer.statusCode === 200 ? answer.json() : answer.body }
  }
  const lengthOf = async (id: string) => {
    const { rows } = await built.pool.query(`SELECT count(*)::int AS n FROM events WHERE stream = $1`, [
      `execution-${id}`,
    ])
    return rows[0].n as number
  }
  const verified = async () => {
    await caughtUp()
    const answer = await server.inject({ method: 'POST', url: '/v1/admin/verify', payload: {} })
    const result = JSON.parse(answer.body.trimEnd().split('\n').at(-1)!)
    expect(result).toMatchObject({ kind: 'result', violations: { total: 0 }, drift: { total: 0 }, notChecked: [] })
  }
  /** Builds every read model again, which finds the rows that are live. */
  const rebuilt = async () => {
    await caughtUp()
    const before = await hashReadModels(built.pool)
    for (const name of ['executions', 'events', 'pools', 'schedules'])
      await built.app.keeper!.rebuild([name], AbortSignal.timeout(30_000))
    const rebuilds = await readRebuilds(built.pool)
    for (const { name, status, difference, error } of rebuilds)
      expect({ name, status, total: difference && 'total' in difference ? difference.total : error }).toEqual({
        ...{ name, status: 'swapped', total: 0 },
      })
    await caughtUp()
    expect(await hashReadModels(built.pool)).toEqual(before)
  }
  return { ...built, clock, set, cleanUp, preview, get, lengthOf, verified, rebuilt }
}
