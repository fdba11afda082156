import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'
import { descriptionSchema, workflowSchema, workflowsSchema, workflowVersionsSchema } from '../../src/api/answers.ts'
import { build } from '../support/build.ts'
import { headBesidesAudit } from '../support/head-besides-audit.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

const URL = '/v1/default/workflows/release'
const yaml = `
name: release
stages:
  build: { uses: echo, timeout: 1m }
  lint: { uses: echo, timeout: 10s }
  ship: { uses: echo, needs: [build, lint], timeout: 2m }
`

async function open(t: TestContext) {
  const { server, store } = await build(t, postgres)
  const put = (payload: string | object, headers: Record<string, string> = {}) =>
    server.inject({ method: 'PUT', url: URL, payload, headers })
  const putYaml = (payload: string, headers = {}) => put(payload, { 'content-type': 'application/yaml', ...headers })
  const get = (url: string) => server.inject({ method: 'GET', url })
  const post = (url: string, payload?: object) =>
    server.inject({ method: 'POST', url, ...(payload ? { payload } : {}) })
  return { server, store, put, putYaml, get, post }
}

test('a workflow is registered, answered unchanged, and revised', async (t) => {
  const { put, putYaml, get } = await open(t)
  const first = await putYaml(yaml)
  expect(first.statusCode).toBe(201)
  expect(first.headers.etag).toBe('"1"')
  expect(first.json()).toEqual({ name: 'release', version: 1, position: expect.stringMatching(/^\d+$/) })

  const same = await putYaml(`# a comment changes nothing\n${yaml}`)
  expect(same.statusCode).toBe(200)
  expect(same.json()).toMatchObject({ version: 1 })

  const second = await put({ name: 'release', stages: { build: { uses: 'echo' } } })
  expect(second.statusCode).toBe(201)
  expect(second.json()).toMatchObject({ version: 2 })

  const fresh = `minPosition=${second.json().position}&wait=20s`
  const one = await get(`${URL}?${fresh}`)
  expect(one.headers.etag).toBe('"2"')
  expect(workflowSchema.strict().parse(one.json())).toMatchObject({ version: 2, status: 'active' })
  expect(workflowVersionsSchema.strict().parse((await get(`${URL}/versions`)).json()).items).toHaveLength(2)
  const list = workflowsSchema.strict().parse((await get('/v1/default/workflows')).json())
  expect(list.items).toEqual([expect.objectContaining({ name: 'release', version: 2 })])
})

test('If-Match keeps a revision from going over one that the caller has not seen', async (t) => {
  const { put, putYaml, store } = await open(t)
  await putYaml(yaml, { 'if-match': '"0"' })
  const head = await headBesidesAudit(store)
  const other = { name: 'release', stages: { build: { uses: 'echo' } } }
  expectProblem(await put(other, { 'if-match': '"0"' }), 412, 'WORKFLOW_VERSION_STALE')
  expectProblem(await put(other, { 'if-match': '3' }), 400)
  expect(await headBesidesAudit(store)).toBe(head)
  expect((await put(other, { 'if-match': '"1"' })).statusCode).toBe(201)
})

test('a retired workflow starts no runs until it is registered again', async (t) => {
  const { put, post, putYaml } = await open(t)
  await putYaml(yaml)
  const retired = await post(`${URL}/retire`)
  expect(retired.statusCode).toBe(200)
  expect(retired.json()).toEqual({ name: 'release', position: expect.stringMatching(/^\d+$/) })
  expectProblem(await post('/v1/default/executions', { workflow: 'release' }), 409, 'WORKFLOW_RETIRED')
  expect((await post(`${URL}/retire`, { reason: 'again' })).statusCode).toBe(200)
  expect((await put({ name: 'release', stages: { build: { uses: 'echo' } } })).json()).toMatchObject({ version: 2 })
  expect((await post('/v1/default/executions', { workflow: 'release', version: 1 })).statusCode).toBe(202)
})

test('a document is checked and its graph described without being saved', async (t) => {
  const { server, store } = await open(t)
  const head = await headBesidesAudit(store)
  const response = await server.inject({
    method: 'POST',
    url: '/v1/default/workflows/validate',
    payload: yaml,
    headers: { 'content-type': 'text/yaml; charset=UTF-8' },
  })
  expect(response.statusCode).toBe(200)
  expect(descriptionSchema.strict().parse(response.json())).toEqual({
    name: 'release',
    stages: 3,
    edges: 2,
    order: ['build', 'lint', 'ship'],
    levels: [['build', 'lint'], ['ship']],
    roots: ['build', 'lint'],
    leaves: ['ship'],
    width: 2,
    criticalPath: { path: ['build', 'ship'], totalMs: 180_000 },
  })
  expect(await headBesidesAudit(store)).toBe(head)
})

test('every fault of a document comes with a pointer, and with its line in YAML', async (t) => {
  const { put, putYaml, store } = await open(t)
  const head = await headBesidesAudit(store)
  const faulty =
    'name: release\nstages:\n  a: { uses: echo, needs: [b] }\n  b:\n    uses: echo\n    needs: [a]\n    nedds: x\n'
  const problem = expectProblem(await putYaml(faulty), 422, 'DEFINITION_INVALID')
  expect(problem.errors).toContainEqual(expect.objectContaining({ pointer: '/stages/b/nedds', line: 7 }))
  expect(problem.errors).toContainEqual(expect.objectContaining({ message: expect.stringContaining('a → b → a') }))

  const unknown = { name: 'release', stages: { a: { uses: 'echo', needs: ['ghost'] } } }
  const { errors } = expectProblem(await put(unknown), 422, 'DEFINITION_INVALID')
  expect(errors).toEqual([{ pointer: '/stages/a/needs/0', message: expect.stringContaining('ghost') }])

  const many = Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`s${i}`, { uses: 'echo' }]))
  expectProblem(await put({ name: 'release', stages: many }), 422, 'DEFINITION_INVALID')
  expectProblem(await put({ name: 'other', stages: { a: { uses: 'echo' } } }), 422, 'DEFINITION_INVALID')
  expect(await headBesidesAudit(store)).toBe(head)
})

test('an input that does not fit is refused with a pointer into the body', async (t) => {
  const { put, post, store } = await open(t)
  await put({
    name: 'release',
    input: { type: 'object', properties: { count: { type: 'integer' } } },
    stages: { a: { uses: 'echo' } },
  })
  const head = await headBesidesAudit(store)
  const response = await post('/v1/default/executions', { workflow: 'release', input: { count: 'many' } })
  const { errors } = expectProblem(response, 422, 'INPUT_INVALID')
  expect(errors).toContainEqual(expect.objectContaining({ pointer: '/input/count' }))
  expect(await headBesidesAudit(store)).toBe(head)
})
