// Every model that the documentation names is there: with its tables, its route and the schema of its answer; and no table is without one.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Built, build } from '../support/build.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

type Answer = { readonly content?: Readonly<Record<string, { readonly schema: { readonly $ref?: string } }>> }
type OpenApi = {
  readonly paths: Readonly<Record<string, { readonly get?: { readonly responses: Readonly<Record<string, Answer>> } }>>
  readonly components: { readonly schemas: Readonly<Record<string, object>> }
}

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

const documentation = readFileSync(join(import.meta.dirname, '../../docs/projections.md'), 'utf8')
const unquoted = (cell: string): readonly string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)
const models = documentation
  .split('\n')
  .filter((line) => /^\|.*`\/v1\//.test(line))
  .map((line) => line.split('|').slice(1, 5) as [string, string, string, string])
  .map(([model, tables, route, schema]) => ({
    ...{ model: model.trim(), tables: unquoted(tables), route: unquoted(route)[0]!, schema: unquoted(schema)[0]! },
  }))

test.each(models)('$model: tables, route and schema', async ({ tables, route, schema }) => {
  const { rows } = await built.pool.query(`SELECT tablename FROM pg_tables WHERE schemaname = current_schema()`)
  expect(rows.map(({ tablename }) => tablename)).toEqual(expect.arrayContaining([...tables]))
  const { paths, components } = (await built.server.inject('/openapi.json')).json<OpenApi>()
  expect(components.schemas[schema], schema).toBeDefined()
  const answers = Object.values(paths[route]?.get?.responses['200']?.content ?? {})
  const ref = `#/components/schemas/${schema}`
  // A list has the model as its items.
  const list = answers.map(({ schema: given }) => JSON.stringify(given)).join()
  const behind = answers
    .map(({ schema: given }) => JSON.stringify(components.schemas[given.$ref?.split('/').at(-1) ?? '']))
    .join()
  expect(list + behind, route).toContain(ref)
})

test('no table is without a model', async () => {
  const { rows } = await built.pool.query(
    `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename NOT LIKE '%migration%' ORDER BY 1`,
  )
  expect([...new Set(models.flatMap(({ tables }) => tables))].sort()).toEqual(rows.map(({ tablename }) => tablename))
})

test('a stage is answered with each of its attempts', async () => {
  const put = (payload: object) => built.server.inject({ method: 'PUT', url: '/v1/default/workflows/shaky', payload })
  await put({
    name: 'shaky',
    stages: { try: { uses: 'flaky', retry: { maxAttempts: 2, backoff: { initial: '1ms' } } } },
  })
  const started = await built.server.inject({
    method: 'POST',
    url: '/v1/default/executions',
    payload: { workflow: 'shaky' },
  })
  const { id } = started.json<{ id: string }>()
  await built.ended(id)
  expect(await built.queries.reached(await built.store.head(), 20_000)).toBe(true)
  const url = `/v1/default/executions/${id}/stages`
  const stage = (await built.server.inject(`${url}/try`)).json()
  const time = expect.stringMatching(/^\d{4}-/)
  expect(stage).toMatchObject({ status: 'completed', attempt: 2 })
  expect(stage.attempts).toEqual(
    [
      {
        ...{ attempt: 1, worker: expect.any(String), scheduledAt: time, finishedAt: time, outcome: 'failed' },
        ...{
          error: expect.objectContaining({ code: expect.any(String) }),
          class: expect.any(String),
          rule: expect.any(String),
          recovery: 'retry',
        },
      },
      { attempt: 2, worker: expect.any(String), scheduledAt: time, finishedAt: time, outcome: 'completed' },
    ].map((attempt) => expect.objectContaining(attempt)),
  )
  expectProblem(await built.server.inject(`${url}/nothing`), 404, 'STAGE_UNKNOWN')
  expectProblem(await built.server.inject(`/v1/other/executions/${id}/stages/try`), 404, 'EXECUTION_UNKNOWN')
})
