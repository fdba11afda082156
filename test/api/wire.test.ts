// What matters on the wire itself: bytes that no client library would send, and connections that misbehave.
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { build } from '../support/build.ts'
import { headBesidesAudit } from '../support/head-besides-audit.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'
import { exchange, open, type RawResponse, received, responsesOf } from '../support/raw-http.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

const head = (extra: string, line = 'POST /v1/default/executions HTTP/1.1') =>
  `${line}\r\nHost: localhost\r\nContent-Type: application/json\r\n${extra}\r\n`

const only = (responses: readonly RawResponse[]): RawResponse => {
  expect(responses).toHaveLength(1)
  return responses[0]!
}

test('bytes that are no request, or too much of one, are answered as problems, and the process lives on', async (t) => {
  const { listen, store } = await build(t, postgres)
  const { port, url } = await listen()
  const before = await headBesidesAudit(store)
  const close = 'Connection: close\r\n'
  const cases: [string, (string | Buffer)[], number][] = [
    ['no HTTP', ['hello\r\n\r\n'], 400],
    ['a header without a colon', [head('nonsense\r\n')], 400],
    ['two lengths', [head('Content-Length: 2\r\nContent-Length: 3\r\n'), '{}'], 400],
    ['a length and chunks', [head('Content-Length: 2\r\nTransfer-Encoding: chunked\r\n'), '0\r\n\r\n'], 400],
    ['headers over the limit', [head(`X: ${'x'.repeat(20_000)}\r\n`)], 431],
    ['no Host', [`GET /health/live HTTP/1.1\r\n${close}\r\n`], 400],
    ['a foreign Host', [`GET /health/live HTTP/1.1\r\nHost: evil.example\r\n${close}\r\n`], 421],
    ['a Host that begins like ours', [`GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n${close}\r\n`], 421],
    ['bad UTF-8', [head(`Content-Length: 2\r\n${close}`), Buffer.from([0xc3, 0x28])], 400],
    ['a length over the limit', [head(`Content-Length: 1048577\r\n${close}`)], 413],
    ['bad percent encoding', [`GET /v1/%zz HTTP/1.1\r\nHost: localhost\r\n${close}\r\n`], 400],
    ['an unknown method', [`PROPFIND /health/live HTTP/1.1\r\nHost: localhost\r\n${close}\r\n`], 405],
  ]
  for (const [name, parts, status] of cases) {
    const response = only(await exchange(port, parts))
    expect(response.statusCode, name).toBe(status)
    expectProblem(response, status)
    expect((await fetch(`${url}/health/live`)).status, name).toBe(200)
  }
  expect(await headBesidesAudit(store)).toBe(before)
})

test('a body that is cut off is answered 400', async (t) => {
  const { listen, store } = await build(t, postgres)
  const before = await headBesidesAudit(store)
  const { port } = await listen()
  const parts = [head('Content-Length: 100\r\n'), '{"workflow":']
  expectProblem(only(await exchange(port, parts, { end: true })), 400)
  expect(await headBesidesAudit(store)).toBe(before)
})

test('chunks over the limit are answered 413 before they have all come', async (t) => {
  const { listen } = await build(t, postgres)
  const { port } = await listen()
  const chunk = `${(65_536).toString(16)}\r\n${'x'.repeat(65_536)}\r\n`
  const parts = [head('Transfer-Encoding: chunked\r\n'), ...Array<string>(17).fill(chunk)]
  expectProblem(only(await exchange(port, parts)), 413, 'BODY_TOO_LARGE')
})

test('a body or headers that come too slowly are answered 408', async (t) => {
  const { listen } = await build(t, postgres, { limits: { requestMs: 400, headersMs: 200, checkMs: 20 } })
  const { port } = await listen()
  expectProblem(only(await exchange(port, [head('Content-Length: 100\r\n'), '{'])), 408, 'REQUEST_TIMEOUT')
  expectProblem(only(await exchange(port, ['GET / HTTP/1.1\r\nHost: loc'])), 408, 'REQUEST_TIMEOUT')
})

test('one connection carries many requests', async (t) => {
  const { listen } = await build(t, postgres)
  const { port } = await listen()
  const get = (path: string, extra = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${extra}\r\n`
  const answers = await exchange(port, [
    get('/health/live'),
    get('/v1/default/executions/none'),
    get('/health/live', 'Connection: close\r\n'),
  ])
  expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 404, 200])
})

test('closing answers what is under way and turns away what comes after', async (t) => {
  const waiting = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<boolean>()
  const { server, listen } = await build(t, postgres, {
    queries: (real) => ({
      ...real,
      reached() {
        waiting.resolve()
        return answer.promise
      },
    }),
  })
  const { port } = await listen()
  const socket = await open(port)
  const bytes = received(socket)
  socket.write('GET /v1/default/workflows?minPosition=0 HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await waiting.promise
  const closed = server.close()
  socket.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n')
  answer.resolve(true)
  await Promise.all([closed, once(socket, 'close')])
  const [first, second] = responsesOf(await bytes)
  expect(first?.statusCode).toBe(200)
  if (second) expectProblem(second, 503, 'UNAVAILABLE')
})
