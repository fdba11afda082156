// What holds for every route, and what stands around them.
import { setImmediate as turn } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { problemSchema } from '../../src/api/problems.ts'
import { routeTable } from '../../src/api/routes.ts'
import { type Built, build } from '../support/build.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

type Operation = {
  summary?: string
  tags?: string[]
  requestBody?: { content: Record<string, unknown> }
  parameters?: { name: string }[]
  responses: Record<string, { description?: string; content?: Record<string, unknown> }>
}
type OpenApi = { paths: Record<string, Record<string, Operation>>; components: { schemas: Record<string, unknown> } }

let postgres: TestPostgres
let built: Built
let close: () => Promise<void>
let routes: { method: string; url: string }[]
beforeAll(async () => {
  postgres = await startTestPostgres()
  built = await build({ onTestFinished: (stop) => (close = stop) }, postgres)
  routes = routesOf(built.server.printRoutes({ commonPrefix: false }))
})
afterAll(async () => {
  await close()
  await postgres.stop()
})

/** From the tree that the router prints: `├── /path (GET, HEAD)`, deeper by four characters a level. */
function routesOf(tree: string): { method: string; url: string }[] {
  const stack: string[] = []
  return tree.split('\n').flatMap((line) => {
    const [, indent = '', path = '', methods] = /^([│ ]*)[├└]── (\S*)(?: \((.+)\))?$/.exec(line) ?? []
    if (path === '') return []
    const depth = indent.length / 4
    stack.splice(depth, stack.length, path)
    const url = stack.join('')
    return (methods?.split(', ') ?? []).filter((method) => method !== 'HEAD').map((method) => ({ method, url }))
  })
}

const described = async () => (await built.server.inject('/openapi.json')).json<OpenApi>()
const ofTheApi = () => routes.filter(({ url }) => !url.startsWith('/docs'))

describe('OpenAPI', () => {
  test('every route is described, with what it answers and every error as a problem', async () => {
    const { paths } = await described()
    expect(ofTheApi().length).toBeGreaterThanOrEqual(29)
    for (const { method, url } of ofTheApi()) {
      const operation = paths[url.replace(/:([a-z]+)/gi, '{$1}')]?.[method.toLowerCase()]
      expect(operation, `${method} ${url}`).toMatchObject({ summary: expect.any(String), tags: [expect.any(String)] })
      const { responses, requestBody } = operation!
      const statuses = Object.keys(responses)
      expect(statuses.some((status) => status.startsWith('2'))).toBe(true)
      expect(statuses).toEqual(expect.arrayContaining(['400', '421', '429', '500', '503']))
      if (requestBody) expect(statuses).toEqual(expect.arrayContaining(['408', '413', '415', '422']))
      for (const status of statuses.filter((status) => Number(status) >= 400))
        expect(Object.keys(responses[status]?.content ?? {})).toEqual(['application/problem+json'])
    }
  })

  test('every command says who may ask, and those about runs what may be refused, by code', async () => {
    const { paths } = await described()
    for (const { method, url } of ofTheApi().filter((route) => route.method !== 'GET')) {
      const { parameters = [], responses } = paths[url.replace(/:([a-z]+)/gi, '{$1}')]![method.toLowerCase()]!
      expect(
        parameters.map(({ name }) => name),
        url,
      ).toContain('millrace-actor')
      if (url.includes('/:id/')) expect(responses['404']?.description, url).toContain('EXECUTION_UNKNOWN')
      if (url.includes('/:stage/')) expect(responses['409']?.description, url).toMatch(/STAGE_NOT_\w+/)
    }
    const restore = paths['/v1/{namespace}/executions/{id}/restore']!.post!.responses
    expect(restore['422']?.description).toContain('RESTORE_IMPOSSIBLE')
  })

  test('what is no command, though it is sent as one is, changes nothing', () => {
    const table = routeTable(
      built.app,
      { ready: async () => ({ ok: true, checks: {} }), registry: new Registry() },
      () => ({}),
    )
    const unnamed = table.filter(([method, , , command]) => method !== 'GET' && command === undefined)
    expect(unnamed.map(([, path]) => path)).toEqual([
      '/v1/:namespace/workflows/validate',
      '/v1/:namespace/workflows/generate',
      '/v1/:namespace/workflows/:name/simulate',
      '/v1/:namespace/workflows/:name/failures/backtest',
      '/v1/:namespace/schedules/preview',
      '/v1/:namespace/failures/classify',
      '/v1/:namespace/retention/preview',
    ])
    expect(table.filter(([method, , , command]) => method === 'GET' && command !== undefined)).toEqual([])
  })

  test('every reference leads somewhere', async () => {
    const document = await described()
    const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name]) => name,
    )
    expect(references.length).toBeGreaterThan(0)
    for (const name of references) expect(Object.keys(document.components.schemas)).toContain(name)
  })
})

describe('every route', () => {
  const nothing = '0190b6a0-0000-7000-8000-00000000ffff'
  const filled = (url: string) => url.replace(':id', nothing).replace(':namespace', 'default').replace(/:\w+/g, 'nope')

  test('answers unknown query parameters with a problem', async () => {
    for (const { method, url } of ofTheApi()) {
      const payload = method === 'GET' ? {} : { payload: {} }
      const options = { method: method as 'GET', url: `${filled(url)}?nope=1`, ...payload }
      const response = await built.server.inject(options)
      expect(response.statusCode, url).toBe(400)
      expectProblem(response, 400)
    }
  })

  test('answers names that nobody has, and methods that it has not, with problems', async () => {
    for (const { method, url } of ofTheApi().filter(({ url }) => url.includes(':'))) {
      const response = await built.server.inject({ method: method as 'GET', url: filled(url).replace('default', 'UP') })
      expect(response.statusCode, url).toBeGreaterThanOrEqual(400)
      expect(problemSchema.parse(response.json()).status).toBe(response.statusCode)
    }
    for (const { url } of ofTheApi()) {
      const response = await built.server.inject({ method: 'PATCH', url: filled(url) })
      expectProblem(response, 405, 'METHOD_NOT_ALLOWED')
      expect(response.headers.allow).toMatch(/GET|POST|PUT/)
    }
    expectProblem(await built.server.inject({ method: 'OPTIONS', url: '/v1/default/executions' }), 405)
    expectProblem(await built.server.inject({ method: 'POST', url: '/nowhere', payload: 'x' }), 404, 'NOT_FOUND')
  })

  test('answers no other origin', async () => {
    const response = await built.server.inject({ url: '/health/live', headers: { origin: 'https://evil.example' } })
    expect(response.headers).not.toHaveProperty('access-control-allow-origin')
    expect(response.headers['x-content-type-options']).toBe('nosniff')
    expect(response.headers['content-security-policy']).toContain("default-src 'self'")
  })

  test.each([
    ['localhost', 200],
    ['LOCALHOST:8080', 200],
    ['127.0.0.1:9', 200],
    ['[::1]:9', 200],
    ['evil.example', 421],
    ['localhost.evil.example', 421],
    ['127.0.0.1.evil.example:80', 421],
    ['localhost:80:80', 421],
  ])('answers the Host %j with %i', async (host, status) => {
    const response = await built.server.inject({ url: '/health/live', headers: { host } })
    expect(response.statusCode).toBe(status)
    if (status !== 200) expectProblem(response, status)
  })

  test.each([
    ['https://evil.example', 403],
    ['https://localhost.evil.example', 403],
    ['null', 403],
    ['http://localhost:8080', 404],
    ['http://127.0.0.1:9', 404],
    [undefined, 404],
  ])('a command from a page of %j is answered with %i', async (origin, status) => {
    const url = '/v1/default/workflows/nobody/retire'
    const headers = origin === undefined ? {} : { origin }
    expectProblem(await built.server.inject({ method: 'POST', url, headers }), status)
  })
})

describe('operations', () => {
  test('health, read models, metrics and the schema of a workflow are answered', async () => {
    const get = (url: string) => built.server.inject(url)
    expect((await get('/health/ready')).json()).toEqual({ status: 'ok', checks: { readModels: true } })
    const projections = (await get('/v1/admin/projections')).json()
    expect(projections.items[0]).toMatchObject({ name: expect.any(String), position: expect.stringMatching(/^-?\d+$/) })
    const metrics = await get('/metrics')
    expect(metrics.headers['content-type']).toContain('text/plain')
    expect(metrics.body).toContain('route="/health/ready",status="200"')
    expect(metrics.body).toContain('process_cpu_seconds_total')
    expect((await get('/schemas/workflow.json')).json()).toMatchObject({ title: 'Millrace workflow' })
  })

  test('what is not ready says what is missing', async (t) => {
    const { server } = await build(t, postgres, { ready: async () => ({ ok: false, checks: { readModels: false } }) })
    const response = await server.inject('/health/ready')
    expectProblem(response, 503, 'NOT_READY')
    expect(response.json()).toMatchObject({ checks: { readModels: false } })
    expect(response.headers['retry-after']).toBe('1')
    expect((await server.inject('/health/live')).statusCode).toBe(200)
  })

  test('what is not ready says why, where that is known', async (t) => {
    const checks = { readModels: false, eventLog: false }
    const ready = async () => ({ ok: false, checks, reasons: { eventLog: 'the disk is full' } })
    const { server } = await build(t, postgres, { ready })
    const { detail } = (await server.inject('/health/ready')).json()
    expect(detail).toBe('not ready yet: readModels, eventLog (the disk is full)')
  })

  test('the page of the API brings its own script and lets no other run', async () => {
    const page = await built.server.inject('/docs/')
    const policy = String(page.headers['content-security-policy'])
    const nonce = /script-src 'self' 'nonce-([\w-]+)'/.exec(policy)?.[1]
    expect(nonce).toBeDefined()
    const scripts = [...page.body.matchAll(/<script([^>]*)>/g)].map(([, attributes]) => attributes)
    expect(scripts.length).toBeGreaterThan(0)
    for (const attributes of scripts) expect(attributes).toContain(`nonce="${nonce}"`)
    expect(page.body).not.toMatch(/src="https?:/)
    const [, script = ''] = /src="([^"]+)"/.exec(page.body) ?? []
    expect((await built.server.inject(script)).headers['content-type']).toContain('javascript')
    for (const url of ['/docs', '/docs?a=b']) {
      const same = await built.server.inject(url)
      expect({ status: same.statusCode, body: same.body }).toEqual({ status: 200, body: page.body })
    }
    expect((await built.server.inject('/docsx')).statusCode).toBe(404)
  })
})

describe('limits', () => {
  test('too many requests → 429 before anything is spent on them, but not for what watches the process', async (t) => {
    const { server, store } = await build(t, postgres, { limits: { requestsPerSecond: 2 } })
    const head = await store.head()
    const start = () => server.inject({ method: 'POST', url: '/v1/default/executions', payload: '{' })
    const answers = [await start(), await start(), await start(), await start()]
    expect(answers.map(({ statusCode }) => statusCode)).toContain(429)
    const refused = answers.find(({ statusCode }) => statusCode === 429)!
    expectProblem(refused, 429, 'RATE_LIMITED')
    expect(refused.headers['retry-after']).toBe('1')
    for (let i = 0; i < 5; i++) expect((await server.inject('/health/live')).statusCode).toBe(200)
    expect(await store.head()).toBe(head)
  })

  test('a process whose event loop is late turns requests away', async (t) => {
    // No timer is ever this punctual, so that the first sample, taken after a second, is over the limit.
    const { server } = await build(t, postgres, { limits: { eventLoopDelayMs: 0.001 } })
    const until = performance.now() + 10_000
    let response = await server.inject('/health/live')
    while (response.statusCode === 200 && performance.now() < until) {
      await turn()
      response = await server.inject('/health/live')
    }
    expectProblem(response, 503, 'UNAVAILABLE')
    expect(response.headers['retry-after']).toBe('1')
  })

  test('a fault of our own is a 500 that tells nothing', async (t) => {
    const { server } = await build(t, postgres, {
      queries: (real) => ({ ...real, execution: () => Promise.reject(new TypeError('secret of /src/inside.ts:7')) }),
    })
    const response = await server.inject('/v1/default/executions/0190b6a0-0000-7000-8000-000000000001')
    expectProblem(response, 500, 'INTERNAL')
    expect(response.body).not.toContain('secret')
  })
})
