// What goes of the rows, and that no rebuild brings it back.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RetentionPolicy } from '../../src/domain/retention/policy.ts'
import { AUDIT, verdictOn } from '../support/audited.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'
import { until } from '../support/recorded-log.ts'
import { DAY_MS, kept } from '../support/retaining.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

describe('rows', () => {
  test('of runs go with their stages, attempts and lines, and no rebuild brings them back', async (t) => {
    const { run, set, cleanUp, get, pool, ports, verified, rebuilt, clock, store } = await kept(t, postgres)
    const id = await run()
    const writer = ports.logs.open(id, 'build', 1)
    writer.write('stdout', 'hello')
    await writer.close()
    clock.leap(2 * DAY_MS)
    const young = await run()
    await set({ streams: [{ olderThan: '1d' }], executions: [{ olderThan: '1d' }] })
    expect(await cleanUp()).toEqual({ removed: { streams: 1, executions: 1 }, done: true })
    for (const [table, column] of [
      ['executions', 'id'],
      ['stages', 'execution_id'],
      ['attempts', 'execution_id'],
    ])
      expect((await pool.query(`SELECT FROM ${table} WHERE ${column} = $1`, [id])).rows).toEqual([])
    expect(await ports.logs.read(id, 'build', 1)).toEqual([])
    expect((await get(`executions/${id}`)).status).toBe(404)
    expect((await get(`executions/${young}`)).status).toBe(200)
    // The log knows it still, and so does the archive.
    expect((await get(`executions/${id}/history`)).body.items.length).toBeGreaterThan(3)
    // What runs came to is counted apart from them.
    expect((await get('analytics?by=workflow')).body.items[0]).toMatchObject({ ended: 2 })
    await verified()
    await rebuilt()
    expect((await pool.query('SELECT FROM executions WHERE id = $1', [id])).rows).toEqual([])
    expect(await store.head()).toBeGreaterThan(0)
  })

  test('that went do not let a stream be put back, which no rule would find again', async (t) => {
    const { run, set, cleanUp, send, get, clock } = await kept(t, postgres)
    const id = await run()
    clock.leap(2 * DAY_MS)
    await set({ streams: [{ olderThan: '1d' }], executions: [{ olderThan: '1d' }] })
    expect(await cleanUp()).toEqual({ removed: { streams: 1, executions: 1 }, done: true })
    expectProblem(await send('POST', `executions/${id}/unarchive`, {}), 409, 'UNARCHIVE_IMPOSSIBLE')
    expect((await get(`executions/${id}/history`)).status).toBe(200)
  })

  test('of the hour and the day that are being counted stay', async (t) => {
    const { run, set, cleanUp, preview, clock, verified, rebuilt, pool } = await kept(t, postgres)
    await run()
    clock.leap(2 * 3_600_000)
    await run()
    await set({ analyticsByDay: { olderThan: '1m' }, analyticsByHour: { olderThan: '1m' } })
    await cleanUp()
    const { rows } = await pool.query(
      `SELECT sum(ended)::int AS ended FROM analytics WHERE dimension = 'namespace' AND grain = 'day'`,
    )
    expect(rows).toEqual([{ ended: 2 }])
    await run()
    await verified()
    await rebuilt()
    clock.leap(3 * DAY_MS)
    expect((await preview()).every(({ count }) => count > 0)).toBe(true)
    await cleanUp()
    expect((await pool.query('SELECT FROM analytics')).rows).toEqual([])
    await run()
    await verified()
    await rebuilt()
  })

  test('of runs stay until their streams are safe, where those are to be kept', async (t) => {
    const { run, set, cleanUp, clock } = await kept(t, postgres)
    await run()
    clock.leap(2 * DAY_MS)
    await set({ streams: [{ olderThan: '30d' }], executions: [{ olderThan: '1d' }] })
    expect(await cleanUp()).toEqual({ removed: {}, done: true })
    await set({ executions: [{ olderThan: '1d' }] })
    expect(await cleanUp()).toEqual({ removed: { executions: 1 }, done: true })
  })

  test('of the audit go from its beginning; what is left is linked to what was', async (t) => {
    const { run, set, cleanUp, exported, key, server, clock, verified, rebuilt, entries, caughtUp } = await kept(
      t,
      postgres,
    )
    await run()
    await caughtUp()
    const whole = await verdictOn(await exported(), (await key()).publicKey)
    clock.leap(2 * DAY_MS)
    await run()
    await set({ audit: { olderThan: '1d' } })
    const { removed } = await cleanUp()
    expect(removed.audit).toBe(whole.to)
    const { publicKey } = await key()
    const rest = await exported()
    const verdict = await verdictOn(rest, publicKey)
    expect(verdict).toMatchObject({ faults: [], from: whole.to + 1 })
    expect((await entries()).at(-1)!.sequence).toBe(String(whole.to + 1))
    expectProblem(await server.inject(`${AUDIT}/export?from=1`), 404, 'SEQUENCE_UNKNOWN')
    await verified()
    await rebuilt()
    expect((await exported()).subarray(0, 500)).toEqual(rest.subarray(0, 500))
  })

  test('of the audit that went are missed by no verification, however many came after', async (t) => {
    const { run, set, cleanUp, clock, verified, store, caughtUp } = await kept(t, postgres)
    await run()
    await caughtUp()
    clock.leap(2 * DAY_MS)
    await set({ audit: { olderThan: '1d' } })
    const at = new Date(clock.now()).toISOString()
    const data = { command: 'X', subject: '/', status: 409, code: 'X', detail: 'x' }
    // More than a verification holds at once: what it compares first it has forgotten when the removal comes.
    for (let n = 0; n < 60; n++)
      await store.append(
        'audit-default',
        'any',
        Array.from({ length: 100 }, () => {
          const commandId = crypto.randomUUID()
          const metadata = { namespace: 'default', correlationId: commandId, commandId, actor: 'user:ada' }
          return { id: crypto.randomUUID(), type: 'CommandRefused', version: 1, at, data, metadata }
        }),
      )
    expect((await cleanUp(5_000)).removed.audit).toBeGreaterThan(3)
    await verified()
  })

  test('of the audit stay from where a run began that is held', async (t) => {
    const { run, set, send, cleanUp, clock, ended, preview } = await kept(t, postgres)
    await run()
    clock.leap(DAY_MS)
    const { id } = (await send('POST', 'executions', { workflow: 'chain', labels: { hold: 'x' } })).json<{
      id: string
    }>()
    await ended(id)
    clock.leap(9 * DAY_MS)
    const policy = { hold: ['hold'], audit: { olderThan: '5d' } }
    const all = (await preview({ policy: { audit: { olderThan: '5d' } } }))[0]!.count
    const some = (await preview({ policy }))[0]!.count
    expect(some).toBeGreaterThan(0)
    expect(some).toBeLessThan(all)
    await set(policy)
    expect((await cleanUp()).removed).toEqual({ audit: some })
  })

  test('of pools, schedules and analytics go by their age', async (t) => {
    const { run, send, set, cleanUp, preview, clock, pool, verified, rebuilt, ended, caughtUp } = await kept(
      t,
      postgres,
    )
    await send('PUT', 'pools/small', { slots: 1 })
    await send('PUT', 'workflows/pooled', {
      name: 'pooled',
      stages: { one: { uses: 'echo', resources: { pool: 'small' } } },
    })
    await send('PUT', 'schedules/once', { workflow: 'chain', at: new Date(clock.now() + 60_000).toISOString() })
    const pooled = (await send('POST', 'executions', { workflow: 'pooled' })).json<{ id: string }>().id
    await ended(pooled)
    clock.leap(120_000)
    await until('the schedule has fired', async () => {
      await caughtUp()
      return (await pool.query(`SELECT FROM schedule_runs WHERE status = 'completed'`)).rows.length === 1
    })
    clock.leap(40 * DAY_MS)
    const again = (await send('POST', 'executions', { workflow: 'pooled' })).json<{ id: string }>().id
    await ended(again)
    await run()
    await caughtUp()
    const count = async (table: string, condition = 'true') =>
      (await pool.query(`SELECT count(*)::int AS n FROM ${table} WHERE ${condition}`)).rows[0].n as number
    const days = await count('analytics', `grain = 'day'`)
    const policy: { [table in keyof RetentionPolicy]: { olderThan: string } } = {
      ...{ pools: { olderThan: '30d' }, scheduleRuns: { olderThan: '30d' }, analyticsByHour: { olderThan: '30d' } },
    }
    const due = new Map((await preview({ policy })).map((one) => [one.target, one.count]))
    for (const table of ['pools', 'scheduleRuns', 'analyticsByHour']) expect(due.get(table), table).toBeGreaterThan(0)
    const hours = await count('analytics', `grain = 'hour'`)
    await set(policy)
    expect(await cleanUp()).toEqual({ removed: Object.fromEntries(due), done: true })
    expect(await cleanUp()).toEqual({ removed: {}, done: true })
    expect(await count('schedule_runs')).toBe(0)
    expect(await count('pool_grants')).toBe(1)
    // What was in use when the time began that is left.
    expect(await count('pool_usage', `at < now() + interval '10 days'`)).toBe(1)
    expect(await count('analytics', `grain = 'hour'`)).toBe(hours - due.get('analyticsByHour')!)
    expect(await count('analytics', `grain = 'day'`)).toBe(days)
    await verified()
    await rebuilt()
  })
})
