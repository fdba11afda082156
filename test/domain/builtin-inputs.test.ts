import { describe, expect, test } from 'vitest'
import { resolvedInputs } from '../../src/domain/workflow/builtin-inputs.ts'
import type { BuiltinHandler } from '../../src/domain/workflow/handler-names.ts'
import { faultsOf, type Members, workflow } from '../support/documents.ts'

const url = 'https://hooks.example.com/releases'
const faultsOfWith = (uses: BuiltinHandler, given: Members) => faultsOf(workflow({ a: { uses, with: given } }))
const takes = (uses: BuiltinHandler, given: Members) => resolvedInputs[uses].safeParse(given).success

describe('what is refused at registration is refused by the handler', () => {
  test.each<[BuiltinHandler, string, Members]>([
    ['shell', '/run is required', {}],
    ['shell', '/run Too small', { run: '' }],
    ['shell', '/run Too big', { run: '#'.repeat(65_537) }],
    ['shell', '/run a script gets values through its environment alone', { run: 'echo ${{ input.x }}' }],
    ['shell', '/shell there is no member', { run: 'x', shell: 'zsh' }],
    ['shell', '/env/A-B a variable is named', { run: 'x', env: { 'A-B': '1' } }],
    ['shell', '/env/MILLRACE_STAGE the name of a variable must not', { run: 'x', env: { MILLRACE_STAGE: '1' } }],
    ['shell', "/env/A a variable can't hold", { run: 'x', env: { A: 'a\0b' } }],
    ['shell', '/env expected record', { run: 'x', env: 'A=1' }],
    ['shell', '/cwd Too big', { run: 'x', cwd: 'a'.repeat(1_025) }],
    ['shell', "/cwd a path can't hold", { run: 'x', cwd: 'a\0' }],
    ['shell', '/cwd is outside the working directory', { run: 'x', cwd: '/tmp' }],
    ['shell', '/cwd is outside the working directory', { run: 'x', cwd: 'a/../../b' }],
    ['shell', '/grace expected a duration', { run: 'x', grace: '1 week' }],
    ['shell', '/grace at most 10m', { run: 'x', grace: '601s' }],
    ['shell', '/grace expected string', { run: 'x', grace: 10 }],
    ['http', '/url ', {}],
    ['http', '/url expected an address with http or https', { url: 'hooks' }],
    ['http', '/url expected an address with http or https', { url: 'ftp://x' }],
    ['http', '/url an address must not hold', { url: 'https://user:secret@x.test' }],
    ['http', '/url an address has at most', { url: `https://x.test/${'a'.repeat(8_192)}` }],
    ['http', '/method expected one of GET, HEAD', { url, method: 'TRACE' }],
    ['http', '/method expected one of GET, HEAD', { url, method: 'post' }],
    ['http', '/headers/Host this header is set by', { url, headers: { Host: 'x' } }],
    ['http', '/headers/proxy-authorization this header is set by', { url, headers: { 'proxy-authorization': 'x' } }],
    ['http', '/headers/a b not the name of a header', { url, headers: { 'a b': 'x' } }],
    ['http', '/headers/x-a the value of a header is printable', { url, headers: { 'x-a': 'a\r\nb: c' } }],
    ['http', '/headers/x-a Too big', { url, headers: { 'x-a': 'a'.repeat(8_193) } }],
    ['http', '/headers/x-a expected string', { url, headers: { 'x-a': 3 } }],
    ['http', '/expect an HTTP status is 100 to 599', { url, expect: 20 }],
    ['http', '/expect expected an HTTP status or a list', { url, expect: '200' }],
    ['http', '/expect/1 an HTTP status is 100 to 599', { url, expect: [200, 600] }],
    ['http', '/expect Too small', { url, expect: [] }],
    ['http', '/expect expected an HTTP status or a list', { url, expect: Array(51).fill(200) }],
    ['http', '/follow there is no member', { url, follow: true }],
    ['wait', ' wait takes either', {}],
    ['wait', ' wait takes either', { duration: '1s', until: '2030-01-01T00:00:00Z' }],
    ['wait', '/duration expected a duration', { duration: 'soon' }],
    ['wait', '/until expected a time with its zone', { until: '2030-01-01T00:00:00' }],
  ])('%s: %s', (uses, fault, given) => {
    const faults = faultsOfWith(uses, given)
    expect(faults).toHaveLength(1)
    expect(faults[0]).toContain(`/stages/a/with${fault}`)
    expect(takes(uses, given)).toBe(false)
  })
})

describe('what is taken at registration is taken by the handler', () => {
  test.each<[BuiltinHandler, Members]>([
    ['shell', { run: 'x'.repeat(65_536) }],
    ['shell', { run: 'x', env: { A: 'a', B: 1, C: true, D: ['a', { b: 1 }], millrace_a: '' } }],
    ['shell', { run: 'x', cwd: 'a'.repeat(1_024) }],
    ['shell', { run: 'x', cwd: './a/../b' }],
    ['shell', { run: 'x', grace: '10m' }],
    ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method): [BuiltinHandler, Members] => [
      'http',
      { url, method },
    ]),
    ['http', { url, headers: { 'X-Host': 'a', Text: 'b' }, body: { a: [null] }, expect: [200, 404] }],
    ['http', { url, body: 'text', expect: 599 }],
    ['wait', { duration: '1.5h' }],
    ['wait', { until: '2030-01-31T18:00+02:00' }],
  ])('%s, case %$', (uses, given) => {
    expect(faultsOfWith(uses, given)).toEqual([])
    expect(takes(uses, given)).toBe(true)
  })
})

describe('what holds an expression is left to the handler', () => {
  test.each<[BuiltinHandler, Members]>([
    ['shell', { run: 'x', env: '${{ input.env }}' }],
    ['shell', { run: 'x', cwd: '/${{ input.folder }}' }],
    ['shell', { run: 'x', grace: '${{ input.seconds }}s' }],
    ['http', { url: '${{ input.url }}' }],
    ['http', { url, method: '${{ input.method }}' }],
    ['http', { url, headers: '${{ input.headers }}' }],
    ['http', { url, headers: { 'x-a': '\u00e9${{ input.a }}' } }],
    ['http', { url, expect: '${{ input.status }}' }],
    ['http', { url, expect: [200, '${{ input.status }}'] }],
    ['wait', { duration: '${{ input.pause }}' }],
    ['wait', { until: '${{ input.at }}' }],
  ])('%s with %j', (uses, given) => {
    expect(faultsOfWith(uses, given)).toEqual([])
    expect(takes(uses, given)).toBe(false)
  })
  test('but not what is beside it', () => {
    const given = { url: '${{ input.url }}', method: 'GO', headers: { host: '${{ input.host }}' } }
    expect(faultsOfWith('http', given).map((fault) => fault.split(' ')[0])).toEqual([
      '/stages/a/with/method',
      '/stages/a/with/headers/host',
    ])
    expect(faultsOfWith('wait', { duration: '${{ input.a }}', until: '${{ input.b }}' })).toHaveLength(1)
  })
})
