// Where a request may go: through redirects, odd spellings and names that change their mind.
import type { RequestListener } from 'node:http'
import { describe, expect, it } from 'vitest'
import type { StageFailure } from '../../src/ports/handler.ts'
import { createHttpHandler } from '../../src/workers/handlers/http.ts'
import { call, echo, serve } from '../support/http-stage.ts'
import { stageFailure } from '../support/stage-failure.ts'

const SECRET = 'canary-77c1e0'

describe('a redirect', () => {
  const redirects: RequestListener = async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://x')
    if (pathname === '/end') return echo(request, response)
    response.writeHead(Number(pathname.slice(1)), { location: searchParams.get('to') ?? '/end' }).end('moved')
  }

  it.each([
    [301, 'POST', 'GET', ''],
    [302, 'POST', 'GET', ''],
    [303, 'PUT', 'GET', ''],
    [307, 'POST', 'POST', 'x'],
    [308, 'PUT', 'PUT', 'x'],
  ])('%i of a %s goes on as %s', async (status, method, then, body) => {
    const port = await serve(redirects)
    const output = await call({ url: `http://127.0.0.1:${port}/${status}`, method, body: 'x' })
    expect(output.body).toMatchObject({ url: '/end', method: then, body })
  })

  it('is the answer when it was expected', async () => {
    const port = await serve(redirects)
    const output = await call({ url: `http://127.0.0.1:${port}/302`, expect: 302 })
    expect(output).toMatchObject({ status: 302, headers: { location: '/end' }, body: 'moved' })
  })

  it('leads at most five times further', async () => {
    const port = await serve((request, response) => {
      const left = Number(request.url?.slice(1))
      if (left === 0) response.end('there')
      else response.writeHead(302, { location: `/${left - 1}` }).end()
    })
    expect((await call({ url: `http://127.0.0.1:${port}/5` })).body).toBe('there')
    expect(await stageFailure(call({ url: `http://127.0.0.1:${port}/6` }))).toMatchObject({
      code: 'HTTP_STATUS',
      httpStatus: 302,
    })
  })

  it('takes credentials to no other origin', async () => {
    const other = await serve(echo)
    const port = await serve(redirects)
    const headers = { Authorization: `Bearer ${SECRET}`, Cookie: SECRET, 'X-Api-Key': SECRET, Accept: 'text/html' }
    const to = encodeURIComponent(`http://127.0.0.1:${other}/`)
    const away = await call({ url: `http://127.0.0.1:${port}/302?to=${to}`, headers })
    expect(JSON.stringify(away.body)).not.toContain(SECRET)
    expect(away.body).toMatchObject({ headers: { accept: 'text/html' } })
    const within = await call({ url: `http://127.0.0.1:${port}/302`, headers })
    expect(within.body).toMatchObject({ headers: { authorization: `Bearer ${SECRET}` } })
  })

  it.each([
    'http://127.0.0.1:PORT/',
    'http://0x7f.1:PORT/',
    '//[::ffff:127.0.0.1]:PORT/',
    'file:///etc/passwd',
    'ftp://x/',
    'http://user:secret@partner.test/',
  ])('to %s is refused', async (target) => {
    let reached = 0
    const inside = await serve((_, response) => {
      reached += 1
      response.end()
    })
    const port = await serve(redirects)
    const to = encodeURIComponent(target.replace('PORT', String(inside)))
    const error = await stageFailure(
      call(
        { url: `http://partner.test:${port}/302?to=${to}` },
        { allowPrivate: ['partner.test'], resolve: async () => [{ address: '127.0.0.1', family: 4 }] },
      ),
    )
    expect(error).toMatchObject({ code: 'ADDRESS_REFUSED', retryable: false })
    expect(reached).toBe(0)
  })
})

describe('what only this machine can reach', () => {
  it.each([
    'http://127.0.0.1:PORT/',
    'http://localhost:PORT/',
    'http://localhost.:PORT/',
    'http://LOCALHOST:PORT/',
    'http://127.0.0.1.:PORT/',
    'http://127.1:PORT/',
    'http://0x7f.1:PORT/',
    'http://0177.0.0.1:PORT/',
    'http://2130706433:PORT/',
    'http://%31%32%37.0.0.1:PORT/',
    'http://①②⑦.0.0.1:PORT/',
    'http://0.0.0.0:PORT/',
    'http://0:PORT/',
    'http://[::1]:PORT/',
    'http://[::]:PORT/',
    'http://[::ffff:127.0.0.1]:PORT/',
    'http://[::ffff:7f00:1]:PORT/',
    'http://[::127.0.0.1]:PORT/',
  ])('is refused as %s', async (target) => {
    let reached = 0
    const port = await serve((_, response) => {
      reached += 1
      response.end()
    })
    const url = target.replace('PORT', String(port))
    expect(await stageFailure(call({ url }, { allowPrivate: false }))).toMatchObject({
      code: 'ADDRESS_REFUSED',
      retryable: false,
    })
    expect(reached).toBe(0)
  })

  it.each([
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '169.254.169.254',
    '127.0.0.53',
    '0.0.0.0',
    '0.1.2.3',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '192.0.2.1',
    '198.18.0.1',
    '::',
    '::1',
    '::ffff:10.0.0.1',
    '::7f00:1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::1',
    '2002:7f00:1::',
    '2001::1',
    'fc00::1',
    'fd12::1',
    'fe80::1',
    'fec0::1',
    'ff02::1',
    '100::1',
    '2001:db8::1',
    '4000::1',
    'not an address',
  ])('is refused when a name leads to %s', async (address) => {
    const resolve = async () => [{ address, family: address.includes(':') ? 6 : 4 }]
    const error = await stageFailure(call({ url: 'http://name.test/' }, { allowPrivate: false, resolve }))
    expect(error.code).toBe('ADDRESS_REFUSED')
    expect(error.message).not.toContain(address)
  })

  it('is reached as far as an operator allows it', async () => {
    const port = await serve(echo)
    const resolve = async () => [{ address: '127.0.0.1', family: 4 }]
    const reaches = (host: string, allowPrivate: readonly string[]) =>
      call({ url: `http://${host}:${port}/` }, { allowPrivate, resolve }).then(
        (output) => output.status,
        (error: StageFailure) => error.error.code,
      )
    expect(await reaches('127.0.0.1', ['127.0.0.0/8'])).toBe(200)
    expect(await reaches('127.0.0.1', ['127.0.0.1'])).toBe(200)
    expect(await reaches('[::ffff:127.0.0.1]', ['127.0.0.1'])).toBe(200)
    expect(await reaches('127.0.0.1', ['10.0.0.0/8', 'fc00::/7', 'build.test'])).toBe('ADDRESS_REFUSED')
    expect(await reaches('Build.test.', ['build.test'])).toBe(200)
    expect(await reaches('other.test', ['build.test'])).toBe('ADDRESS_REFUSED')
    expect(() => createHttpHandler({ allowPrivate: ['10.0.0.0/99'] })).toThrow('"10.0.0.0/99"')
  })

  it('is not reached by a name that changes its mind', async () => {
    const reached: (string | undefined)[] = []
    const port = await serve((request, response) => {
      reached.push(request.socket.localAddress)
      response.writeHead(302, { location: '/again', connection: 'close' }).end()
    })
    const answers = ['127.0.0.2', '127.0.0.1']
    const resolve = async () => [{ address: answers.shift() ?? '127.0.0.1', family: 4 }]
    const options = { allowPrivate: ['127.0.0.2'], resolve }
    expect((await stageFailure(call({ url: `http://rebind.test:${port}/` }, options))).code).toBe('ADDRESS_REFUSED')
    expect(reached).toEqual(['127.0.0.2'])
    expect(answers).toEqual([])
  })

  it('is left out of a mixed answer', async () => {
    const port = await serve((request, response) => response.end(request.socket.localAddress))
    const resolve = async () =>
      ['127.0.0.1', '127.0.0.2', '::1'].map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    const output = await call({ url: `http://mixed.test:${port}/` }, { allowPrivate: ['127.0.0.2'], resolve })
    expect(output.body).toBe('127.0.0.2')
  })
})
