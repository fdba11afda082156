import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import type { StopReason } from '../../src/ports/handler.ts'
import { call, echo, httpStage, serve } from '../support/http-stage.ts'
import { stageFailure } from '../support/stage-failure.ts'

const SECRET = 'canary-77c1e0'

describe('a request', () => {
  it('carries method, headers and a body as JSON', async () => {
    const port = await serve(echo)
    const output = await call({
      url: `http://127.0.0.1:${port}/a?b=c`,
      method: 'POST',
      headers: { 'X-Trace': 'yes' },
      body: { a: [1, null] },
    })
    expect(output.status).toBe(200)
    expect(output.body).toMatchObject({ method: 'POST', url: '/a?b=c', body: '{"a":[1,null]}' })
    expect(output.body).toMatchObject({ headers: { 'x-trace': 'yes', 'content-type': 'application/json' } })
  })

  it('sends text as it is, under the content type it is given', async () => {
    const port = await serve(echo)
    const url = `http://127.0.0.1:${port}/`
    const given = { url, method: 'PUT', body: 'a,b', headers: { 'Content-Type': 'text/csv' } }
    expect((await call(given)).body).toMatchObject({ body: 'a,b', headers: { 'content-type': 'text/csv' } })
    expect((await call({ url, method: 'PUT', body: 'x' })).body).toMatchObject({
      headers: { 'content-type': 'text/plain; charset=utf-8' },
    })
  })

  it.each<[{ [key: string]: Json }, string]>([
    [{}, 'url:'],
    [{ url: 'not a url' }, 'url: expected an address'],
    [{ url: 'file:///etc/passwd' }, 'url: expected an address'],
    [{ url: 'http://user:secret@a.test' }, 'url: an address must not hold a user name'],
    [{ url: 'http://a.test', method: 'TRACE' }, 'method:'],
    [{ url: 'http://a.test', headers: { Host: 'b' } }, 'headers.Host:'],
    [{ url: 'http://a.test', headers: { 'x-a': 'a\r\nb: c' } }, 'headers.x-a:'],
    [{ url: 'http://a.test', expect: 20 }, 'expect:'],
    [{ url: 'http://a.test', follow: true }, 'follow'],
  ])('refuses %j', async (input, where) => {
    const error = await stageFailure(call(input))
    expect(error).toMatchObject({ code: 'INPUT_INVALID', retryable: false })
    expect(error.message).toContain(where)
  })
})

describe('a response', () => {
  it('keeps a few headers and no cookie', async () => {
    const port = await serve(echo)
    const { headers } = await call({ url: `http://127.0.0.1:${port}/` })
    expect(headers).toMatchObject({ 'content-type': 'application/json' })
    expect(headers).not.toHaveProperty('set-cookie')
  })

  it.each([
    ['text/plain', '{"a":1}', '{"a":1}'],
    ['application/problem+json; charset=utf-8', '{"a":1}', { a: 1 }],
    ['application/json', '{"a":', '{"a":'],
    ['application/json', '{"a":1e400}', '{"a":1e400}'],
    ['application/octet-stream', 'a\0b', 'a\uFFFDb'],
  ])('of %s with %s is %j', async (type, body, expected) => {
    const port = await serve((_, response) => response.setHeader('content-type', type).end(body))
    expect((await call({ url: `http://127.0.0.1:${port}/` })).body).toEqual(expected)
  })

  it('fails the stage when its status is not the expected one', async () => {
    const port = await serve((_, response) => response.writeHead(429, { 'retry-after': '7' }).end('slow down'))
    const url = `http://127.0.0.1:${port}/hooks/secret-path`
    expect(await stageFailure(call({ url }))).toEqual({
      code: 'HTTP_STATUS',
      httpStatus: 429,
      message: `GET http://127.0.0.1:${port} answered 429`,
      details: { body: 'slow down', retryAfter: '7' },
    })
    expect((await stageFailure(call({ url, expect: [200, 404] }))).httpStatus).toBe(429)
    expect((await call({ url, expect: 429 })).status).toBe(429)
    expect((await call({ url, expect: [200, 429] })).body).toBe('slow down')
  })

  it('may be 1 MiB and not a byte more', async () => {
    const size = 1024 * 1024
    const port = await serve((request, response) =>
      response.end(Buffer.alloc(size + Number(request.url?.slice(1)), 'x')),
    )
    expect((await call({ url: `http://127.0.0.1:${port}/0` })).body).toHaveLength(size)
    expect(await stageFailure(call({ url: `http://127.0.0.1:${port}/1` }))).toMatchObject({
      code: 'RESPONSE_TOO_LARGE',
      retryable: false,
    })
  })

  it('that never ends is cut off', async () => {
    const port = await serve((_, response) => {
      const pump = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536))) {}
        response.once('drain', pump)
      }
      pump()
    })
    expect((await stageFailure(call({ url: `http://127.0.0.1:${port}/` }))).code).toBe('RESPONSE_TOO_LARGE')
  })

  it('with too large a head is refused', async () => {
    const port = await serve((_, response) => response.setHeader('x-big', 'x'.repeat(40_000)).end())
    expect((await stageFailure(call({ url: `http://127.0.0.1:${port}/` }))).code).toBe('RESPONSE_TOO_LARGE')
  })
})

describe('no answer', () => {
  it('for want of a listener is a failed connection', async () => {
    const server = createServer().listen(0)
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    const error = await stageFailure(call({ url: `http://127.0.0.1:${port}/` }))
    expect(error).toEqual({
      code: 'CONNECTION_FAILED',
      message: `no usable answer from http://127.0.0.1:${port}: ECONNREFUSED`,
    })
  })

  it('for want of a name is a failed connection', async () => {
    const resolve = () => Promise.reject(Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }))
    expect(await stageFailure(call({ url: 'http://nowhere.test/' }, { resolve }))).toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining('ENOTFOUND'),
    })
  })

  it('because the server hangs up is a failed connection', async () => {
    const port = await serve((request) => request.socket.destroy())
    expect((await stageFailure(call({ url: `http://127.0.0.1:${port}/` }))).code).toBe('CONNECTION_FAILED')
  })

  it('in time is a timeout, for the head and for the body', async () => {
    const port = await serve((request, response) => {
      if (request.url === '/body') response.write('a')
    })
    for (const path of ['head', 'body'])
      expect(
        (await stageFailure(call({ url: `http://127.0.0.1:${port}/${path}` }, { responseTimeoutMs: 100 }))).code,
      ).toBe('TIMED_OUT')
  })

  it.each<[StopReason, string]>([
    ['cancelled', 'CANCELLED'],
    ['timeout', 'TIMED_OUT'],
    ['lease-lost', 'LEASE_LOST'],
    ['shutdown', 'SHUTDOWN'],
  ])('because of %s says %s', async (reason, code) => {
    const arrived = Promise.withResolvers<void>()
    const port = await serve(() => arrived.resolve())
    const { run, stop } = httpStage({ url: `http://127.0.0.1:${port}/` })
    const running = stageFailure(run())
    await arrived.promise
    stop(reason)
    expect((await running).code).toBe(code)
  })
})

it('never shows sensitive headers in errors or logs', async () => {
  const port = await serve((request, response) => {
    response
      .writeHead(401)
      .end(`I refuse ${JSON.stringify(request.headers)} and ${request.headers.authorization?.slice(7)}`)
  })
  const { run, lines } = httpStage({
    url: `http://127.0.0.1:${port}/hook/${SECRET}?token=${SECRET}`,
    headers: { authorization: `Bearer ${SECRET}`, cookie: `sid=${SECRET}`, 'x-api-key': SECRET },
  })
  const error = await stageFailure(run())
  expect(error.httpStatus).toBe(401)
  expect(JSON.stringify(error.details)).toContain('[redacted]')
  expect(JSON.stringify([error, lines])).not.toContain(SECRET)
  expect(lines).toHaveLength(1)
  const wrong = httpStage({ url: 'http://127.0.0.1/', headers: { authorization: `${SECRET}\n` } })
  expect(JSON.stringify(await stageFailure(wrong.run()))).not.toContain(SECRET)
})
