import { afterAll, beforeAll, expect, test } from 'vitest'
import { failuresSchema } from '../../src/api/failure-answers.ts'
import type { ExecutionEvent, FailureClass, Recovery } from '../../src/domain/execution/events.ts'
import { type Built, build } from '../support/build.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'
import { begun, completed, retried, scheduled, started } from '../support/runs.ts'

let postgres: TestPostgres
let built: Built
let close: () => Promise<void>
beforeAll(async () => {
  postgres = await startTestPostgres()
  built = await build({ onTestFinished: (stop) => (close = stop) }, postgres, { acting: false })
  await record('release', '2026-01-02', [
    ...failing('build', 1, 'network', 'no-connection', 'retry'),
    retried('build', 2),
    ...failing('build', 2, 'network', 'no-connection', 'retry'),
    retried('build', 3),
    scheduled('build', 3),
    completed('build', 3),
    ...failing('test', 1, 'timeout', 'timed-out', 'fail-fast'),
  ])
  await record('release', '2026-01-03', [
    ...failing('build', 1, 'network', 'no-connection', 'retry'),
    retried('build', 2),
    ...failing('build', 2, 'network', 'no-connection', 'fail-fast'),
  ])
  await record('nightly', '2026-01-04', failing('build', 1, 'network', 'refused', 'ask'))
  await record('release', '2026-01-04', failing('build', 1, 'network', 'no-connection', 'ask'), 'other')
})
afterAll(async () => {
  await close()
  await postgres.stop()
})

const failing = (
  stage: string,
  attempt: number,
  failureClass: FailureClass,
  rule: string,
  recovery: Recovery,
): ExecutionEvent[] => [
  scheduled(stage, attempt),
  begun(stage, attempt),
  {
    type: 'StageFailed',
    data: { stage, attempt, error: { code: 'X', message: 'x' }, class: failureClass, rule, recovery },
  },
]

async function record(workflow: string, day: string, events: readonly ExecutionEvent[], namespace = 'default') {
  const id = crypto.randomUUID()
  const all: ExecutionEvent[] = [started(id, { workflow, namespace }), ...events]
  const news = all.map(({ type, data }, place) => {
    const metadata = { namespace, correlationId: id, commandId: crypto.randomUUID(), actor: 'user:ada' }
    return { id: crypto.randomUUID(), type, version: 1, at: `${day}T00:00:0${place % 10}.000Z`, data, metadata }
  })
  await built.store.append(`execution-${id}`, 'noStream', news)
}

const january = 'from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z'
const ask = async (query: string, namespace = 'default') => {
  const fresh = `minPosition=${await built.store.head()}&wait=20s`
  const response = await built.server.inject(`/v1/${namespace}/failures?${query}&${fresh}`)
  return failuresSchema.strict().parse(response.json())
}

test('failures are counted by class, with the runs, what came of them, and the latest', async () => {
  const { items, more, from, to } = await ask(january)
  expect({ more, from, to }).toEqual({ more: false, from: '2026-01-01T00:00:00.000Z', to: '2026-02-01T00:00:00.000Z' })
  expect(items).toEqual([
    {
      class: 'network',
      failures: 5,
      runs: 3,
      recovered: 2,
      byRecovery: { retry: 3, 'fail-fast': 1, ask: 1 },
      lastAt: '2026-01-04T00:00:03.000Z',
    },
    {
      class: 'timeout',
      failures: 1,
      runs: 1,
      recovered: 0,
      byRecovery: { 'fail-fast': 1 },
      lastAt: expect.stringContaining('2026-01-02'),
    },
  ])
})

test('by up to three keys, the largest first, and no more groups than asked for', async () => {
  const { items } = await ask(`groupBy=workflow,rule,stage&${january}`)
  expect(items.map(({ workflow, rule, stage, failures }) => [workflow, rule, stage, failures])).toEqual([
    ['release', 'no-connection', 'build', 4],
    ['nightly', 'refused', 'build', 1],
    ['release', 'timed-out', 'test', 1],
  ])
  expect(items[0]).not.toHaveProperty('class')
  const first = await ask(`groupBy=workflow,rule,stage&limit=1&${january}`)
  expect(first).toMatchObject({ items: [items[0]], more: true })
})

test('filters hold together, and time is from, inclusive, to, exclusive', async () => {
  const count = async (query: string, namespace?: string) =>
    (await ask(query, namespace)).items.reduce((sum, { failures }) => sum + failures, 0)
  expect(await count(`workflow=nightly&${january}`)).toBe(1)
  expect(await count(`stage=test&${january}`)).toBe(1)
  expect(await count(`class=network&workflow=release&${january}`)).toBe(4)
  expect(await count('from=2026-01-03T00:00:03Z&to=2026-01-04T00:00:03Z')).toBe(2)
  expect(await count(january, 'other')).toBe(1)
  expect(await count(january, 'nobody')).toBe(0)
})

test('without times it is the last thirty days', async () => {
  const { from, to } = await ask('groupBy=class')
  expect(Date.parse(to) - Date.parse(from)).toBe(30 * 86_400_000)
  expect(Math.abs(Date.parse(to) - Date.now())).toBeLessThan(60_000)
})

test.each([
  'groupBy=',
  'groupBy=class,class',
  'groupBy=class,rule,stage,workflow',
  'groupBy=a.class;drop',
  'limit=0',
  'limit=201',
  'from=yesterday',
  'from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z',
  "stage=' OR true",
  'colour=red',
])('%s → 400', async (query) => {
  expectProblem(await built.server.inject(`/v1/default/failures?${query}`), 400)
})
