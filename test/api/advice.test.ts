import { afterAll, beforeAll, expect, test } from 'vitest'
import { adviceSchema } from '../../src/api/advice-answer.ts'
import { build } from '../support/build.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

const URL = '/v1/default/workflows/release/advice'
const release = {
  name: 'release',
  stages: {
    build: { uses: 'echo', with: { say: 'hello' } },
    test: {
      uses: 'flaky',
      needs: ['build'],
      retry: { maxAttempts: 2, backoff: { type: 'fixed', initial: '1ms' } },
    },
  },
}

test('runs give advice: the path they took and what they met on it', async (t) => {
  const { server, store, ended } = await build(t, postgres)
  await server.inject({ method: 'PUT', url: '/v1/default/workflows/release', payload: release })
  const ask = async (query = '') => {
    const response = await server.inject(`${URL}?minPosition=${await store.head()}&wait=20s${query}`)
    expect(response.statusCode, response.body).toBe(200)
    return adviceSchema.strict().parse(response.json())
  }
  expect(await ask()).toEqual({
    workflow: 'release',
    version: 1,
    runs: 0,
    findings: [],
    note: expect.stringContaining('so far there are 0'),
  })
  const starts = Array.from({ length: 20 }, async () => {
    const payload = { workflow: 'release' }
    const response = await server.inject({ method: 'POST', url: '/v1/default/executions', payload })
    await ended(response.json<{ id: string }>().id)
  })
  await Promise.all(starts)

  const advice = await ask()
  expect(advice).toMatchObject({ runs: 20, criticalPath: { path: ['build', 'test'], runs: 20 } })
  expect(advice).not.toHaveProperty('note')
  expect(advice.findings).toContainEqual(
    expect.objectContaining({
      kind: 'flaky',
      stage: 'test',
      evidence: { runs: 20, flakyRuns: 20, rate: 1, rateAtLeast: 0.839, classes: { unknown: 20 } },
    }),
  )
  const few = await ask('&runs=3&version=1')
  expect(few).toMatchObject({ runs: 3, findings: [], note: expect.stringContaining('so far there are 3') })
})

test('what cannot be asked is answered with a problem', async (t) => {
  const { server } = await build(t, postgres)
  const put = await server.inject({ method: 'PUT', url: '/v1/default/workflows/release', payload: release })
  const fresh = `minPosition=${put.json().position}&wait=20s`
  expect((await server.inject(`${URL}?${fresh}`)).statusCode).toBe(200)
  for (const query of ['runs=0', 'runs=1001', 'runs=x', 'runs=1&runs=2', 'version=0', 'version=9999999999', 'limit=1'])
    expectProblem(await server.inject(`${URL}?${query}`), 400)
  expectProblem(await server.inject(`${URL}?version=2`), 404, 'WORKFLOW_VERSION_UNKNOWN')
  expectProblem(await server.inject(URL.replace('release', 'ghost')), 404, 'WORKFLOW_UNKNOWN')
  expectProblem(await server.inject(URL.replace('default', 'other')), 404, 'WORKFLOW_UNKNOWN')
})

test('advice that would be older than asked for is not given', async (t) => {
  const { server } = await build(t, postgres, { projecting: false })
  const put = await server.inject({ method: 'PUT', url: '/v1/default/workflows/release', payload: release })
  const response = await server.inject(`${URL}?minPosition=${put.json().position}&wait=1ms`)
  expectProblem(response, 503, 'POSITION_NOT_REACHED')
})
