import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest'
import { executionsSchema } from '../../src/api/answers.ts'
import { scheduleAnswer, schedulesSchema, upcomingSchema } from '../../src/api/schedule-answers.ts'
import { type Built, build } from '../support/build.ts'
import { headBesidesAudit } from '../support/head-besides-audit.ts'
import { LeapingClock } from '../support/leaping-clock.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

const URL = '/v1/default/schedules'
const body = { workflow: 'release', cron: '0 2 * * *', timezone: 'Europe/Berlin' }

async function open(t: TestContext, options: Parameters<typeof build>[2] = {}) {
  const built: Built = await build(t, postgres, options)
  const { server } = built
  const send =
    (method: 'PUT' | 'POST' | 'DELETE') =>
    (url: string, payload?: object, headers: Record<string, string> = {}) =>
      server.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) })
  const put = send('PUT')
  const get = (url: string) => server.inject({ method: 'GET', url })
  const workflow = { name: 'release', stages: { build: { uses: 'echo' } } }
  const register = (more = {}) => put('/v1/default/workflows/release', { ...workflow, ...more })
  await register()
  return { ...built, put, post: send('POST'), del: send('DELETE'), get, register }
}

/** What is fresh as of the command. */
const fresh = (answer: { json(): { position: string } }): string => `minPosition=${answer.json().position}&wait=20s`

describe('a schedule', () => {
  test('is created, read, revised, paused, resumed and deleted', async (t) => {
    const { put, post, get, del } = await open(t)
    const created = await put(`${URL}/nightly`, body)
    expect(created.statusCode).toBe(201)
    expect(created.json()).toEqual({ name: 'nightly', position: expect.stringMatching(/^\d+$/) })
    const one = scheduleAnswer.strict().parse((await get(`${URL}/nightly?${fresh(created)}`)).json())
    expect(one).toMatchObject({
      name: 'nightly',
      workflow: 'release',
      status: 'active',
      nextAt: expect.stringMatching(/T0[01]:00:00\.000Z$/),
      spec: { ...body, overlap: 'skip', misfire: 'once', catchUp: { within: '1d' }, jitter: '0ms', priority: 0 },
      counts: { fired: 0, passed: 0 },
    })
    expect((await put(`${URL}/nightly`, body)).statusCode).toBe(200)
    // What is answered can be sent back, and changes nothing.
    const back = await put(`${URL}/nightly`, one.spec)
    expect(back.json().position).toBe(created.json().position)

    const revised = await put(`${URL}/nightly`, { workflow: 'release', every: '90m', overlap: 'queue' })
    expect(revised.statusCode).toBe(200)
    const now = (await get(`${URL}/nightly?${fresh(revised)}`)).json()
    expect(now.spec).toMatchObject({ every: '90m', overlap: 'queue', queueLimit: 10 })
    const paused = await post(`${URL}/nightly/pause`, { reason: 'freeze' })
    expect((await get(`${URL}/nightly?${fresh(paused)}`)).json()).toMatchObject({ status: 'paused' })
    expect((await get(`${URL}/nightly/preview`)).json()).toEqual({ items: [] })
    const resumed = await post(`${URL}/nightly/resume`)
    const preview = await get(`${URL}/nightly/preview?count=3&${fresh(resumed)}`)
    expect(upcomingSchema.strict().parse(preview.json()).items).toHaveLength(3)
    const list = schedulesSchema.strict().parse((await get(`${URL}?workflow=release`)).json())
    expect(list.items).toEqual([expect.objectContaining({ name: 'nightly' })])

    const deleted = await del(`${URL}/nightly`)
    expect(deleted.statusCode).toBe(200)
    expectProblem(await get(`${URL}/nightly?${fresh(deleted)}`), 404, 'SCHEDULE_UNKNOWN')
    expectProblem(await del(`${URL}/nightly`), 404, 'SCHEDULE_UNKNOWN')
    expect((await put(`${URL}/nightly`, body)).statusCode).toBe(201)
  })

  test('starts runs, which are found by its label', async (t) => {
    const clock = new LeapingClock()
    const { put, get, store, happened } = await open(t, { clock })
    await put(`${URL}/often`, { workflow: 'release', every: '10m', input: { service: 'shop' } })
    clock.leap(10 * 60_000)
    const [run] = await untilRuns(store, 1)
    await happened(run!, 'ExecutionCompleted')
    const minPosition = await store.head()
    const answer = await get(`/v1/default/executions?label=schedule=often&minPosition=${minPosition}&wait=20s`)
    const { items } = executionsSchema.parse(answer.json())
    expect(items).toEqual([expect.objectContaining({ id: run, workflow: 'release', status: 'completed' })])
  })

  test('fills back what lies behind, and the same key is the same backfill', async (t) => {
    const { put, post, get, happened, store } = await open(t)
    await put(`${URL}/nightly`, body)
    const range = { from: '2026-01-01T00:00:00Z', to: '2026-01-04T00:00:00Z', maxConcurrent: 2 }
    const key = { 'idempotency-key': 'winter' }
    const asked = await post(`${URL}/nightly/backfill`, range, key)
    expect(asked.statusCode).toBe(202)
    expect((await post(`${URL}/nightly/backfill`, range, key)).json().id).toBe(asked.json().id)
    for (const run of await untilRuns(store, 3)) await happened(run, 'ExecutionCompleted')
    await untilEvent(store, 'BackfillEnded')
    const position = await store.head()
    const one = (await get(`${URL}/nightly?minPosition=${position}&wait=20s`)).json()
    expect(one).toMatchObject({ counts: { fired: 3, completed: 3 }, open: 0 })
    expect(one).not.toHaveProperty('backfill')
    expect((await post(`${URL}/nightly/backfill/cancel`)).statusCode).toBe(200)
  })
})

test('the schedules of a workflow are named for both, and are changed through it alone', async (t) => {
  const { register, get, put, post, del, store } = await open(t)
  await register({ schedules: { nightly: { cron: '@daily', input: { service: 'shop' } } } })
  const at = await untilEvent(store, 'ScheduleDefined')
  const one = (await get(`${URL}/release.nightly?minPosition=${at}&wait=20s`)).json()
  expect(one).toMatchObject({ name: 'release.nightly', definedBy: 'release', spec: { cron: '@daily' } })
  expectProblem(await del(`${URL}/release.nightly`), 409, 'SCHEDULE_OWNED')
  expectProblem(await put(`${URL}/release.nightly`, body), 404, 'NOT_FOUND')
  expect((await post(`${URL}/release.nightly/pause`)).statusCode).toBe(200)
  await post('/v1/default/workflows/release/retire')
  const gone = await untilEvent(store, 'ScheduleDeleted')
  expectProblem(await get(`${URL}/release.nightly?minPosition=${gone}&wait=20s`), 404, 'SCHEDULE_UNKNOWN')
})

describe('bad input writes nothing', () => {
  test.each<[what: string, body: object, pointer: string, says: string]>([
    ['no timing', { workflow: 'release' }, '', 'one of `cron`, `every` and `at`'],
    ['two timings', { ...body, every: '1h' }, '', 'one of `cron`, `every` and `at`'],
    ['a day that never comes', { ...body, cron: '0 0 30 2 *' }, '/cron', 'never comes'],
    ['no expression', { ...body, cron: '61 * * * *' }, '/cron', 'is not a minute'],
    ['no time zone', { ...body, timezone: 'Mars/Olympus' }, '/timezone', 'Europe/Berlin'],
    ['an offset for a zone', { ...body, timezone: '+02:00' }, '/timezone', 'Europe/Berlin'],
    ['a zone for an interval', { workflow: 'release', every: '1h', timezone: 'UTC' }, '/timezone', 'no effect'],
    ['a start for cron', { ...body, from: '2026-01-01T00:00:00Z' }, '/from', 'no effect'],
    ['an interval of no time', { workflow: 'release', every: '0s' }, '/every', '1s or longer'],
    ['a time without a zone', { workflow: 'release', at: '2030-01-01T00:00:00' }, '/at', 'a time with its zone'],
    ['a limit for no queue', { ...body, queueLimit: 3 }, '/queueLimit', 'no effect'],
    ['catching up with none', { ...body, misfire: 'none', catchUp: { within: '1h' } }, '/catchUp', 'no effect'],
    ['all, one at a time', { ...body, misfire: 'all' }, '/misfire', 'no effect'],
    [
      'too much catching up',
      { ...body, misfire: 'all', overlap: 'allow', catchUp: { max: 101 } },
      '/catchUp/max',
      '100',
    ],
    ['an unknown member', { ...body, when: 'now' }, '/when', 'no such member'],
    ['an unknown policy', { ...body, overlap: 'maybe' }, '/overlap', ''],
    [
      'a prototype',
      JSON.parse('{"workflow":"release","cron":"@daily","labels":{"constructor":{"prototype":1}}}'),
      '',
      '',
    ],
  ])('%s', async (_, sent, pointer, says) => {
    const { put, post, store } = shared
    const head = await headBesidesAudit(store)
    for (const answer of [await put(`${URL}/bad`, sent), await post(`${URL}/preview`, sent)]) {
      const { errors } = expectProblem(answer, 400)
      if (says !== '') expect(errors).toContainEqual({ pointer, message: expect.stringContaining(says) })
    }
    expect(await headBesidesAudit(store)).toBe(head)
  })

  let shared: Awaited<ReturnType<typeof open>>
  let close: (() => Promise<void>)[] = []
  beforeAll(async () => {
    shared = await open({ onTestFinished: (stop: () => Promise<void>) => void close.unshift(stop) } as never)
  })
  afterAll(async () => {
    for (const stop of close) await stop()
    close = []
  })

  test('what cannot be started, or lies in the past, is refused at once', async () => {
    const { put, register, store } = shared
    await register({ input: { type: 'object', properties: { count: { type: 'integer' } } } })
    const head = await headBesidesAudit(store)
    expectProblem(await put(`${URL}/bad`, { ...body, workflow: 'ghost' }), 404, 'WORKFLOW_UNKNOWN')
    expectProblem(await put(`${URL}/bad`, { ...body, version: 7 }), 404, 'WORKFLOW_VERSION_UNKNOWN')
    const { errors } = expectProblem(await put(`${URL}/bad`, { ...body, input: { count: 'x' } }), 422, 'INPUT_INVALID')
    expect(errors[0]?.pointer).toBe('/input/count')
    const past = { workflow: 'release', at: '2020-01-01T00:00:00Z' }
    expectProblem(await put(`${URL}/bad`, past), 422, 'SCHEDULE_INVALID')
    expectProblem(await put(`${URL}/bad`, { ...body, input: { text: 'x'.repeat(70_000) } }), 413, 'EVENT_TOO_LARGE')
    expect(await headBesidesAudit(store)).toBe(head)
  })

  test('names, commands and questions', async () => {
    const { put, post, get, store } = shared
    expect((await put(`${URL}/fine`, body)).statusCode).toBe(201)
    const head = await headBesidesAudit(store)
    for (const name of ['UP', 'a.b.c', 'x'.repeat(64), '%00', '-x', '..%2F'])
      expectProblem(await put(`${URL}/${name}`, body), 404)
    for (const command of ['pause', 'resume', 'backfill/cancel'])
      expectProblem(await post(`${URL}/ghost/${command}`), 404, 'SCHEDULE_UNKNOWN')
    expectProblem(await post(`${URL}/fine/pause`, { why: 'x' }), 400)
    const range = { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' }
    expectProblem(await post(`${URL}/ghost/backfill`, range), 404, 'SCHEDULE_UNKNOWN')
    expectProblem(await post(`${URL}/fine/backfill`, { ...range, to: range.from }), 422, 'BACKFILL_IMPOSSIBLE')
    expectProblem(
      await post(`${URL}/fine/backfill`, { ...range, to: '2999-01-01T00:00:00Z' }),
      422,
      'BACKFILL_IMPOSSIBLE',
    )
    for (const bad of [{ maxConcurrent: 0 }, { maxConcurrent: 101 }, { from: 'yesterday' }, { overlap: 'skip' }])
      expectProblem(await post(`${URL}/fine/backfill`, { ...range, ...bad }), 400)
    for (const query of ['count=0', 'count=101', 'count=1e3', 'count=1&count=2'])
      expectProblem(await get(`${URL}/fine/preview?${query}`), 400)
    expectProblem(await get(`${URL}?cursor=forged`), 400, 'CURSOR_INVALID')
    expectProblem(await get('/v1/other/schedules/fine'), 404, 'SCHEDULE_UNKNOWN')
    expect(await headBesidesAudit(store)).toBe(head)
  })

  test('in a workflow it has a pointer, and its input is held to the schema', async () => {
    const { register, store } = shared
    const head = await headBesidesAudit(store)
    const faults = async (schedules: object) =>
      expectProblem(
        await register({ input: { type: 'object', required: ['service'] }, schedules }),
        422,
        'DEFINITION_INVALID',
      ).errors.map(({ pointer, message }) => `${pointer} ${message}`)
    expect(await faults({ nightly: { cron: '0 0 30 2 *', input: { service: 'a' } } })).toEqual([
      '/schedules/nightly/cron never comes: no year has such a day',
    ])
    expect(await faults({ nightly: { workflow: 'release', cron: '@daily' } })).toEqual([
      '/schedules/nightly/workflow there is no member `workflow` here',
    ])
    expect(await faults({ Nightly: { cron: '@daily' } })).toEqual([expect.stringContaining('/schedules/Nightly')])
    expect(await faults({ nightly: { cron: '@daily' } })).toEqual([
      expect.stringMatching(/^\/schedules\/nightly\/input.*service/),
    ])
    expect(await headBesidesAudit(store)).toBe(head)
  })
})

test('the times of what is not saved are shown', async (t) => {
  const { post } = await open(t, { acting: false })
  const answer = await post(`${URL}/preview?count=2`, { workflow: 'ghost', at: '2999-01-01T00:00:00Z' })
  expect(answer.json()).toEqual({ items: [{ nominalAt: '2999-01-01T00:00:00.000Z' }] })
  const every = await post(`${URL}/preview?count=2`, { workflow: 'ghost', every: '1h', from: '2999-01-01T00:00:00Z' })
  expect(every.json().items.map(({ nominalAt }: { nominalAt: string }) => nominalAt)).toEqual([
    '2999-01-01T00:00:00.000Z',
    '2999-01-01T01:00:00.000Z',
  ])
})

/** The ids of the runs that schedules started, once there are so many. */
async function untilRuns(store: Built['store'], count: number): Promise<string[]> {
  const ids: string[] = []
  const found = new AbortController()
  for await (const { events } of store.subscribe({ after: -1, prefixes: ['execution-'], signal: found.signal })) {
    ids.push(...events.filter(({ type }) => type === 'ExecutionStarted').map(({ stream }) => stream.slice(10)))
    if (ids.length >= count) found.abort()
  }
  return ids
}

/** The position of the first event of the type among those of schedules, once it is there. */
async function untilEvent(store: Built['store'], type: string): Promise<number> {
  const found = new AbortController()
  for await (const { events } of store.subscribe({ after: -1, prefixes: ['schedule-'], signal: found.signal })) {
    const event = events.find((one) => one.type === type)
    if (event) return event.position
  }
  throw new Error(`there is no ${type}`)
}
