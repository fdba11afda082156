import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'
import { classifiedSchema } from '../../src/api/failure-answers.ts'
import { build } from '../support/build.ts'
import { headBesidesAudit } from '../support/head-besides-audit.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

const document = (failures: object[]) => ({
  name: 'release',
  onFailure: 'continue',
  stages: { build: { uses: 'echo' }, publish: { uses: 'echo' } },
  failures,
})
const registry = {
  name: 'registry',
  match: { message: 'registry .* timed out', stage: 'publish' },
  class: 'dependency',
  recover: { action: 'retry', maxAttempts: 5, backoff: { type: 'fixed', initial: '10s' } },
}
const licence = { name: 'licence', match: { code: 'LICENCE_EXPIRED' }, class: 'authentication' }
const lost = { code: 'EXIT_NONZERO', exitCode: 1, message: 'registry eu-1 timed out' }

/** Nothing is projected: the answers come from the log. */
async function open(t: TestContext) {
  const { server, store } = await build(t, postgres, { projecting: false })
  const register = (failures: object[]) =>
    server.inject({ method: 'PUT', url: '/v1/default/workflows/release', payload: document(failures) })
  const ask = (payload: object, namespace = 'default') =>
    server.inject({ method: 'POST', url: `/v1/${namespace}/failures/classify`, payload })
  const classify = async (payload: object) => {
    const response = await ask(payload)
    expect(response.statusCode, response.body).toBe(200)
    return classifiedSchema.strict().parse(response.json())
  }
  return { store, register, ask, classify }
}

test('an error is tried against the rules that are sent, then the workflow’s, then the built-in ones', async (t) => {
  const { store, register, classify } = await open(t)
  expect((await register([registry])).statusCode).toBe(201)
  expect((await register([licence])).statusCode).toBe(201)
  const head = await headBesidesAudit(store)

  expect(await classify({ error: { httpStatus: 429 } })).toEqual({
    class: 'rate-limit',
    rule: 'http-rate-limit',
    builtIn: true,
    recovery: { action: 'retry' },
    retries: true,
  })
  const inPublish = { error: lost, workflow: 'release', stage: 'publish' }
  expect(await classify({ ...inPublish, version: 1 })).toEqual({
    class: 'dependency',
    rule: 'registry',
    builtIn: false,
    recovery: {
      action: 'retry',
      maxAttempts: 5,
      backoff: { type: 'fixed', initialMs: 10_000, maxMs: 60_000, jitter: 0.2 },
    },
    retries: true,
  })
  expect(await classify({ ...inPublish, version: 1, stage: 'build' })).toMatchObject({ rule: 'none', builtIn: true })
  expect(await classify(inPublish)).toMatchObject({ class: 'unknown', rule: 'none' })
  // What is not tried again leads to what the workflow says of failures.
  const expired = { code: 'LICENCE_EXPIRED' }
  expect(await classify({ error: expired, workflow: 'release' })).toMatchObject({
    rule: 'licence',
    recovery: { action: 'continue' },
    retries: false,
  })
  const sent = { name: 'mine', match: { code: 'LICENCE_EXPIRED' }, recover: 'ask' }
  expect(await classify({ error: expired, workflow: 'release', rules: [sent] })).toMatchObject({
    class: 'unknown',
    rule: 'mine',
    builtIn: false,
    recovery: { action: 'ask' },
  })
  expect(await headBesidesAudit(store), 'a question writes nothing').toBe(head)
})

test('what cannot be tried is refused with a pointer', async (t) => {
  const { register, ask } = await open(t)
  await register([registry])
  const refused = async (payload: object, status: number, code: string) =>
    expectProblem(await ask(payload), status, code).errors.map(({ pointer }) => pointer)

  expect(await refused({}, 400, 'REQUEST_INVALID')).toEqual(['/error'])
  expect(await refused({ error: { kode: 1 } }, 400, 'REQUEST_INVALID')).toEqual(['/error/kode'])
  expect(await refused({ error: { code: 'low' } }, 400, 'REQUEST_INVALID')).toEqual(['/error/code'])
  expect(await refused({ error: { message: 'x'.repeat(4_097) } }, 400, 'REQUEST_INVALID')).toEqual(['/error/message'])
  expect(await refused({ error: {}, version: 1 }, 400, 'REQUEST_INVALID')).toEqual(['/version'])
  const bad = { name: 'bad', match: { message: ['x', '(a+'] }, recover: { action: 'retry', resources: { cpu: 1 } } }
  expect(await refused({ error: {}, rules: [bad] }, 422, 'DEFINITION_INVALID')).toEqual([
    '/rules/0/match/message/1',
    '/rules/0/recover/resources',
  ])
  expect(await refused({ error: {}, rules: 'all' }, 422, 'DEFINITION_INVALID')).toEqual(['/rules'])
  await refused({ error: {}, workflow: 'nope' }, 404, 'WORKFLOW_UNKNOWN')
  await refused({ error: {}, workflow: 'release', version: 2 }, 404, 'WORKFLOW_VERSION_UNKNOWN')
  await refused({ error: {}, workflow: 'release', stage: 'nope' }, 404, 'STAGE_UNKNOWN')
  expectProblem(await ask({ error: {}, workflow: 'release' }, 'other'), 404, 'WORKFLOW_UNKNOWN')
})

test('a workflow with a bad rule is not registered', async (t) => {
  const { register, store } = await open(t)
  const head = await headBesidesAudit(store)
  const problem = expectProblem(
    await register([{ ...registry, match: { message: '(?=a)', stage: 'nope' } }]),
    422,
    'DEFINITION_INVALID',
  )
  expect(problem.errors.map(({ pointer }) => pointer)).toEqual(['/failures/0/match/message', '/failures/0/match/stage'])
  expect(await headBesidesAudit(store)).toBe(head)
})

test('a catastrophic pattern over the longest message is answered soon', async (t) => {
  const { classify } = await open(t)
  const startedAt = performance.now()
  const rules = [{ name: 'bomb', match: { message: '(a+)+$' } }]
  expect(await classify({ error: { message: `${'a'.repeat(4_095)}!` }, rules })).toMatchObject({ rule: 'none' })
  expect(performance.now() - startedAt).toBeLessThan(2_000)
})
