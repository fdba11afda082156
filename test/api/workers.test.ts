// Workers and queues over HTTP, and stages that wait for a worker with their labels.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { queuesSchema, workersSchema } from '../../src/api/worker-answers.ts'
import { type Built, build } from '../support/build.ts'
import { headBesidesAudit } from '../support/head-besides-audit.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

async function workersOf({ server, store }: Built, query = '') {
  const url = `/v1/default/workers?minPosition=${await store.head()}&wait=20s${query}`
  const answer = await server.inject(url)
  expect(answer.statusCode, answer.body).toBe(200)
  return workersSchema.strict().parse(answer.json()).items
}
const queuesOf = async ({ server }: Built) =>
  queuesSchema.strict().parse((await server.inject('/v1/default/queues')).json()).items

async function start({ server }: Built, stages: object, more: object = {}): Promise<string> {
  const document = { name: 'train', stages }
  const registered = await server.inject({ method: 'PUT', url: '/v1/default/workflows/train', payload: document })
  expect(registered.statusCode, registered.body).toBeLessThan(300)
  const payload = { workflow: 'train', ...more }
  const started = await server.inject({ method: 'POST', url: '/v1/default/executions', payload })
  expect(started.statusCode, started.body).toBe(202)
  return started.json<{ id: string }>().id
}

describe('a stage that asks for labels', () => {
  test('waits while no worker has them, says so, and runs on the one that has', async (t) => {
    const built = await build(t, postgres)
    const id = await start(built, { fit: { uses: 'echo', runsOn: ['linux', 'gpu'] }, see: { uses: 'echo' } })
    await built.happened(id, 'StageCompleted')
    const waiting = (await queuesOf(built)).find(({ labels }) => labels.length > 0)
    expect(waiting).toEqual({
      ...{ queue: 'default', labels: ['gpu', 'linux'], depth: 1, running: 0, consumers: 0 },
      ...{ oldestAt: expect.any(String), perMinute: { published: 1, taken: 0 } },
    })
    const { stages } = (await built.server.inject(`/v1/default/executions/${id}/state`)).json()
    expect([stages.see.status, stages.fit.status]).toEqual(['completed', 'scheduled'])

    await built.startWorker(['arm', 'linux']).registered
    expect((await queuesOf(built)).map(({ labels, consumers }) => [labels.join(), consumers])).toEqual([
      ['', 2],
      ['gpu,linux', 0],
    ])
    await built.startWorker(['gpu', 'large', 'linux']).registered
    await built.ended(id)
    const able = (await workersOf(built)).find(({ labels }) => labels.includes('gpu'))
    const events = (await built.server.inject(`/v1/default/executions/${id}/history`)).json().items
    const started = events.find(
      ({ type, data }: { type: string; data: { stage?: string } }) => type === 'StageStarted' && data.stage === 'fit',
    )
    expect(started.data.worker).toBe(able?.id)
    expect((await queuesOf(built))[1]).toMatchObject({ labels: ['gpu', 'linux'], depth: 0, consumers: 1 })
  })

  test('waits no more once its run is cancelled', async (t) => {
    const built = await build(t, postgres)
    const id = await start(built, { fit: { uses: 'echo', runsOn: 'gpu' } })
    const depth = async () => (await queuesOf(built)).find(({ labels }) => labels.length > 0)?.depth
    await expect.poll(depth).toBe(1)
    await built.server.inject({ method: 'POST', url: `/v1/default/executions/${id}/cancel`, payload: {} })
    await built.ended(id)
    await expect.poll(depth).toBe(0)
  })

  test('is measured for Prometheus', async (t) => {
    const built = await build(t, postgres)
    const id = await start(built, { fit: { uses: 'echo', runsOn: 'gpu' } })
    await built.happened(id, 'StageScheduled')
    await expect
      .poll(async () => (await built.server.inject('/metrics')).body)
      .toContain('millrace_queue_depth{queue="default",labels="gpu"} 1')
    const { body } = await built.server.inject('/metrics')
    expect(body).toContain('millrace_queue_consumers{queue="default",labels="gpu"} 0')
    expect(body).toContain('millrace_queue_consumers{queue="default",labels=""} 1')
    expect(body).toMatch(/millrace_queue_oldest_seconds\{queue="default",labels="gpu"\} \d/)
    expect(body).toContain('millrace_queue_published_total{queue="default",labels="gpu"} 1')
    expect(body).toContain('millrace_queue_taken_total{queue="default",labels="gpu"} 0')
  })
})

describe('workers', () => {
  test('show what they are and how much they run here', async (t) => {
    const built = await build(t, postgres)
    const id = await start(built, { a: { uses: 'forever' }, b: { uses: 'forever' } })
    await expect
      .poll(async () => (await workersOf(built)).map(({ running }) => running), { timeout: 10_000 })
      .toEqual([2])
    const [worker] = await workersOf(built)
    expect(worker).toMatchObject({
      ...{ status: 'running', host: 'test', pid: process.pid, version: '0.0.0', labels: [], concurrency: 16 },
      queues: [{ name: 'default' }],
      handlers: [{ name: 'echo' }, { name: 'flaky' }, { name: 'forever' }],
    })
    const elsewhere = await built.server.inject('/v1/other/workers')
    expect(elsewhere.json().items).toMatchObject([{ id: worker!.id, running: 0 }])
    await built.server.inject({ method: 'POST', url: `/v1/default/executions/${id}/cancel`, payload: {} })
    await built.ended(id)
  })

  test('that are drained show as stopped, and are found by it', async (t) => {
    const built = await build(t, postgres)
    const other = built.startWorker(['gpu'])
    await other.registered
    await built.worker.drain(0)
    expect((await workersOf(built)).map(({ status, labels }) => `${status} ${labels.join()}`).sort()).toEqual([
      'running gpu',
      'stopped ',
    ])
    expect((await workersOf(built, '&status=running')).map(({ labels }) => labels)).toEqual([['gpu']])
    expect(await workersOf(built, '&status=lost')).toEqual([])
    const first = await built.server.inject('/v1/default/workers?limit=1')
    const next = await built.server.inject(`/v1/default/workers?limit=1&cursor=${first.json().nextCursor}`)
    expect([first, next].flatMap((page) => page.json().items)).toHaveLength(2)
    expect(next.json().nextCursor).toBeNull()
  })

  test('and queues refuse what they do not know', async (t) => {
    const { server, store } = await build(t, postgres, { projecting: false })
    const head = await headBesidesAudit(store)
    for (const query of ['status=busy', 'status=', 'status=lost&status=lost', 'limit=0', 'limit=1e9', 'label=gpu'])
      expectProblem(await server.inject(`/v1/default/workers?${query}`), 400, 'REQUEST_INVALID')
    expectProblem(await server.inject('/v1/default/workers?cursor=WyJ4Il0'), 400, 'CURSOR_INVALID')
    expectProblem(await server.inject('/v1/default/queues?limit=1'), 400, 'REQUEST_INVALID')
    expectProblem(await server.inject('/v1/admin/queues'), 404)
    expectProblem(await server.inject('/v1/UP/workers'), 404)
    for (const runsOn of ['GPU', ['a', 'b', 'c', 'd', 'e'], [], [7], '${{ input.os }}']) {
      const payload = { name: 'bad', stages: { a: { uses: 'echo', runsOn } } }
      const answer = await server.inject({ method: 'PUT', url: '/v1/default/workflows/bad', payload })
      const { errors } = expectProblem(answer, 422, 'DEFINITION_INVALID')
      expect(errors[0]?.pointer).toMatch(/^\/stages\/a\/runsOn/)
    }
    expect(await headBesidesAudit(store)).toBe(head)
  })
})
