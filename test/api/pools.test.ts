import type { InjectOptions } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { poolSchema, poolsSchema, utilisationSchema } from '../../src/api/pool-answers.ts'
import { type Built, build } from '../support/build.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

let postgres: TestPostgres
let built: Built
let close: () => Promise<void>
beforeAll(async () => {
  postgres = await startTestPostgres()
  built = await build({ onTestFinished: (stop) => (close = stop) }, postgres)
})
afterAll(async () => {
  await close()
  await postgres.stop()
})

const POOLS = '/v1/default/pools'
const RUNS = '/v1/default/executions'
const inject = (request: InjectOptions | string) => built.server.inject(request)
const define = (name: string, payload: object) => inject({ method: 'PUT', url: `${POOLS}/${name}`, payload })

async function register(name: string, document: object): Promise<void> {
  const answer = await inject({ method: 'PUT', url: `/v1/default/workflows/${name}`, payload: { name, ...document } })
  expect(answer.statusCode, answer.body).toBeLessThan(300)
}
async function start(workflow: string, more: object = {}): Promise<{ id: string; position: string }> {
  const answer = await inject({ method: 'POST', url: RUNS, payload: { workflow, ...more } })
  expect(answer.statusCode, answer.body).toBe(202)
  return answer.json()
}
/** The pool as it is once everything that the log has was taken in. */
async function poolNow(name: string) {
  const head = await built.store.head()
  return poolSchema.parse((await inject(`${POOLS}/${name}?minPosition=${head}&wait=10s`)).json())
}
const poolWith = (name: string, holds: (pool: Awaited<ReturnType<typeof poolNow>>) => boolean) =>
  expect.poll(async () => holds(await poolNow(name)), { timeout: 10_000 }).toBe(true)

describe('a pool over HTTP', () => {
  test('is defined, resized, and answered with who holds it and who waits', async () => {
    expect((await define('production', { slots: 2, cpu: 1.5, memory: '2Gi' })).statusCode).toBe(201)
    const again = await define('production', { slots: 1, cpu: 1.5, memory: '2Gi' })
    expect([again.statusCode, again.json()]).toEqual([
      200,
      { name: 'production', position: expect.stringMatching(/^\d+$/) },
    ])
    await register('deploying', {
      stages: { deploy: { uses: 'forever', resources: { pool: 'production', slots: 1, cpu: 0.5, memory: '1Gi' } } },
    })
    const [first, second] = [await start('deploying'), await start('deploying', { priority: 7 })]
    await poolWith('production', ({ waiting }) => waiting[0]?.reason === 'capacity')
    expect(await poolNow('production')).toMatchObject({
      capacity: { slots: 1, cpu: 1.5, memory: 2 ** 31, disk: 0 },
      inUse: { slots: 1, cpu: 0.5, memory: 2 ** 30, disk: 0 },
      heldCount: 1,
      held: [{ executionId: first.id, stage: 'deploy', attempt: 1, fence: '1', amounts: { slots: 1, cpu: 0.5 } }],
      waitingCount: 1,
      waiting: [
        {
          ...{ executionId: second.id, stage: 'deploy', workflow: 'deploying', priority: 7, reason: 'capacity' },
          short: ['slots'],
          blockers: [{ executionId: first.id, stage: 'deploy' }],
        },
      ],
    })
    const waiting = (await inject(`${RUNS}/${second.id}`)).json().stages.deploy
    expect(waiting).toMatchObject({
      status: 'waiting',
      attempt: 0,
      waiting: { for: 'pool', pool: 'production', reason: 'capacity', short: ['slots'] },
    })
    expect((await inject(`${RUNS}/${second.id}/state`)).json().stages.deploy).toEqual(waiting)

    // Capacity grows while both are there: the second goes on without waiting for the first.
    await define('production', { slots: 2, cpu: 1.5, memory: '2Gi' })
    await poolWith('production', ({ heldCount }) => heldCount === 2)
    for (const { id } of [first, second]) await inject({ method: 'POST', url: `${RUNS}/${id}/cancel` })
    await poolWith('production', ({ heldCount, waitingCount }) => heldCount === 0 && waitingCount === 0)
  })

  test('is listed, page by page', async () => {
    for (const name of ['page-a', 'page-b', 'page-c']) await define(name, { slots: 1 })
    const head = await built.store.head()
    const first = poolsSchema.parse((await inject(`${POOLS}?limit=2&minPosition=${head}&wait=10s`)).json())
    const rest = poolsSchema.parse((await inject(`${POOLS}?limit=50&cursor=${first.nextCursor}`)).json())
    const names = [...first.items, ...rest.items].map(({ name }) => name)
    expect(names).toEqual([...names].sort())
    expect(names).toEqual(expect.arrayContaining(['page-a', 'page-b', 'page-c']))
    expect(rest.nextCursor).toBeNull()
    expect((await inject('/v1/other/pools')).json()).toEqual({ items: [], nextCursor: null })
    expectProblem(await inject('/v1/other/pools/page-a'), 404, 'POOL_UNKNOWN')
    expectProblem(await inject(`${POOLS}?cursor=forged`), 400, 'CURSOR_INVALID')
  })

  test('tells how much of it was in use over time', async () => {
    const slots = (count: number) => ({ slots: count, cpuMillicores: 500 * count, memoryBytes: 0, diskBytes: 0 })
    const holder = { executionId: crypto.randomUUID(), stage: 'work', attempt: 1 }
    const [capacity, fence] = [slots(4), 1]
    const told: readonly (readonly [minute: number, type: string, data: object])[] = [
      [0, 'PoolDefined', { name: 'used', capacity }],
      [1, 'CapacityGranted', { holder, amounts: slots(3), fence, capacity, inUse: slots(3) }],
      [2, 'CapacityReleased', { holder, fence, capacity, inUse: slots(0) }],
    ]
    const metadata = { namespace: 'past', correlationId: crypto.randomUUID(), actor: 'user:ada' }
    const events = told.map(([minute, type, data]) => ({
      ...{ id: crypto.randomUUID(), type, version: 1, at: `2026-01-02T03:0${minute}:00.000Z`, data },
      metadata: { ...metadata, commandId: crypto.randomUUID() },
    }))
    const { position } = await built.store.append('pool-past.used', 'noStream', events)
    const ask = async (query: string) => {
      const url = `/v1/past/pools/used/utilisation?${query}&minPosition=${position}&wait=10s`
      const answer = await inject(url)
      expect(answer.statusCode, answer.body).toBe(200)
      return utilisationSchema.parse(answer.json()).items
    }
    const minutes = await ask('from=2026-01-02T02:59:00Z&to=2026-01-02T03:04:00Z&step=1m')
    expect(minutes.map(({ from, inUse, most }) => [from.slice(14, 16), inUse.slots, most.cpu])).toEqual([
      ['00', 0, 0],
      ['01', 3, 1.5],
      ['02', 0, 0],
      ['03', 0, 0],
    ])
    const [whole] = await ask('from=2026-01-02T03:00:30Z&to=2026-01-02T03:02:30Z&step=2m')
    expect(whole).toMatchObject({
      inUse: { slots: 1.5, cpu: 0.75 },
      capacity: { slots: 4, cpu: 2 },
      most: { slots: 3 },
    })
    const day = (await inject('/v1/past/pools/used/utilisation')).json()
    expect(utilisationSchema.parse(day).stepMs).toBe(900_000)
  })

  test.each<[string, object]>([
    ['/slots', { slots: -1 }],
    ['/slots', { slots: 1.5 }],
    ['/slots', { slots: 'many' }],
    ['/memory', { memory: 'much' }],
    ['/disk', { disk: '99999Ti' }],
    ['/cpu', { cpu: 1e9 }],
    ['/gpu', { gpu: 1 }],
  ])('is not defined with a fault at %s', async (pointer, payload) => {
    const { errors } = expectProblem(await define('bad', payload), 400, 'REQUEST_INVALID')
    expect(errors[0]?.pointer).toBe(pointer)
    expectProblem(await inject(`${POOLS}/bad`), 404, 'POOL_UNKNOWN')
  })

  test.each(['step=0s', 'step=soon', 'step=1s&from=2020-01-01T00:00:00Z', 'from=2999-01-01T00:00:00Z', 'x=1'])(
    'its utilisation is not asked with %s',
    async (query) => {
      await define('used', { slots: 4 })
      expectProblem(await inject(`${POOLS}/used/utilisation?${query}`), 400, 'REQUEST_INVALID')
    },
  )
})

test('a workflow that asks for what no pool has is refused, with the place and what to do', async () => {
  await define('small', { slots: 1 })
  const stages = {
    a: { uses: 'echo', resources: { pool: 'nowhere' } },
    b: { uses: 'echo', resources: { pool: 'small', slots: 2, cpu: 1 } },
    c: { uses: 'echo', resources: { pool: 'small' } },
  }
  const payload = { name: 'asking', stages }
  const problem = expectProblem(
    await inject({ method: 'PUT', url: '/v1/default/workflows/asking', payload }),
    422,
    'DEFINITION_INVALID',
  )
  expect(problem.errors).toEqual([
    {
      pointer: '/stages/a/resources/pool',
      message: 'there is no pool "nowhere" here; define it with PUT /v1/default/pools/nowhere',
    },
    { pointer: '/stages/b/resources/slots', message: 'all of the pool small is less than this asks for' },
    { pointer: '/stages/b/resources/cpu', message: 'all of the pool small is less than this asks for' },
  ])
})

describe('a concurrency group over HTTP', () => {
  const grouped = (onConflict: string) => ({
    concurrency: { group: `${onConflict}-\${{ input.service }}`, onConflict },
    stages: { work: { uses: 'forever' } },
  })
  const view = async (id: string) => {
    const head = await built.store.head()
    return (await inject(`${RUNS}/${id}?minPosition=${head}&wait=10s`)).json()
  }

  test('queues runs of one group, and says for whom each waits', async () => {
    await register('queueing', grouped('queue'))
    const [first, second, third] = [
      await start('queueing', { input: { service: 'web' } }),
      await start('queueing', { input: { service: 'web' } }),
      await start('queueing', { input: { service: 'api' } }),
    ]
    await built.happened(second.id, 'ExecutionDeferred')
    expect(await view(second.id)).toMatchObject({
      status: 'running',
      waiting: { for: 'concurrency', group: 'queue-web', blockers: [{ executionId: first.id }] },
      stages: { work: { status: 'blocked' } },
    })
    await built.happened(third.id, 'StageScheduled')
    expectProblem(await inject({ method: 'POST', url: `${RUNS}/${second.id}/pause` }), 409, 'EXECUTION_QUEUED')
    await inject({ method: 'POST', url: `${RUNS}/${first.id}/cancel` })
    await built.happened(second.id, 'StageScheduled')
    expect(await view(second.id)).not.toHaveProperty('waiting')
    for (const { id } of [second, third]) await inject({ method: 'POST', url: `${RUNS}/${id}/cancel` })
  })

  test('rejects the run that finds its group full, before anything is written', async () => {
    await register('rejecting', grouped('reject'))
    const payload = { workflow: 'rejecting', input: { service: 'web' } }
    const { id } = await start('rejecting', { input: payload.input })
    await built.happened(id, 'StageScheduled')
    const head = await built.store.head()
    expectProblem(await inject({ method: 'POST', url: RUNS, payload }), 409, 'CONCURRENCY_LIMIT')
    for await (const events of built.store.readAll({ after: head, prefixes: ['execution-'] }))
      expect(events.map(({ type }) => type)).not.toContain('ExecutionStarted')
    await inject({ method: 'POST', url: `${RUNS}/${id}/cancel` })
    await built.ended(id)
  })

  test('of which the input gives no name starts nothing', async () => {
    await register('queueing', grouped('queue'))
    const payload = { workflow: 'queueing', input: {} }
    expectProblem(await inject({ method: 'POST', url: RUNS, payload }), 422, 'INPUT_INVALID')
  })
})
