import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startProjector } from '../../src/projections/start.ts'
import { createQueries } from '../../src/queries/create-queries.ts'
import { BadCursor, type Page, type PageRequest } from '../../src/queries/page.ts'
import { postgresKinds, silent, type TestDatabases } from '../support/postgres.ts'
import { recordedLog, until } from '../support/recorded-log.ts'
import { begun, completed, completedRun, failed, registered, retried, scheduled, started } from '../support/runs.ts'
import { skipFor } from '../support/skip.ts'

describe.each(await postgresKinds())('on $name', ({ reason, start }) => {
  let postgres: TestDatabases
  beforeAll(async () => {
    if (reason === undefined) postgres = await start()
  })
  afterAll(() => postgres?.stop())
  beforeEach((context) => skipFor(reason, context))

  async function system() {
    const log = recordedLog()
    const { url, pool } = await postgres.createReadModels()
    const stop = new AbortController()
    const { stopped } = startProjector({ store: log, pool, logger: silent, signal: stop.signal })
    const queries = createQueries({ url, pool, head: log.head })
    return {
      log,
      pool,
      queries,
      /** Awaits what was recorded so far. */
      settled: async () => expect(await queries.reached(await log.head(), 20_000)).toBe(true),
      async [Symbol.asyncDispose]() {
        stop.abort()
        await stopped
        await queries.close()
        await pool.end()
      },
    }
  }

  /** Every item of a list, in pages of `limit`. */
  async function allPages<T>(limit: number, ask: (page: PageRequest) => Promise<Page<T>>): Promise<T[]> {
    const items: T[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await ask({ limit, ...(cursor === undefined ? {} : { cursor }) })
      expect(page.items.length).toBeLessThanOrEqual(limit)
      items.push(...page.items)
      if (page.nextCursor === null) return items
      cursor = page.nextCursor
    }
  }

  test('an execution shows each stage as it stands', async () => {
    await using it = await system()
    const id = randomUUID()
    const stream = `execution-${id}`
    const view = async () => {
      await it.settled()
      const found = await it.queries.execution('default', id)
      expect(found).toMatchObject({
        revision: it.log.events.at(-1)!.revision,
        position: it.log.events.at(-1)!.position,
      })
      return found!
    }
    it.log.record(stream, [started(id)])
    expect(await view()).toMatchObject({
      id,
      status: 'running',
      workflow: 'release',
      input: { service: 'shop' },
      labels: { team: 'blue' },
    })
    expect(Object.keys((await view()).stages)).toEqual(['build', 'test', 'scan', 'deploy', 'verify'])
    expect((await view()).stages.build).toEqual({ status: 'blocked', attempt: 0 })

    it.log.record(stream, [scheduled('build', 1, { for: 'timer', until: '2026-01-01T02:00:00.000Z' })])
    const timer = { for: 'timer', until: '2026-01-01T02:00:00.000Z' }
    expect((await view()).stages.build).toEqual({ status: 'waiting', attempt: 1, waiting: timer })

    it.log.record(stream, [completed('build'), scheduled('test')])
    expect((await view()).stages.build).toMatchObject({ status: 'completed', output: { exitCode: 0 } })
    expect((await view()).stages.build).not.toHaveProperty('waiting')
    expect((await view()).stages.test).toEqual({ status: 'scheduled', attempt: 1 })

    it.log.record(stream, [begun('test')], { at: '2026-02-03T04:05:06.007Z' })
    expect((await view()).stages.test).toEqual({ status: 'running', attempt: 1, startedAt: '2026-02-03T04:05:06.007Z' })

    it.log.record(stream, [failed('test', 1, 'retry'), retried('test', 2)])
    const retry = { for: 'retry', until: '2026-01-01T01:00:00.000Z' }
    expect((await view()).stages.test).toMatchObject({
      status: 'retrying',
      attempt: 1,
      waiting: retry,
      error: { code: 'EXIT' },
    })

    it.log.record(stream, [scheduled('test', 2)])
    expect((await view()).stages.test).toEqual({ status: 'scheduled', attempt: 2 })

    it.log.record(stream, [
      { type: 'ExecutionCancellationRequested', data: { reason: 'enough', outcome: 'cancelled' } },
    ])
    expect((await view()).status).toBe('cancelling')
    it.log.record(stream, [
      { type: 'StageCancelled', data: { stage: 'test', attempt: 2, reason: 'enough' } },
      { type: 'StageCancelled', data: { stage: 'scan', attempt: 0, reason: 'enough' } },
      { type: 'StageSkipped', data: { stage: 'deploy', reason: 'condition', detail: 'not today' } },
      { type: 'ExecutionFailed', data: { error: { code: 'X', message: 'y', stages: ['test'] }, durationMs: 1 } },
    ])
    const ended = await view()
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'X', message: 'y', stages: ['test'] } })
    expect(ended.finishedAt).toBe(it.log.events.at(-1)!.at)
    expect(ended.stages.scan).toMatchObject({ status: 'cancelled', attempt: 0, reason: 'enough' })
    expect(ended.stages.deploy).toMatchObject({ status: 'skipped', reason: 'condition: not today' })
    const { rows } = await it.pool.query('SELECT stage, attempt, outcome, recovery FROM attempts ORDER BY 1, 2')
    expect(rows).toEqual([
      { stage: 'build', attempt: 1, outcome: 'completed', recovery: null },
      { stage: 'test', attempt: 1, outcome: 'failed', recovery: 'retry' },
      { stage: 'test', attempt: 2, outcome: 'cancelled', recovery: null },
    ])
  })

  test('what is not there, or in another namespace, is undefined', async () => {
    await using it = await system()
    const { stream, id, events } = completedRun()
    it.log.record(stream, events)
    it.log.record('workflow-default.release', [registered('release')])
    await it.settled()
    expect(await it.queries.execution('default', id)).toMatchObject({ status: 'completed' })
    expect(await it.queries.execution('other', id)).toBeUndefined()
    expect(await it.queries.execution('default', randomUUID())).toBeUndefined()
    expect(await it.queries.execution('default', `${id}' OR true --`)).toBeUndefined()
    expect(await it.queries.workflow('other', 'release')).toBeUndefined()
    expect(await it.queries.workflowVersions('default', 'none', { limit: 1 })).toBeUndefined()
  })

  test('lists of executions page without gap or repeat, and filter', async () => {
    await using it = await system()
    const ids: string[] = []
    for (let count = 0; count < 25; count++) {
      const id = randomUUID()
      ids.push(id)
      // Five share each start, so the id decides between them.
      const at = `2026-03-0${1 + Math.floor(count / 5)}T00:00:00.000Z`
      it.log.record(
        `execution-${id}`,
        [started(id, { workflow: count % 2 ? 'odd' : 'even', labels: { team: `t${count % 3}` } })],
        { at },
      )
      if (count < 4) it.log.record(`execution-${id}`, completedRun(id).events.slice(-1))
    }
    const { stream, events } = completedRun()
    it.log.record(stream, events, { namespace: 'other' })
    await it.settled()
    const list = (filter: Parameters<typeof it.queries.executions>[1], limit = 4) =>
      allPages(limit, (page) => it.queries.executions('default', filter, page))

    const all = await list({})
    expect(all.map(({ id }) => id).sort()).toEqual([...ids].sort())
    const key = ({ startedAt, id }: { startedAt: string; id: string }): string => `${startedAt} ${id}`
    expect(all.map(key)).toEqual(all.map(key).sort().reverse())
    expect(all[0]).not.toHaveProperty('input')
    expect(await list({}, 200)).toEqual(all)
    expect(await list({ workflow: 'odd' })).toHaveLength(12)
    expect(await list({ status: 'completed' })).toHaveLength(4)
    expect(await list({ status: 'running', workflow: 'odd' })).toHaveLength(10)
    expect(await list({ label: 'team=t1' })).toHaveLength(8)
    expect(await list({ label: 'team' })).toHaveLength(25)
    expect(await list({ label: `team=t1' OR '1'='1` })).toHaveLength(0)
    expect(await list({ from: '2026-03-02T00:00:00.000Z', to: '2026-03-04T00:00:00.000Z' })).toHaveLength(10)
  })

  test('workflows and their versions', async () => {
    await using it = await system()
    for (const name of ['c', 'a', 'b']) it.log.record(`workflow-default.${name}`, [registered(name)])
    await it.settled()
    for (let version = 2; version <= 5; version++) it.log.record('workflow-default.a', [registered('a', version)])
    it.log.record('workflow-default.b', [{ type: 'WorkflowRetired', data: { name: 'b', reason: 'old' } }])
    await it.settled()
    const all = await allPages(1, (page) => it.queries.workflows('default', page))
    expect(all.map(({ name, version, status }) => [name, version, status])).toEqual([
      ['a', 5, 'active'],
      ['b', 1, 'retired'],
      ['c', 1, 'active'],
    ])
    const a = await it.queries.workflow('default', 'a')
    // The document keeps the order in which its members were written.
    expect(JSON.stringify(a!.source)).toBe('{"name":"a","version":5,"zebra":1,"ant":2}')
    expect(a!.createdAt < a!.updatedAt).toBe(true)
    const versions = await allPages(2, async (page) => (await it.queries.workflowVersions('default', 'a', page))!)
    expect(versions.map(({ version }) => version)).toEqual([5, 4, 3, 2, 1])
  })

  test('a forged cursor is refused', async () => {
    await using it = await system()
    for (const name of ['a', 'b']) it.log.record(`workflow-default.${name}`, [registered(name)])
    await it.settled()
    const { nextCursor } = await it.queries.workflows('default', { limit: 1 })
    const forge = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const forged = [
      '',
      'x',
      '%00',
      `${nextCursor}=`,
      nextCursor!.slice(0, -2),
      forge(null),
      forge(['executions', Number.MAX_VALUE, randomUUID()]),
      forge(['executions', 8.64e15 + 1, randomUUID()]),
      forge(['executions', 1, `' OR true --`]),
      forge(['executions', 1]),
      nextCursor!,
    ]
    for (const cursor of forged)
      await expect(it.queries.executions('default', {}, { limit: 1, cursor }), cursor).rejects.toThrow(BadCursor)
    await expect(it.queries.workflows('default', { limit: 201 })).rejects.toThrow(RangeError)
    await expect(it.queries.workflows('default', { limit: 0 })).rejects.toThrow(RangeError)
  })

  test('reached waits for every projection, and says when it did not happen in time', async () => {
    await using it = await system()
    it.log.record('workflow-default.a', [registered('a')])
    await it.settled()
    const next = (await it.log.head()) + 1
    expect(await it.queries.reached(next, 30)).toBe(false)
    const waiting = [
      it.queries.reached(next, 20_000),
      it.queries.reached(next, 20_000),
      it.queries.reached(next + 1, 1),
    ]
    it.log.record('workflow-default.b', [registered('b')])
    expect(await Promise.all(waiting)).toEqual([true, true, false])
    expect(await it.queries.workflow('default', 'b')).toBeDefined()
  })

  test('projections say where they are and why one stopped', async () => {
    await using it = await system()
    it.log.record('workflow-default.a', [registered('a')])
    await it.settled()
    const calm = { status: 'running', position: 0, lagEvents: 0, lagSeconds: 0 }
    expect(await it.queries.projections()).toEqual([
      { name: 'events', version: 2, ...calm },
      { name: 'executions', version: 4, ...calm },
      { name: 'pools', version: 1, ...calm },
      { name: 'schedules', version: 1, ...calm },
      { name: 'workers', version: 1, ...calm },
      { name: 'workflows', version: 1, ...calm },
    ])
    it.log.record('workflow-default.a', [{ type: 'WorkflowVanished', data: {} }])
    const stopped = await until('the failure', async () =>
      (await it.queries.projections()).find(({ status }) => status === 'failed'),
    )
    expect(stopped).toMatchObject({ name: 'workflows', position: 0, lagEvents: 1 })
    expect(stopped.lagSeconds).toBeGreaterThan(0)
    expect(stopped.error).toContain('WorkflowVanished')
  })
})
