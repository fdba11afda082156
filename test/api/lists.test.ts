// Lists in the orders that they can be asked for, under inserts; and answers that are not sent again.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Built, build } from '../support/build.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'

let postgres: TestPostgres
let built: Built
let close: () => Promise<void>
beforeAll(async () => {
  postgres = await startTestPostgres()
  built = await build({ onTestFinished: (stop) => (close = stop) }, postgres)
  for (const name of ['beta', 'alpha', 'gamma', 'delta', 'epsilon']) await register(name, 'hi')
  // Revised, so that the order of updates is not that of registration.
  await register('alpha', 'ho')
  await register('beta', 'ho')
  await caughtUp()
})
afterAll(async () => {
  await close()
  await postgres.stop()
})

const register = (name: string, say: string) =>
  built.server.inject({
    ...{ method: 'PUT', url: `/v1/default/workflows/${name}` },
    payload: { name, stages: { one: { uses: 'echo', with: { say } } } },
  })
const start = async (workflow: string): Promise<string> =>
  (await built.server.inject({ method: 'POST', url: '/v1/default/executions', payload: { workflow } })).json().id
const caughtUp = async () => expect(await built.queries.reached(await built.store.head(), 20_000)).toBe(true)

/** Every page of a list, two items each; `between` happens after the first. */
async function paged<T>(url: string, between: () => Promise<unknown> = async () => {}): Promise<T[]> {
  const items: T[] = []
  let cursor: string | null = ''
  for (let page = 0; cursor !== null; page++) {
    const from: string = cursor === '' ? '' : `&cursor=${cursor}`
    const answer = await built.server.inject(`/v1/default/${url}${url.includes('?') ? '&' : '?'}limit=2${from}`)
    expect(answer.statusCode, answer.body).toBe(200)
    const body: { items: T[]; nextCursor: string | null } = answer.json()
    items.push(...body.items)
    cursor = body.nextCursor
    if (page === 0) await between()
  }
  return items
}
const names = async (sort: string) => (await paged<{ name: string }>(`workflows${sort}`)).map(({ name }) => name)

describe('sorting', () => {
  test('of workflows goes by their names and times, either way', async () => {
    const byName = ['alpha', 'beta', 'delta', 'epsilon', 'gamma']
    expect(await names('')).toEqual(byName)
    expect(await names('?sort=name')).toEqual(byName)
    expect(await names('?sort=-name')).toEqual(byName.toReversed())
    const created = ['beta', 'alpha', 'gamma', 'delta', 'epsilon']
    expect(await names('?sort=createdAt')).toEqual(created)
    expect(await names('?sort=-createdAt')).toEqual(created.toReversed())
    const updated = ['gamma', 'delta', 'epsilon', 'alpha', 'beta']
    expect(await names('?sort=updatedAt')).toEqual(updated)
    expect(await names('?sort=-updatedAt')).toEqual(updated.toReversed())
  })

  test('of runs goes either way, and pages miss and double nothing while runs are started', async () => {
    const ids: string[] = []
    for (let n = 0; n < 5; n++) ids.push(await start('gamma'))
    await caughtUp()
    const more = async () => {
      ids.push(await start('gamma'))
      await caughtUp()
    }
    const idsOf = (items: { id: string }[]) => items.map(({ id }) => id)
    const descending = idsOf(await paged('executions?sort=-startedAt', more))
    expect(descending).toEqual(ids.slice(0, 5).toReversed())
    expect(idsOf(await paged('executions?sort=startedAt', more))).toEqual(ids)
    expect(idsOf(await paged('executions'))).toEqual(ids.toReversed())
  })

  test('of workers goes by their registration', async () => {
    built.startWorker(['gpu'])
    await expect.poll(async () => (await paged('workers')).length).toBe(2)
    const workers = async (sort: string) => (await paged<{ id: string }>(`workers?sort=${sort}`)).map(({ id }) => id)
    expect(await workers('registeredAt')).toEqual((await workers('-registeredAt')).toReversed())
  })

  test.each([
    'executions?sort=finishedAt',
    'executions?sort=',
    'executions?sort=startedAt;drop',
    'workflows?sort=-version',
    'workers?sort=host',
  ])('%s → 400', async (url) => {
    expectProblem(await built.server.inject(`/v1/default/${url}`), 400)
  })

  test('a cursor is of one order alone', async () => {
    const { nextCursor } = (await built.server.inject('/v1/default/workflows?limit=1&sort=-updatedAt')).json()
    for (const sort of ['name', 'updatedAt', '-createdAt'])
      expectProblem(
        await built.server.inject(`/v1/default/workflows?sort=${sort}&cursor=${nextCursor}`),
        400,
        'CURSOR_INVALID',
      )
  })
})

describe('an answer that has not changed', () => {
  const ask = (headers: Record<string, string> = {}, url = '/v1/default/workflows/gamma') =>
    built.server.inject({ url, headers })

  test('is not sent again, and says so', async () => {
    for (const url of [
      '/v1/default/workflows',
      '/v1/default/workflows/gamma',
      '/v1/default/analytics',
      '/openapi.json',
    ]) {
      const first = await ask({}, url)
      const tag = first.headers.etag as string
      expect(first.headers['cache-control']).toBe('no-cache')
      for (const asked of [tag, `"other", ${tag}`, tag.replace('W/', ''), `W/${tag.replace('W/', '')}`, '*']) {
        const again = await ask({ 'if-none-match': asked }, url)
        expect({ status: again.statusCode, body: again.body, tag: again.headers.etag }, url).toEqual({
          status: 304,
          body: '',
          tag,
        })
        expect(again.headers['content-type']).toBeUndefined()
      }
      expect((await ask({ 'if-none-match': '"other"' }, url)).body).toBe(first.body)
    }
  })

  test('is another once it has', async () => {
    const { etag } = (await ask({}, '/v1/default/workflows')).headers
    await register('gamma', 'hey')
    await caughtUp()
    const later = await ask({ 'if-none-match': etag as string }, '/v1/default/workflows')
    expect(later.statusCode).toBe(200)
    expect(later.headers.etag).not.toBe(etag)
  })

  test('only of what asks: commands and problems are answered whatever is known', async () => {
    const headers = { 'if-none-match': '*' }
    expectProblem(await ask(headers, '/v1/default/workflows/nothing'), 404)
    expectProblem(await ask(headers, '/v1/default/workflows?limit=0'), 400)
    const payload = { workflow: 'gamma' }
    const started = await built.server.inject({ method: 'POST', url: '/v1/default/executions', headers, payload })
    expect(started.statusCode).toBe(202)
    expect(started.headers.etag).toBeUndefined()
  })
})
