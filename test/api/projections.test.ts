// What can be asked and done about the read models over HTTP.
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'
import { newId } from '../../src/commands/new-id.ts'
import { executionStream } from '../../src/domain/execution/events.ts'
import { type Built, build } from '../support/build.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'
import { until } from '../support/recorded-log.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

type Projection = {
  name: string
  status: string
  position: string
  error?: string
  stoppedBefore?: { position: string; type: string }
  rebuild?: Record<string, unknown> & { status: string; phase: string }
  kept?: { version: number; position: string; since: string }
}

const PATH = '/v1/admin/projections'

async function installation(t: TestContext, options: Parameters<typeof build>[2] = {}) {
  const built = await build(t, postgres, options)
  const { server } = built
  const payload = { name: 'chain', stages: { build: { uses: 'echo' }, test: { uses: 'echo', needs: ['build'] } } }
  await server.inject({ method: 'PUT', url: '/v1/default/workflows/chain', payload })
  const run = async () => {
    const answer = await server.inject({
      method: 'POST',
      url: '/v1/default/executions',
      payload: { workflow: 'chain' },
    })
    await built.ended(answer.json<{ id: string }>().id)
  }
  const post = (url: string, payload: object = {}) =>
    server.inject({ method: 'POST', url: `${PATH}/${url}`, payload, headers: { 'millrace-actor': 'ada' } })
  const one = async (name: string) => (await server.inject(`${PATH}/${name}`)).json<Projection>()
  const rebuilt = (name: string) =>
    until('the rebuild', async () => {
      const { rebuild } = await one(name)
      return rebuild !== undefined && rebuild.status !== 'running' && rebuild
    })
  return { ...built, run, post, one, rebuilt }
}

test('a rebuild is asked for, watched and swapped; the rows from before can be had back', async (t) => {
  const { server, run, post, one, rebuilt } = await installation(t)
  await run()
  expectProblem(await post('executions/rollback'), 409, 'NOTHING_KEPT')
  const asked = await post('executions/rebuild', { reason: 'to see' })
  expect(asked.statusCode, asked.body).toBe(202)
  expect(asked.json<Projection>().rebuild).toMatchObject({
    status: 'running',
    reason: 'to see',
    requestedBy: 'user:ada',
  })
  expect(await rebuilt('executions')).toMatchObject({
    status: 'swapped',
    phase: 'done',
    progress: 1,
    difference: { total: 0, items: [], position: expect.stringMatching(/^\d+$/) },
    startedAt: expect.any(String),
    finishedAt: expect.any(String),
  })
  expect((await one('executions')).kept).toMatchObject({ version: 4, position: expect.stringMatching(/^\d+$/) })
  const back = await post('executions/rollback', { reason: 'it was better' })
  expect(back.statusCode, back.body).toBe(200)
  // The reason that is given is on record.
  const url = '/v1/system/audit?command=RollBackProjection&outcome=accepted'
  const recorded = await until('the record', async () => {
    const { items } = (await server.inject(url)).json<{ items: object[] }>()
    return items.length > 0 && items
  })
  expect(recorded).toMatchObject([{ reason: 'it was better', actor: 'user:ada' }])
  expect((await post('executions/forget')).statusCode).toBe(200)
  expect(await one('executions')).not.toHaveProperty('kept')
  expectProblem(await post('executions/forget'), 409, 'NOTHING_KEPT')
})

test('a rebuild that is held is swapped in or cancelled by hand', async (t) => {
  const { run, post, one, rebuilt } = await installation(t)
  await run()
  expectProblem(await post('events/rebuild/cancel'), 409, 'REBUILD_NOT_RUNNING')
  expectProblem(await post('events/rebuild/swap'), 409, 'REBUILD_NOT_HELD')
  await post('events/rebuild', { hold: true })
  await until('it to be held', async () => (await one('events')).rebuild?.phase === 'held')
  expectProblem(await post('events/rebuild'), 409, 'REBUILD_RUNNING')
  expectProblem(await post('events/rollback'), 409, 'NOTHING_KEPT')
  expect((await post('events/rebuild/swap')).statusCode).toBe(202)
  expect(await rebuilt('events')).toMatchObject({ status: 'swapped' })
  await post('events/rebuild', { hold: true })
  expect((await post('events/rebuild/cancel')).json<Projection>().rebuild).toMatchObject({ status: 'cancelled' })
})

/** An event of a version to come, as a newer program would have written it. */
async function poison({ store }: Pick<Built, 'store'>): Promise<number> {
  const metadata = { namespace: 'default', correlationId: newId(), commandId: newId(), actor: 'user:ada' }
  const event = {
    id: newId(),
    type: 'StageStarted',
    version: 2,
    at: new Date().toISOString(),
    data: { stage: 'a' },
    metadata,
  }
  return (await store.append(executionStream(newId()), 'noStream', [event])).position
}

test('an event that a read model cannot take is shown, tried again, and left out on record', async (t) => {
  // Reactors would stop before such an event as well.
  const { server, store, pool, post, one, queries } = await installation(t, { acting: false })
  expectProblem(await post('executions/retry'), 409, 'PROJECTION_NOT_STOPPED')
  const position = await poison({ store })
  const stopped = () => until('it to stop', async () => (await one('executions')).status === 'failed')
  await stopped()
  const { error, stoppedBefore, ...rest } = await one('executions')
  expect(rest.position).toBe(String(position - 1))
  expect(stoppedBefore).toMatchObject({ type: 'StageStarted', position: String(position) })
  expect(error).toContain('StageStarted has schema version 2, this program knows up to 1')
  expectProblem(
    await server.inject(`/v1/default/executions?minPosition=${position}&wait=10ms`),
    503,
    'POSITION_NOT_REACHED',
  )

  expect((await post('executions/retry')).statusCode).toBe(202)
  await stopped()
  expectProblem(await post('executions/skip', { position: String(position) }), 400, 'REQUEST_INVALID')
  expectProblem(
    await post('executions/skip', { position: String(position - 1), reason: 'no' }),
    409,
    'PROJECTION_NOT_STOPPED',
  )
  const skipped = await post('executions/skip', { position: String(position), reason: 'of a trial' })
  expect(skipped.statusCode, skipped.body).toBe(202)
  expect(await queries.reached(Number(skipped.json<{ position: string }>().position), 20_000)).toBe(true)
  expect(await one('executions')).toMatchObject({ status: 'running' })
  expect(await one('executions')).not.toHaveProperty('error')
  const { rows } = await pool.query(`SELECT actor, data FROM events WHERE type = 'ProjectionEventSkipped'`)
  expect(rows).toMatchObject([{ actor: 'user:ada', data: { reason: 'of a trial', event: { position } } }])
  const verdict = await server.inject({ method: 'POST', url: '/v1/admin/verify', payload: {} })
  expect(verdict.body.trimEnd().split('\n').at(-1)).not.toContain('"where":"executions"')
})

test('what is asked of no projection, or cannot be read, is refused', async (t) => {
  const { server, post } = await installation(t)
  for (const action of ['rebuild', 'rebuild/cancel', 'rebuild/swap', 'rollback', 'forget', 'retry'])
    expectProblem(await post(`nothing/${action}`), 404, 'PROJECTION_UNKNOWN')
  expectProblem(await post('nothing/skip', { position: '1', reason: 'x' }), 404, 'PROJECTION_UNKNOWN')
  expectProblem(await server.inject(`${PATH}/nothing`), 404, 'PROJECTION_UNKNOWN')
  expectProblem(await server.inject(`${PATH}/${'x'.repeat(5_000)}`), 404)
  for (const payload of [{ hold: 'yes' }, { reason: '' }, { reason: 'x'.repeat(501) }, { nope: 1 }, { version: 1 }])
    expectProblem(await post('executions/rebuild', payload), 400, 'REQUEST_INVALID')
  for (const position of [1, '-1', '1e3', '9'.repeat(16), "'; drop"])
    expectProblem(await post('executions/skip', { position, reason: 'x' }), 400, 'REQUEST_INVALID')
})
