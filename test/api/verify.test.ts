// A live installation held against its log: what is right is let be, whatever goes on meanwhile, and what has drifted is found.
import { afterAll, beforeAll, describe, expect, type TestContext, test, vi } from 'vitest'
import { verificationSchema } from '../../src/api/verification-answers.ts'
import type { CheckLog } from '../../src/verification/check-log.ts'
import { type Built, build } from '../support/build.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

const RUNS = '/v1/default/executions'
const documents = [
  { name: 'chain', stages: { build: { uses: 'echo', with: { say: 'hi' } }, test: { uses: 'echo', needs: ['build'] } } },
  { name: 'shaky', stages: { try: { uses: 'flaky', retry: { maxAttempts: 2 } } } },
  { name: 'broken', stages: { try: { uses: 'flaky' }, after: { uses: 'echo', needs: ['try'] } } },
  { name: 'endless', stages: { spin: { uses: 'forever' } } },
  { name: 'patient', stages: { pause: { uses: 'wait', with: { duration: '1h' } } } },
  { name: 'asking', stages: { ok: { uses: 'approval', with: { approvers: ['ops'] } } } },
  { name: 'pooled', stages: { spin: { uses: 'forever', resources: { pool: 'production', slots: 1 } } } },
  { name: 'brief', stages: { one: { uses: 'echo', resources: { pool: 'production', slots: 1 } } } },
  {
    ...{ name: 'grouped', concurrency: { group: 'all', limit: 1, onConflict: 'queue' } },
    stages: { spin: { uses: 'forever' } },
  },
  { name: 'calling', stages: { call: { uses: 'workflow', with: { workflow: 'endless' } } } },
]

type Line = ReturnType<typeof verificationSchema.parse>
type Result = Extract<Line, { kind: 'result' }>

async function installation(t: TestContext, options: Parameters<typeof build>[2] = {}) {
  const built = await build(t, postgres, options)
  await built.server.inject({ method: 'PUT', url: '/v1/default/pools/production', payload: { slots: 2 } })
  for (const payload of documents) {
    const answer = await built.server.inject({ method: 'PUT', url: `/v1/default/workflows/${payload.name}`, payload })
    expect(answer.statusCode, answer.body).toBe(201)
  }
  const run = async (workflow: string): Promise<string> => {
    const answer = await built.server.inject({ method: 'POST', url: RUNS, payload: { workflow } })
    expect(answer.statusCode, answer.body).toBe(202)
    return answer.json<{ id: string }>().id
  }
  return { ...built, run, verify: (body: object = {}) => verify(built, body) }
}

async function verify({ server }: Pick<Built, 'server'>, payload: object): Promise<Result> {
  const answer = await server.inject({ method: 'POST', url: '/v1/admin/verify', payload })
  expect(answer.statusCode, answer.body).toBe(200)
  expect(answer.headers['content-type']).toContain('application/x-ndjson')
  const lines = answer.body
    .trimEnd()
    .split('\n')
    .map((line) => verificationSchema.parse(JSON.parse(line)))
  const last = lines.at(-1)
  if (last?.kind !== 'result') throw new Error(`the last line is ${JSON.stringify(last)}`)
  return last
}

/** Runs of every kind, some of which go on, with read models that have caught up. */
async function busy(t: TestContext) {
  const built = await installation(t)
  const ended = await Promise.all(['chain', 'chain', 'shaky', 'broken', 'brief'].map((name) => built.run(name)))
  const going = await Promise.all(
    ['endless', 'patient', 'asking', 'calling', 'grouped', 'grouped', 'pooled', 'pooled', 'pooled'].map((name) =>
      built.run(name),
    ),
  )
  await Promise.all(ended.map((id) => built.ended(id)))
  await built.happened(going[0]!, 'StageStarted')
  await built.happened(going[3]!, 'StageStarted')
  await Promise.all(going.slice(6, 8).map((id) => built.happened(id, 'StageStarted')))
  return { ...built, chain: ended[0]!, endless: going[0]!, patient: going[1]!, calling: going[3]! }
}

/** As somebody with a hand in the database would; references are not looked at. Answers how many rows it touched. */
async function tamper({ pool }: Pick<Built, 'pool'>, sql: string): Promise<number> {
  const all = await pool.query(`BEGIN; SET LOCAL session_replication_role = replica; ${sql}; COMMIT`)
  return (all as unknown as { rowCount: number }[])[2]!.rowCount
}

const caughtUp = async ({ store, queries }: Built): Promise<void> =>
  expect(await queries.reached(await store.head(), 20_000)).toBe(true)

test('an installation that is as it should be is clean, and what was checked is told', async (t) => {
  const { verify, store } = await busy(t)
  const result = await verify()
  expect(result).toMatchObject({ clean: true, repaired: [], notChecked: [] })
  expect(result.drift).toEqual({ total: 0, items: [] })
  expect(result.violations).toEqual({ total: 0, items: [] })
  expect(result.events).toBeGreaterThan(30)
  expect(Number(result.position)).toBeLessThanOrEqual(await store.head())
  expect(result.streams.ended).toBe(5)
  expect(result.invariants.find(({ number }) => number === 1)).toMatchObject({ events: result.events, violations: 0 })
  expect(result.invariants.find(({ number }) => number === 9)!.events).toBeGreaterThan(5)
})

test('while runs go on nobody is accused', { timeout: 120_000 }, async (t) => {
  const { verify, run, ended } = await installation(t)
  let over = false
  let runs = 0
  const client = async (): Promise<void> => {
    for (; !over; runs++) {
      const id = await run(['chain', 'shaky', 'broken', 'brief'][runs % 4]!)
      if (runs % 2 === 0) await ended(id)
    }
  }
  const clients = Promise.all(Array.from({ length: 8 }, client))
  for (let times = 0; times < 6; times++) {
    const { clean, drift, violations, notChecked } = await verify()
    expect({ clean, drift, violations, notChecked }).toMatchObject({
      ...{ clean: true, notChecked: [], drift: { items: [] }, violations: { items: [] } },
    })
  }
  over = true
  await clients
  expect(runs).toBeGreaterThan(100)
})

describe('a row', () => {
  const changes: readonly [table: string, what: string | RegExp, sql: string][] = [
    [
      'executions',
      'differs from what the log says in status',
      `UPDATE executions SET status = 'failed' WHERE workflow = 'chain'`,
    ],
    [
      'executions',
      'differs from what the log says in labels, revision',
      `UPDATE executions SET labels = '{"a":"b"}', revision = revision + 1`,
    ],
    ['executions', 'is missing', `DELETE FROM executions WHERE workflow = 'chain'`],
    [
      'executions',
      'is not in the log',
      `INSERT INTO executions SELECT gen_random_uuid(), namespace, workflow, version, status, input, labels, priority, error,
         started_at, finished_at, revision, position FROM executions LIMIT 1`,
    ],
    [
      'stages',
      'differs from what the log says in output',
      `UPDATE stages SET output = '{"say": "hi"}' WHERE output IS NOT NULL`,
    ],
    [
      'stages',
      'differs from what the log says in waiting_until',
      `UPDATE stages SET waiting_until = now() WHERE waiting_until IS NULL`,
    ],
    ['stages', 'is missing', `DELETE FROM stages WHERE stage = 'test'`],
    [
      'stages',
      'is not in the log',
      `INSERT INTO stages SELECT execution_id, 'more', 7, status, attempt FROM stages LIMIT 1`,
    ],
    ['attempts', 'differs from what the log says in worker', `UPDATE attempts SET worker = 'nobody'`],
    ['attempts', 'differs from what the log says in rule', `UPDATE attempts SET rule = 'x' WHERE outcome = 'failed'`],
    ['attempts', 'is missing', `DELETE FROM attempts`],
    ['attempts', 'is not in the log', `INSERT INTO attempts SELECT execution_id, stage, 9 FROM attempts LIMIT 1`],
    ['workflows', 'differs from what the log says in status', `UPDATE workflows SET status = 'retired'`],
    ['workflows', 'is missing', `DELETE FROM workflows WHERE name = 'chain'`],
    [
      'workflows',
      'is not in the log',
      `INSERT INTO workflows SELECT 'other', name, version, status, created_at, updated_at, source FROM workflows LIMIT 1`,
    ],
    [
      'workflow_versions',
      'differs from what the log says in definition',
      `UPDATE workflow_versions SET definition = '{}'`,
    ],
    ['workflow_versions', 'is missing', `DELETE FROM workflow_versions`],
    [
      'workflow_versions',
      'is not in the log',
      `INSERT INTO workflow_versions SELECT namespace, name, 9, created_at, fingerprint, source, definition FROM workflow_versions LIMIT 1`,
    ],
    ['pools', 'differs from what the log says in in_use_slots', 'UPDATE pools SET in_use_slots = 7'],
    ['pools', 'is missing', 'DELETE FROM pools'],
    ['pool_grants', 'differs from what the log says in released_at', 'UPDATE pool_grants SET released_at = now()'],
    ['pool_grants', 'is missing', 'DELETE FROM pool_grants WHERE fence = 1'],
    ['pool_usage', 'differs from what the log says in at', `UPDATE pool_usage SET at = now()`],
    ['pool_usage', 'is missing', 'DELETE FROM pool_usage'],
    [
      'analytics',
      'differs from what the log says in ended',
      `UPDATE analytics SET ended = 7 WHERE dimension = 'namespace'`,
    ],
    ['analytics', 'is missing', `DELETE FROM analytics WHERE grain = 'day'`],
    [
      'analytics_durations',
      'differs from what the log says in count',
      `UPDATE analytics_durations SET count = count + 1`,
    ],
    [
      'audit_chains',
      'differs from what the log says in hash',
      `UPDATE audit_chains SET hash = repeat('a', 64) WHERE namespace = 'default'`,
    ],
    ['events', 'differs from what the log says in hash', `UPDATE events SET hash = repeat('a', 64) WHERE position = 2`],
    ['events', 'differs from what the log says in data', `UPDATE events SET data = '{}' WHERE position = 2`],
    [
      'events',
      'differs from what the log says in at, causation_id',
      `UPDATE events SET at = now(), causation_id = gen_random_uuid() WHERE position = 3`,
    ],
    ['events', 'is missing', `DELETE FROM events WHERE position IN (0, 5)`],
    ...[-7, 1_000_000].map(
      (position) =>
        [
          'events',
          'is not in the log',
          `INSERT INTO events SELECT ${position}, id, stream, revision, type, version, namespace, at, actor, correlation_id, causation_id, command_id, data FROM events LIMIT 1`,
        ] as [string, string, string],
    ),
  ]

  test('that was changed, taken away or put in is found in every table, and mended', {
    timeout: 120_000,
  }, async (t) => {
    const built = await busy(t)
    for (const [table, what, sql] of changes) {
      await caughtUp(built)
      const rowCount = await tamper(built, sql)
      expect(rowCount, sql).toBeGreaterThan(0)
      const { clean, drift } = await built.verify()
      expect(clean, sql).toBe(false)
      expect(new Set(drift.items.map(({ where }) => where)), sql).toEqual(new Set([table]))
      expect(new Set(drift.items.map((one) => one.what)), sql).toEqual(new Set([what]))
      expect(drift.total, sql).toBe(rowCount)

      const mended = await built.verify({ repair: true })
      expect(mended, sql).toMatchObject({
        clean: true,
        before: { violations: 0, drift: rowCount },
        drift: { total: 0 },
      })
      expect(mended.repaired).toEqual([
        expect.stringContaining(
          table
            .replace(/s$/, '')
            .split('_')[0]!
            .replace(/stage|attempt|analytic/, 'execution')
            .replace(/audit/, 'event'),
        ),
      ])
    }
  })

  test('is named by its key', async (t) => {
    const built = await busy(t)
    await caughtUp(built)
    await built.pool.query(`UPDATE stages SET attempt = 3 WHERE execution_id = '${built.chain}' AND stage = 'test'`)
    const { drift } = await built.verify()
    expect(drift.items).toEqual([
      { where: 'stages', key: `${built.chain}/test`, what: 'differs from what the log says in attempt' },
    ])
  })
})

describe('a checkpoint', () => {
  test('that is past the head, of another version or stopped is found, and mended', { timeout: 120_000 }, async (t) => {
    const built = await busy(t)
    const changes = [
      [`version = 77 WHERE name = 'workflows'`, 'is of version 77, not 1'],
      [
        `position = 5000 WHERE name = 'events'`,
        expect.stringMatching(/^is at position 5000, past the head of the log, \d+$/),
      ],
      [`status = 'failed', error = 'poison' WHERE name = 'executions'`, 'has stopped: poison'],
    ] as const
    for (const [change, what] of changes) {
      await caughtUp(built)
      await built.pool.query(`UPDATE checkpoints SET ${change}`)
      const { drift } = await built.verify()
      expect(drift.items.filter(({ where }) => where === 'checkpoints').map((one) => one.what)).toEqual([what])
      expect(await built.verify({ repair: true })).toMatchObject({ clean: true, notChecked: [] })
    }
  })

  test('that stands still is told of, and what it has is compared', async (t) => {
    const { verify } = await installation(t, { projecting: false })
    const { clean, drift, notChecked } = await verify()
    expect(clean).toBe(false)
    expect(drift.items.map(({ where, what }) => `${where} ${what}`)).toEqual(Array(6).fill('checkpoints is missing'))
    expect(notChecked).toEqual(
      ['workflows', 'executions', 'pools', 'schedules', 'events', 'workers'].map(
        (name) => `the read model ${name}: it is at position -1 and does not move on`,
      ),
    )
  })
})

test('a projection that met a row which is missing stops, and a repair makes it go on', async (t) => {
  const built = await busy(t)
  await caughtUp(built)
  await tamper(built, `DELETE FROM executions WHERE id = '${built.endless}'`)
  await built.server.inject({ method: 'POST', url: `${RUNS}/${built.endless}/cancel` })
  await built.ended(built.endless)
  await vi.waitFor(async () => {
    const stopped = (await built.queries.projections()).find(({ name }) => name === 'executions')
    expect(stopped?.status).toBe('failed')
  })
  const { drift } = await built.verify()
  expect(drift.items).toContainEqual({
    ...{ where: 'checkpoints', key: 'executions' },
    what: expect.stringMatching(/^has stopped: .*a row is missing/),
  })
  expect(await built.verify({ repair: true })).toMatchObject({ clean: true, notChecked: [] })
  expect((await built.queries.execution('default', built.endless))?.status).toBe('cancelled')
})

test('without the read models they are not looked at', async (t) => {
  const built = await busy(t)
  await caughtUp(built)
  await tamper(built, 'DELETE FROM workflows')
  expect(await built.verify({ readModels: false })).toMatchObject({ clean: true, notChecked: [] })
})

test('one at a time; a client that leaves ends it', async (t) => {
  const stopped = Promise.withResolvers<void>()
  const endless: CheckLog = ({ signal }) =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error))
      signal.addEventListener('abort', () => stopped.resolve())
    })
  let times = 0
  const { server, listen } = await installation(t, {
    checkLog: (real) => (asked) => (++times === 1 ? endless : real)(asked),
  })
  const { url } = await listen()
  const leave = new AbortController()
  const first = await fetch(`${url}/v1/admin/verify`, { method: 'POST', signal: leave.signal })
  expect(first.status).toBe(200)
  const refused = await server.inject({ method: 'POST', url: '/v1/admin/verify' })
  expectProblem(refused, 409, 'VERIFICATION_RUNNING')
  leave.abort()
  await stopped.promise
  const next = async () => (await server.inject({ method: 'POST', url: '/v1/admin/verify' })).statusCode
  await vi.waitFor(async () => expect(await next()).toBe(200), 10_000)
})

test('a server that shuts down ends it, and its last line says so', async (t) => {
  const endless: CheckLog = ({ signal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
  const { app, listen } = await installation(t, { checkLog: () => endless })
  const { url } = await listen()
  const answer = await fetch(`${url}/v1/admin/verify`, { method: 'POST' })
  app.verification.stop()
  const lines = (await answer.text()).trimEnd().split('\n')
  expect(JSON.parse(lines.at(-1)!)).toEqual({ kind: 'failed', detail: 'the server is shutting down' })
})

test('what goes wrong with it is its last line, and tells nothing of the inside', async (t) => {
  const broken: CheckLog = async () => Promise.reject(new TypeError('secret of /src/inside.ts:7'))
  const { server } = await installation(t, { checkLog: () => broken })
  const answer = await server.inject({ method: 'POST', url: '/v1/admin/verify' })
  const detail = 'something went wrong on our side; the log of the server has the details'
  expect(answer.json()).toEqual({ kind: 'failed', detail })
})

test('a body that is none is refused, and one that is left out stands for none', async (t) => {
  const { server } = await installation(t)
  const post = (payload: object | string, headers = {}) =>
    server.inject({ method: 'POST', url: '/v1/admin/verify', payload, headers })
  for (const payload of [{ repair: 'yes' }, { readModels: null }, { mend: true }, [], { repair: 1 }])
    expectProblem(await post(payload), 400, 'REQUEST_INVALID')
  expectProblem(await post('{', { 'content-type': 'application/json' }), 400, 'BODY_MALFORMED')
  expectProblem(await post('{}', { 'content-type': 'text/plain' }), 415)
  expectProblem(await server.inject({ method: 'GET', url: '/v1/admin/verify' }), 405)
  expect((await server.inject({ method: 'POST', url: '/v1/admin/verify' })).statusCode).toBe(200)
})
