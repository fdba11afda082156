// Analytics and series over HTTP, as JSON and as tables.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { analyticsSchema, seriesSchema } from '../../src/api/analytics-answers.ts'
import { toCsv } from '../../src/api/csv.ts'
import { build } from '../support/build.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

test('they say how runs went, by workflow, label and stage, and over time', async (t) => {
  const built = await build(t, postgres)
  const { server, store } = built
  const stages = { try: { uses: 'flaky', retry: { maxAttempts: 2, backoff: { type: 'fixed', initial: '1ms' } } } }
  await server.inject({ method: 'PUT', url: '/v1/default/workflows/shaky', payload: { name: 'shaky', stages } })
  for (const team of ['=blue', 'red']) {
    const payload = { workflow: 'shaky', labels: { team } }
    const answer = await server.inject({ method: 'POST', url: '/v1/default/executions', payload })
    expect(answer.statusCode, answer.body).toBe(202)
    await built.ended(answer.json<{ id: string }>().id)
  }
  const fresh = `minPosition=${await store.head()}&wait=20s`
  const get = (query: string, accept = 'application/json') =>
    server.inject({ url: `/v1/default/${query}${query.includes('?') ? '&' : '?'}${fresh}`, headers: { accept } })
  const byWorkflow = analyticsSchema.parse((await get('analytics')).json())
  expect(byWorkflow.items).toMatchObject([
    { key: 'shaky', ended: 2, completed: 2, successRate: 1, attempts: 4, retries: 2, flakiness: 1 },
  ])
  expect(byWorkflow.grain).toBe('day')
  const byStage = analyticsSchema.parse((await get('analytics?by=stage&workflow=shaky')).json())
  expect(byStage.items).toMatchObject([
    { key: 'shaky/try', ended: 2, attempts: 4, bottleneckShare: expect.any(Number) },
  ])
  const byLabel = analyticsSchema.parse((await get('analytics?by=label&limit=1')).json())
  expect(byLabel.items).toHaveLength(1)
  const series = seriesSchema.parse((await get('metrics?of=workflow&key=shaky&step=hour')).json())
  expect(series.items.reduce((sum, { ended }) => sum + ended, 0)).toBe(2)
  expect(seriesSchema.parse((await get('metrics?step=week')).json()).from).toMatch(/T00:00:00.000Z$/)
  expect(new Date(seriesSchema.parse((await get('metrics?step=week')).json()).from).getUTCDay()).toBe(1)

  const csv = await get('analytics?by=label', 'text/csv')
  expect(csv.headers['content-type']).toContain('text/csv')
  const lines = csv.body.trimEnd().split('\r\n')
  expect(lines[0]).toMatch(/^key,ended,completed,/)
  expect(
    lines
      .slice(1)
      .map((line) => line.split(',')[0])
      .sort(),
  ).toEqual(['team==blue', 'team=red'])
  expect((await get('metrics', 'text/csv')).body).toMatch(/^since,ended,/)

  for (const query of [
    ...[
      'analytics?by=owner',
      'analytics?limit=0',
      "analytics?sort='; drop",
      'analytics?from=2030-01-02T00:00:00Z&to=2030-01-01T00:00:00Z',
    ],
    ...[
      'metrics?step=minute',
      'metrics?of=team',
      'metrics?step=hour&from=2020-01-01T00:00:00Z',
      `metrics?key=${'x'.repeat(401)}`,
    ],
    'analytics?from=1990-01-01T00:00:00Z',
  ])
    expectProblem(await server.inject(`/v1/default/${query}`), 400, 'REQUEST_INVALID')
})

test('a table keeps what people write out of formulas, and quotes what has to be', () => {
  const rows = [{ key: '=1+1', n: { p: 3 } }, { key: 'a "b", c' }, { key: '-x\n' }]
  expect(toCsv(['key', 'n.p'], rows)).toBe(`key,n.p\r\n'=1+1,3\r\n"a ""b"", c",\r\n"'-x\n",\r\n`)
})
