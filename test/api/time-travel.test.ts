import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'
import { diffSchema, graphSchema, stateSchema } from '../../src/api/answers.ts'
import type { DomainEvent } from '../../src/domain/message.ts'
import { versionOf } from '../../src/domain/upcast.ts'
import { build } from '../support/build.ts'
import { stage } from '../support/executions.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'
import { begun, completed, failed, retried, scheduled, started } from '../support/runs.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

const minute = (number: number): string => `2026-01-01T00:0${number}:00.000Z`

/** A run whose events are written here, one a minute. */
async function recorded(t: TestContext, events: readonly DomainEvent[]) {
  const { server, store } = await build(t, postgres, { acting: false })
  const id = crypto.randomUUID()
  const all: DomainEvent[] = [started(id), ...events]
  const news = all.map(({ type, data }, place) => {
    const metadata = { namespace: 'default', correlationId: id, commandId: crypto.randomUUID(), actor: 'user:ada' }
    return { id: crypto.randomUUID(), type, version: versionOf(type), at: minute(place), data, metadata }
  })
  await store.append(`execution-${id}`, 'noStream', news)
  const url = `/v1/default/executions/${id}`
  const get = (path: string) => server.inject(`${url}${path}`)
  return { get, url, server }
}

const stages = [{ id: 'test.unit', values: { suite: 'unit' } }, stage('tell', { parent: 'test', needs: ['test.unit'] })]
const generated: DomainEvent = {
  type: 'StagesGenerated',
  data: { parent: 'test', attempt: 0, output: null, stages },
}
const EVENTS = [
  scheduled('build'),
  begun('build'),
  failed('build', 1, 'retry'),
  retried('build', 2),
  scheduled('build', 2),
  completed('build', 2),
  generated,
  scheduled('test.unit'),
]

test('a run is answered as it was at any time', async (t) => {
  const { get } = await recorded(t, EVENTS)
  const at = async (time: string) => stateSchema.strict().parse((await get(`/state?at=${time}`)).json())
  expect(await at(minute(2))).toMatchObject({ revision: '2', stages: { build: { status: 'running' } } })
  expect(await at('2026-01-01T00:02:59.999Z')).toEqual(await at(minute(2)))
  expect(await at('2026-01-01T02:04:30%2B02:00')).toMatchObject({
    revision: '4',
    stages: { build: { status: 'retrying' } },
  })
  expect((await at('2999-01-01T00:00:00Z')).revision).toBe('8')
  expectProblem(await get('/state?at=2025-12-31T23:59:59Z'), 404, 'REVISION_UNKNOWN')
  expectProblem(await get(`/state?at=${minute(1)}&revision=1`), 400)
  expectProblem(await get('/state?at=yesterday'), 400)
})

test('with what expressions could read by then, and the timers that were set', async (t) => {
  const { get } = await recorded(t, EVENTS)
  const plain = (await get('/state?revision=4')).json()
  expect(plain).not.toHaveProperty('variables')
  const both = stateSchema.strict().parse((await get('/state?revision=4&include=variables,timers')).json())
  expect(both).toMatchObject(plain)
  expect(both.timers).toEqual([
    { does: 'retry', stage: 'build', attempt: 2, dueAt: '2026-01-01T01:00:00.000Z' },
    { does: 'time-out-execution', dueAt: '2026-01-01T03:00:00.000Z' },
  ])
  expect(both.variables).toMatchObject({
    input: { service: 'shop' },
    execution: { workflow: 'release', version: 1, namespace: 'default' },
    stages: { build: { status: 'retrying', output: null, error: { code: 'EXIT' } } },
  })
  const later = (await get('/state?revision=6&include=variables')).json()
  expect(later.variables.stages.build).toMatchObject({ status: 'completed', output: { exitCode: 0 } })
  expect(later).not.toHaveProperty('timers')
  for (const include of ['', 'everything', 'timers,timers', 'variables,'])
    expectProblem(await get(`/state?include=${include}`), 400)
})

test('what changed between two revisions, and what happened between them', async (t) => {
  const { get } = await recorded(t, EVENTS)
  const diff = diffSchema.strict().parse((await get('/diff?from=2&to=4')).json())
  expect(diff).toMatchObject({ from: '2', to: '4', events: { count: 2, types: { StageFailed: 1, StageRetried: 1 } } })
  const changes = new Map(diff.changes.map(({ path, ...change }) => [path, change]))
  expect(changes.get('/stages/build/status')).toEqual({ before: 'running', after: 'retrying' })
  expect(changes.get('/stages/build/finishedAt')).toEqual({ after: minute(3) })
  expect(changes.get('/stages/build/error')).toEqual({ after: { code: 'EXIT', message: 'no\tluck\n' } })
  expect(changes.get('/timers/stages/build/does')).toEqual({ before: 'time-out-stage', after: 'retry' })
  expect(changes.get('/variables/stages/build/status')).toEqual({ before: 'running', after: 'retrying' })
  expect([...changes.keys()].filter((path) => !path.includes('/build/'))).toEqual([])

  const rest = (await get('/diff?from=4')).json()
  expect(rest).toMatchObject({ to: '8', events: { count: 4 } })
  expect(rest.changes).toContainEqual({ path: '/stages/test.unit/parent', after: 'test' })
  expect(rest.changes).toContainEqual({
    path: '/timers/stages/build/does',
    before: 'retry',
  })
  expect((await get('/diff?from=3&to=3')).json()).toMatchObject({ changes: [], events: { count: 0, types: {} } })
})

test('a difference that cannot be is refused', async (t) => {
  const { get, server } = await recorded(t, EVENTS)
  expectProblem(await get('/diff?from=2&to=9'), 404, 'REVISION_UNKNOWN')
  expectProblem(await get('/diff?from=9'), 404, 'REVISION_UNKNOWN')
  for (const query of ['', '?to=3', '?from=4&to=3', '?from=-1', '?from=x'])
    expectProblem(await get(`/diff${query}`), 400)
  const unknown = await server.inject(`/v1/default/executions/${crypto.randomUUID()}/diff?from=0`)
  expectProblem(unknown, 404, 'EXECUTION_UNKNOWN')
})

test('what belongs to another namespace is as unknown as what is not there', async (t) => {
  const { url, server } = await recorded(t, EVENTS)
  for (const path of ['/state', '/state?at=2025-01-01T00:00:00Z', '/graph', '/diff?from=0'])
    expectProblem(await server.inject(`${url.replace('default', 'other')}${path}`), 404, 'EXECUTION_UNKNOWN')
})

test('the graph has the stages that were generated by then, and stands them with their parent', async (t) => {
  const { get } = await recorded(t, EVENTS)
  const graphAt = async (revision: number) =>
    graphSchema.strict().parse((await get(`/graph?revision=${revision}`)).json())
  expect((await graphAt(6)).nodes).toHaveLength(5)
  const { nodes } = await graphAt(8)
  const level = Object.fromEntries(nodes.map((node) => [node.id, node.level]))
  expect(level).toEqual({ build: 0, test: 1, 'test.unit': 1, tell: 2, scan: 3, deploy: 4, verify: 5 })
  expect(nodes.at(-2)).toEqual({
    id: 'test.unit',
    uses: 'shell',
    level: 1,
    status: 'scheduled',
    attempt: 1,
    parent: 'test',
  })
  expect(nodes[1]).toMatchObject({ id: 'test', status: 'running' })
  expectProblem(await get('/graph?revision=9'), 404, 'REVISION_UNKNOWN')
})
