import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'
import { executionSchema, executionsSchema, graphSchema, historySchema, logsSchema } from '../../src/api/answers.ts'
import { type Built, build } from '../support/build.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

const RUNS = '/v1/default/executions'
const release = {
  name: 'release',
  stages: { build: { uses: 'echo', with: { say: 'hello' } }, test: { uses: 'echo', needs: ['build'] } },
}

async function started(t: TestContext, document: { name: string; stages: object } = release, options = {}) {
  const built = await build(t, postgres, options)
  const { server } = built
  await server.inject({ method: 'PUT', url: `/v1/default/workflows/${document.name}`, payload: document })
  const response = await server.inject({ method: 'POST', url: RUNS, payload: { workflow: document.name } })
  expect(response.statusCode).toBe(202)
  const { id, position } = response.json<{ id: string; position: string }>()
  return { ...built, id, position, url: `${RUNS}/${id}`, get: getter(built) }
}

const getter =
  ({ server }: Built) =>
  (url: string, headers = {}) =>
    server.inject({ method: 'GET', url, headers })

test('a run is started, runs, and is answered with what it did', async (t) => {
  const { url, get, ended, id, store } = await started(t)
  await ended(id)
  const response = await get(`${url}?minPosition=${await store.head()}&wait=20s`)
  const run = executionSchema.strict().parse(response.json())
  expect(run).toMatchObject({ id, namespace: 'default', workflow: 'release', version: 1, status: 'completed' })
  expect(run.stages.build).toMatchObject({ status: 'completed', attempt: 1, output: { say: 'hello' } })
})

test('a query waits for the position of a command', async (t) => {
  const { url, get, position } = await started(t)
  const response = await get(`${url}?minPosition=${position}&wait=20s`)
  expect(response.statusCode).toBe(200)
  expect(BigInt(response.json().position)).toBeGreaterThanOrEqual(BigInt(position))
})

test('a query that would be older than asked for says so, and how far behind it is', async (t) => {
  const { url, get, position } = await started(t, release, { projecting: false })
  const response = await get(`${url}?minPosition=${position}&wait=1ms`)
  expectProblem(response, 503, 'POSITION_NOT_REACHED')
  expect(response.headers['retry-after']).toBe('1')
  expect(response.json()).toMatchObject({ lagEvents: expect.any(Number), lagSeconds: expect.any(Number) })
})

test('a position that the log has not reached is called that', async (t) => {
  const { url, get, ended, store, id } = await started(t)
  await ended(id)
  const head = await store.head()
  const response = await get(`${url}?minPosition=${head + 1_000}&wait=1ms`)
  expectProblem(response, 503, 'POSITION_NOT_REACHED')
  expect(response.headers['retry-after']).toBe('1')
  expect(response.json().detail).toBe(
    `position ${head + 1_000} lies ahead of the log, whose head is at position ${head}: no command was answered with it yet`,
  )
})

test('what the read models cannot be asked for is answered 503, and what the log knows still 200', async (t) => {
  const refused = () => Promise.reject(Object.assign(new Error('connect 127.0.0.1:1'), { code: 'ECONNREFUSED' }))
  const { url, get } = await started(t, release, {
    queries: (real: object) => ({ ...real, execution: refused }),
  })
  expectProblem(await get(url), 503, 'UNAVAILABLE')
  expect((await get(`${url}/state`)).statusCode).toBe(200)
})

test('an idempotency key answers again what it answered first, and is not for another body', async (t) => {
  const { server, store } = await started(t)
  const start = (payload: object) =>
    server.inject({ method: 'POST', url: RUNS, payload, headers: { 'idempotency-key': 'once' } })
  const first = await start({ workflow: 'release', input: { a: 1, b: 2 } })
  const again = await start({ input: { b: 2, a: 1 }, workflow: 'release' })
  expect(again.statusCode).toBe(202)
  expect(again.json()).toEqual(first.json())
  const events = async () => {
    let count = 0
    for await (const [event] of store.readStream(`execution-${first.json().id}`, { limit: 1 })) count += event ? 1 : 0
    return count
  }
  expectProblem(await start({ workflow: 'release', input: { a: 2 } }), 422, 'IDEMPOTENCY_KEY_REUSED')
  expect(await events()).toBe(1)
})

test('the trace context of a request stands in the events, one that is not valid does not', async (t) => {
  const { server, get } = await started(t)
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const traceOf = async (traceparent: string) => {
    const payload = { workflow: 'release' }
    const response = await server.inject({ method: 'POST', url: RUNS, payload, headers: { traceparent } })
    const history = await get(`${RUNS}/${response.json().id}/history?limit=1`)
    return history.json().items[0].metadata.traceparent
  }
  expect(await traceOf(trace)).toBe(trace)
  expect(await traceOf('00-0-0-0')).toBeUndefined()
})

test('runs are listed by page and filtered', async (t) => {
  const { server, get, store } = await started(t)
  for (const team of ['ops', 'web', 'web'])
    await server.inject({ method: 'POST', url: RUNS, payload: { workflow: 'release', labels: { team } } })
  const fresh = `minPosition=${await store.head()}&wait=20s`
  const page = executionsSchema.strict().parse((await get(`${RUNS}?limit=3&${fresh}`)).json())
  expect(page.items).toHaveLength(3)
  const rest = (await get(`${RUNS}?limit=3&cursor=${page.nextCursor}`)).json()
  expect(rest.items).toHaveLength(1)
  expect(rest.nextCursor).toBeNull()
  expect((await get(`${RUNS}?label=team=web&workflow=release`)).json().items).toHaveLength(2)
  expect((await get(`${RUNS}?from=2999-01-01T00:00:00Z`)).json().items).toHaveLength(0)
  expect((await get('/v1/other/executions')).json().items).toHaveLength(0)
})

test('a history comes by page, from any revision, or whole as lines', async (t) => {
  const { url, get, ended, id } = await started(t)
  await ended(id)
  const page = historySchema.strict().parse((await get(`${url}/history?limit=2`)).json())
  expect(page.items.map(({ type }) => type)).toEqual(['ExecutionStarted', 'StageScheduled'])
  const rest = (await get(`${url}/history?cursor=${page.nextCursor}`)).json()
  expect(rest.items[0]).toMatchObject({ revision: '2', stream: `execution-${id}` })
  expect(rest.nextCursor).toBeNull()
  expect((await get(`${url}/history?from=2`)).json()).toEqual(rest)

  const stream = await get(`${url}/history`, { accept: 'application/x-ndjson' })
  expect(stream.headers['content-type']).toContain('application/x-ndjson')
  const lines = stream.body.trimEnd().split('\n')
  expect(lines.map((line) => JSON.parse(line))).toEqual([...page.items, ...rest.items])
  const two = await get(`${url}/history?limit=2&from=1`, { accept: 'application/x-ndjson' })
  expect(two.body.trimEnd().split('\n')).toEqual(lines.slice(1, 3))
  expectProblem(await get(`${RUNS}/${crypto.randomUUID()}/history`, { accept: 'application/x-ndjson' }), 404)
})

test('a run is answered as it was at any revision', async (t) => {
  const { url, get, ended, id } = await started(t)
  await ended(id)
  const then = executionSchema.strict().parse((await get(`${url}/state?revision=1`)).json())
  expect(then).toMatchObject({ status: 'running', revision: '1', stages: { build: { status: 'scheduled' } } })
  expect((await get(`${url}/state`)).json().status).toBe('completed')
  expectProblem(await get(`${url}/state?revision=999`), 404, 'REVISION_UNKNOWN')
})

test('the graph says what waits for what, and where each stage stands', async (t) => {
  const { url, get, ended, id } = await started(t)
  await ended(id)
  const graph = graphSchema.strict().parse((await get(`${url}/graph?revision=1`)).json())
  expect(graph.edges).toEqual([{ from: 'build', to: 'test' }])
  expect(graph.nodes).toEqual([
    { id: 'build', uses: 'echo', level: 0, status: 'scheduled', attempt: 1 },
    { id: 'test', uses: 'echo', level: 1, status: 'blocked', attempt: 0 },
  ])
})

test('logs come by page, after any line, or as text', async (t) => {
  const { url, get, ended, id } = await started(t)
  await ended(id)
  const logs = logsSchema.strict().parse((await get(`${url}/stages/build/logs?limit=2`)).json())
  expect(logs).toMatchObject({ attempt: 1, items: [{ text: 'one' }, { text: 'two' }], nextCursor: '2' })
  const rest = (await get(`${url}/stages/build/logs?cursor=2`)).json()
  expect(rest).toMatchObject({ items: [{ line: 3, text: 'three' }], nextCursor: null })
  const text = await get(`${url}/stages/build/logs`, { accept: 'text/plain' })
  expect(text.body).toBe('one\ntwo\nthree\n')
  expectProblem(await get(`${url}/stages/nope/logs`), 404, 'STAGE_UNKNOWN')
  expect((await get(`${url}/stages/build/logs?attempt=7`)).json().items).toEqual([])
})

test('a run is cancelled without a body, and only once', async (t) => {
  const { server, url, happened, ended, id, get } = await started(t, {
    name: 'endless',
    stages: { spin: { uses: 'forever' }, after: { uses: 'echo', needs: ['spin'] } },
  })
  await happened(id, 'StageStarted')
  expect((await get(`${url}/stages/after/logs`)).json()).toMatchObject({ attempt: 0, items: [] })
  const cancelled = await server.inject({ method: 'POST', url: `${url}/cancel` })
  expect(cancelled.statusCode).toBe(202)
  expect(cancelled.json()).toMatchObject({ id, position: expect.stringMatching(/^\d+$/) })
  await ended(id)
  expect((await get(`${url}/state`)).json().status).toBe('cancelled')
})

test('a run that has ended cannot be cancelled, nor a stage of it retried', async (t) => {
  const { server, url, ended, id } = await started(t)
  await ended(id)
  expectProblem(await server.inject({ method: 'POST', url: `${url}/cancel` }), 409, 'EXECUTION_ALREADY_ENDED')
  expectProblem(await server.inject({ method: 'POST', url: `${url}/stages/build/retry` }), 409)
})

test('a stage that waits to be retried is retried at once when a person asks', async (t) => {
  const retry = { maxAttempts: 2, backoff: { type: 'fixed', initial: '1h', max: '1h' } }
  const { server, url, happened, ended, id, get } = await started(t, {
    name: 'flaky',
    stages: { shaky: { uses: 'flaky', retry } },
  })
  await happened(id, 'StageRetried')
  const retried = await server.inject({ method: 'POST', url: `${url}/stages/shaky/retry`, payload: {} })
  expect(retried.statusCode).toBe(202)
  await ended(id)
  expect((await get(`${url}/state`)).json().stages.shaky).toMatchObject({ status: 'completed', attempt: 2 })
})
