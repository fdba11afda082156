import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../../src/adapters/clock.ts'
import { createWatchingServer } from '../../src/api/server.ts'
import { silent } from '../support/engine.ts'

let isReady: boolean
let server: ReturnType<typeof createWatchingServer>
beforeEach(() => {
  isReady = true
  const ready = async () => ({
    ok: isReady,
    checks: { leases: isReady },
    ...(isReady ? {} : { reasons: { leases: 'out of reach' } }),
  })
  server = createWatchingServer({ clock: systemClock }, { logger: silent, ready })
})
afterEach(() => server.close())

const get = (url: string, host = 'localhost') => server.inject({ url, headers: { host } })

it('a process without the API says that it is there, whether it can work and why not, and its metrics', async () => {
  expect((await get('/health/live')).json()).toEqual({ status: 'ok' })
  expect((await get('/health/ready')).json()).toEqual({ status: 'ok', checks: { leases: true } })
  isReady = false
  const answer = await get('/health/ready')
  expect([answer.statusCode, answer.headers['retry-after']]).toEqual([503, '1'])
  expect(answer.json()).toMatchObject({ code: 'NOT_READY', detail: 'not ready yet: leases (out of reach)' })
  const metrics = await get('/metrics')
  expect(metrics.headers['content-type']).toMatch(/^text\/plain/)
  expect(metrics.body).toContain('millrace_http_request_duration_seconds_count')
})

it('it answers nothing else, and for no other host', async () => {
  for (const url of ['/v1/default/executions', '/openapi.json', '/docs/', '/v1/admin/projections'])
    expect((await get(url)).statusCode, url).toBe(404)
  expect((await get('/health/live', 'example.com')).statusCode).toBe(421)
})
