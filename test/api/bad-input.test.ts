// Bad input over HTTP: what it gets is a problem, the process lives on, and no event is written.
import type { InjectOptions } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Built, build } from '../support/build.ts'
import { headBesidesAudit } from '../support/head-besides-audit.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

let postgres: TestPostgres
let built: Built
let close: () => Promise<void>
let run: string
beforeAll(async () => {
  postgres = await startTestPostgres()
  built = await build({ onTestFinished: (stop) => (close = stop) }, postgres)
  const payload = { name: 'release', stages: { build: { uses: 'echo' } } }
  await built.server.inject({ method: 'PUT', url: '/v1/default/workflows/release', payload })
  const started = await built.server.inject({ method: 'POST', url: RUNS, payload: { workflow: 'release' } })
  run = started.json().id
  await built.ended(run)
})
afterAll(async () => {
  await close()
  await postgres.stop()
})

const RUNS = '/v1/default/executions'
const WORKFLOW = '/v1/default/workflows/release'

async function refused(request: InjectOptions, status: number, code?: string) {
  const head = await headBesidesAudit(built.store)
  const problem = expectProblem(await built.server.inject(request), status, code)
  expect(await headBesidesAudit(built.store), 'no event is written').toBe(head)
  expect((await built.server.inject('/health/live')).statusCode, 'the process lives on').toBe(200)
  return problem
}

const json = (payload: string | Buffer, type = 'application/json'): InjectOptions => ({
  method: 'POST',
  url: RUNS,
  payload,
  headers: { 'content-type': type },
})

describe('JSON', () => {
  const deep = `{"workflow":"release","input":${'['.repeat(10_000)}${']'.repeat(10_000)}}`
  test.each([
    ['empty', ''],
    ['blank', '  \n'],
    ['cut', '{"workflow":"rel'],
    ['no JSON', "{'workflow': 'release'}"],
    ['10,000 deep', deep],
    ['__proto__', '{"workflow":"release","input":{"__proto__":{"admin":true}}}'],
    ['__proto__ escaped', '{"workflow":"release","input":{"\\u005f_proto__":{"admin":true}}}'],
    ['constructor.prototype', '{"workflow":"release","input":{"constructor":{"prototype":{"admin":true}}}}'],
    ['1e400', '{"workflow":"release","input":1e400}'],
    ['NUL', '{"workflow":"release","input":"a\\u0000b"}'],
    ['a raw NUL', '{"workflow":"release","input":"a\0b"}'],
    ['half a surrogate pair', '{"workflow":"release","input":"\\ud800"}'],
  ])('%s → 400', async (_, payload) => {
    await refused(json(payload), 400, 'BODY_MALFORMED')
  })

  test('bad UTF-8 → 400', async () => {
    const payload = Buffer.concat([Buffer.from('{"workflow":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')])
    await refused(json(payload), 400, 'BODY_MALFORMED')
  })

  test.each([
    ['a list', '[]', ''],
    ['null', 'null', ''],
    ['text', '"release"', ''],
    ['an unknown member', '{"workflow":"release","a/b":1}', '/a~1b'],
    ['a missing member', '{}', '/workflow'],
    ['a member of another type', '{"workflow":"release","priority":"high"}', '/priority'],
    ['a priority out of bounds', '{"workflow":"release","priority":101}', '/priority'],
    ['a label of a bad name', '{"workflow":"release","labels":{"1 2":"x"}}', '/labels/1 2'],
  ])('%s → 400 with a pointer', async (_, payload, pointer) => {
    const { errors } = await refused(json(payload), 400, 'REQUEST_INVALID')
    expect(errors.map((fault) => fault.pointer)).toContain(pointer)
  })

  test('a body over the limit → 413', async () => {
    await refused(json(JSON.stringify({ workflow: 'release', input: 'x'.repeat(1_048_576) })), 413, 'BODY_TOO_LARGE')
  })

  test('more than an event may hold → 413', async () => {
    const input = 'é'.repeat(510_000)
    await refused(json(JSON.stringify({ workflow: 'release', input })), 413, 'EVENT_TOO_LARGE')
  })

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/problem+json',
    'application/vnd.api+json',
    'application/json5',
    'application/jsonx',
    'application/json; charset=utf-16',
    'application/json, text/plain',
    'nonsense',
    'application/json\t',
  ])('%s → 415, or the same rules', async (type) => {
    const head = await headBesidesAudit(built.store)
    const response = await built.server.inject(json('{"workflow":"release","nope":1}', type))
    expect([400, 415]).toContain(expectProblem(response, response.statusCode).status)
    expect(await headBesidesAudit(built.store)).toBe(head)
  })

  test.each(['APPLICATION/JSON', 'application/json;charset=UTF-8', 'application/json ; charset="utf-8"'])(
    '%s is JSON, under the same rules',
    async (type) => {
      await refused(json('{"workflow":"release","nope":1}', type), 400, 'REQUEST_INVALID')
      await refused(json('{"__proto__":{}}', type), 400, 'BODY_MALFORMED')
    },
  )

  test('a body of no type → 415', async () => {
    await refused({ method: 'POST', url: RUNS, payload: Buffer.from('{"workflow":"release"}') }, 415)
  })

  test('a compressed body → 415', async () => {
    const request = json('{"workflow":"release"}')
    await refused({ ...request, headers: { ...request.headers, 'content-encoding': 'gzip' } }, 415)
  })

  test('bodies that may be missing are held to the same rules when they are there', async () => {
    for (const path of ['cancel', 'stages/build/retry'])
      await refused({ method: 'POST', url: `${RUNS}/${run}/${path}`, payload: { nope: 1 } }, 400, 'REQUEST_INVALID')
    await refused({ method: 'POST', url: `${WORKFLOW}/retire`, payload: { reason: '' } }, 400, 'REQUEST_INVALID')
  })

  test('an idempotency key that is no key → 400', async () => {
    for (const key of ['', 'two words', 'é', 'x'.repeat(257)]) {
      const request = json('{"workflow":"release"}')
      await refused({ ...request, headers: { ...request.headers, 'idempotency-key': key } }, 400, 'REQUEST_INVALID')
    }
  })

  test('a workflow or a version that is not there → 404', async () => {
    await refused(json('{"workflow":"nope"}'), 404, 'WORKFLOW_UNKNOWN')
    await refused(json('{"workflow":"release","version":9}'), 404, 'WORKFLOW_VERSION_UNKNOWN')
  })
})

describe('path and query', () => {
  const nobody = '0190b6a0-0000-7000-8000-00000000ffff'
  test.each([
    ['bad percent encoding', `${RUNS}/%zz`, 400],
    ['bad UTF-8 in the path', `${RUNS}/%ff`, 400],
    ['an over-long id', `${RUNS}/${'a'.repeat(5_000)}`, 404],
    ['an id that is none', `${RUNS}/1`, 404],
    ['NUL in an id', `${RUNS}/%00`, 404],
    ['an unknown id', `${RUNS}/${nobody}`, 404],
    ['an unknown workflow', '/v1/default/workflows/nope', 404],
    ['versions of an unknown workflow', '/v1/default/workflows/nope/versions', 404],
    ['a prototype for a name', '/v1/default/workflows/__proto__', 404],
    ['the namespace admin', '/v1/admin/executions', 404],
    ['the namespace live', '/v1/live/executions', 404],
    ['a namespace in capitals', '/v1/Default/executions', 404],
    ['a namespace with a dot', '/v1/a.b/executions', 404],
    ['an unknown path', '/v2', 404],
    ['a path out of here', '/..%2f..%2fetc/passwd', 404],
    ['limit=1e9', `${RUNS}?limit=1e9`, 400],
    ['limit=0', `${RUNS}?limit=0`, 400],
    ['limit=201', `${RUNS}?limit=201`, 400],
    ['an empty limit', `${RUNS}?limit=`, 400],
    ['a repeated parameter', `${RUNS}?limit=1&limit=2`, 400],
    ['sort', `${RUNS}?sort=%27;%20drop`, 400],
    ['__proto__', `${RUNS}?__proto__=1`, 400],
    ['an unknown status', `${RUNS}?status=done`, 400],
    ['a time that is none', `${RUNS}?from=yesterday`, 400],
    ['a forged cursor', `${RUNS}?cursor=forged`, 400],
    ['the cursor of another list', `${RUNS}?cursor=WyJ3b3JrZmxvd3MiLCJ4Il0`, 400],
    ['bad percent encoding in a query', `${RUNS}?label=%zz`, 400],
    ['bad UTF-8 in a query', `${RUNS}?label=a%ff`, 400],
    ['NUL in a query', `${RUNS}?label=a%00`, 400],
    ['minPosition=-1', `${RUNS}?minPosition=-1`, 400],
    ['minPosition=1e3', `${RUNS}?minPosition=1e3`, 400],
    ['wait=31s', `${RUNS}?minPosition=0&wait=31s`, 400],
    ['wait=1d', `${RUNS}?minPosition=0&wait=1d`, 400],
  ])('%s → a problem', async (_, url, status) => {
    await refused({ method: 'GET', url }, status)
  })

  test("a run's own paths are held to the same rules", async () => {
    const url = `${RUNS}/${run}`
    const cases: [string, number][] = [
      [`${url}/history?cursor=forged`, 400],
      [`${url}/history?from=-1`, 400],
      [`${url}/history?limit=1000`, 400],
      [`${url}/state?revision=1.5`, 400],
      [`${url}/state?revision=999999999999999`, 404],
      [`${url}/graph?nope=1`, 400],
      [`${url}/stages/build/logs?attempt=0`, 400],
      [`${url}/stages/build/logs?after=x`, 400],
      [`${url}/stages/..%2f..%2fetc/logs`, 404],
      [`${url}/stages/nope/logs`, 404],
    ]
    for (const [path, status] of cases) await refused({ method: 'GET', url: path }, status)
    await refused({ method: 'POST', url: `${url}/stages/nope/retry` }, 404, 'STAGE_UNKNOWN')
  })

  test("another namespace's things are as unknown as those that are not there", async () => {
    const url = `/v1/other/executions/${run}`
    for (const path of ['', '/history', '/state', '/graph', '/stages/build/logs'])
      await refused({ method: 'GET', url: url + path }, 404, 'EXECUTION_UNKNOWN')
    await refused({ method: 'POST', url: `${url}/cancel` }, 404, 'EXECUTION_UNKNOWN')
    await refused({ method: 'POST', url: `${url}/stages/build/retry` }, 404, 'EXECUTION_UNKNOWN')
    await refused({ method: 'GET', url: '/v1/other/workflows/release' }, 404, 'WORKFLOW_UNKNOWN')
  })
})

describe('YAML', () => {
  const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]']
  for (let i = 0; i < 12; i++) bomb.push(`b${i}: &b${i} [${Array(9).fill(i === 0 ? '*a' : `*b${i - 1}`)}]`)
  test.each([
    ['an alias bomb', bomb.join('\n')],
    ['a merge', 'a: &a { x: 1 }\nb: { <<: *a }'],
    ['a tag of code', 'name: !!js/function "function () {}"'],
    ['a duplicate key', 'name: release\nname: other'],
    ['several documents', 'name: release\n---\nname: other'],
    ['__proto__', 'name: release\n__proto__: { admin: true }'],
    ['10,000 deep', `a: ${'['.repeat(10_000)}`],
    ['a cut document', 'name: "rel'],
  ])('%s → 422 with the line, at once', async (_, payload) => {
    const begun = performance.now()
    const request: InjectOptions = { method: 'PUT', url: WORKFLOW, payload, headers: { 'content-type': 'text/yaml' } }
    const head = await headBesidesAudit(built.store)
    const response = await built.server.inject(request)
    expect(performance.now() - begun).toBeLessThan(1_000)
    const { errors } = expectProblem(response, 422, 'DOCUMENT_MALFORMED')
    expect(errors[0]?.line).toBeGreaterThan(0)
    expect(await headBesidesAudit(built.store)).toBe(head)
  })
})
