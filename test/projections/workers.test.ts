import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId } from '../../src/commands/new-id.ts'
import { workerStream } from '../../src/domain/worker/events.ts'
import { startProjector } from '../../src/projections/start.ts'
import { createQueries } from '../../src/queries/create-queries.ts'
import { BadCursor } from '../../src/queries/page.ts'
import { silent, startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { scheduled, started } from '../support/runs.ts'
import { aRegistration, drainingWorker, lostWorker, registeredWorker, stoppedWorker } from '../support/worker-lives.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

async function system() {
  const log = recordedLog()
  const { url, pool } = await postgres.createReadModels()
  const stop = new AbortController()
  const { stopped } = startProjector({ store: log, pool, logger: silent, signal: stop.signal })
  const queries = createQueries({ url, pool, head: log.head })
  return {
    log,
    pool,
    async listed(namespace = 'default', filter: Parameters<typeof queries.workers>[1] = {}, limit = 50) {
      expect(await queries.reached(await log.head(), 20_000)).toBe(true)
      return queries.workers(namespace, filter, { limit })
    },
    page: (limit: number, cursor: string) => queries.workers('default', {}, { limit, cursor }),
    async [Symbol.asyncDispose]() {
      stop.abort()
      await stopped
      await queries.close()
      await pool.end()
    },
  }
}

const at = (second: number): string => `2026-01-02T03:04:${String(second).padStart(2, '0')}.000Z`

test('a worker shows what it said of itself, how it is, and since when', async () => {
  await using it = await system()
  const id = newId()
  const shown = async () => (await it.listed()).items[0]
  it.log.record(workerStream(id), [registeredWorker()], { at: at(1) })
  const view = { id, ...aRegistration(), registeredAt: at(1), running: 0 }
  expect(await shown()).toEqual({ ...view, status: 'running', since: at(1) })
  it.log.record(workerStream(id), [lostWorker], { at: at(2) })
  const reason = 'it holds its lease no more'
  expect(await shown()).toEqual({ ...view, status: 'lost', since: at(2), reason })
  const changed = { labels: [], handlers: [{ name: 'shell', version: 'a\0b' }] }
  it.log.record(workerStream(id), [registeredWorker(changed)], { at: at(3) })
  expect(await shown()).toEqual({ ...view, ...changed, status: 'running', since: at(3) })
  it.log.record(workerStream(id), [drainingWorker], { at: at(4) })
  expect(await shown()).toMatchObject({ status: 'draining', since: at(4) })
  it.log.record(workerStream(id), [stoppedWorker], { at: at(5) })
  expect(await shown()).toEqual({ ...view, ...changed, status: 'stopped', since: at(5) })
})

test('workers are listed the newest first, page by page and by status', async () => {
  await using it = await system()
  // Within one millisecond chance orders them.
  const ids = [1, 2, 3, 4, 5].map(() => newId()).sort()
  for (const [index, id] of ids.entries())
    it.log.record(workerStream(id), [registeredWorker(), ...(index % 2 === 0 ? [lostWorker] : [])])
  const newest = ids.toReversed()
  const listed = async (filter = {}) => (await it.listed('default', filter)).items.map(({ id }) => id)
  expect(await listed()).toEqual(newest)
  expect(await listed({ status: 'running' })).toEqual([ids[3], ids[1]])
  expect(await listed({ status: 'stopped' })).toEqual([])
  const first = await it.listed('default', {}, 2)
  const second = await it.page(2, first.nextCursor!)
  const third = await it.page(2, second.nextCursor!)
  expect([first, second, third].flatMap(({ items }) => items.map(({ id }) => id))).toEqual(newest)
  expect(third.nextCursor).toBeNull()
  const forged = Buffer.from(JSON.stringify(['workers', 'x'])).toString('base64url')
  await expect(it.page(2, forged)).rejects.toThrow(BadCursor)
})

test('what a worker runs is counted in the namespace that was asked about', async () => {
  await using it = await system()
  const [busy, gone] = [newId(), newId()].sort() as [string, string]
  for (const id of [busy, gone]) it.log.record(workerStream(id), [registeredWorker()])
  it.log.record(workerStream(gone), [stoppedWorker])
  const run = (namespace: string, worker: string, ends: boolean) => {
    const id = randomUUID()
    const start = { type: 'StageStarted', data: { stage: 'build', attempt: 1, worker, timeoutMs: 1_000 } }
    const end = { type: 'StageCompleted', data: { stage: 'build', attempt: 1, output: null } }
    const events = [started(id, { namespace }), scheduled('build'), start, ...(ends ? [end] : [])]
    it.log.record(`execution-${id}`, events, { namespace })
  }
  for (let n = 0; n < 3; n++) run('default', busy, false)
  run('default', busy, true)
  run('other', busy, false)
  run('default', gone, false)
  const counts = async (namespace: string) => (await it.listed(namespace)).items.map(({ id, running }) => [id, running])
  expect(await counts('default')).toEqual([
    [gone, 0],
    [busy, 3],
  ])
  expect(await counts('other')).toEqual([
    [gone, 0],
    [busy, 1],
  ])
})
