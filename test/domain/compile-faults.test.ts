import { describe, expect, test } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import { faultsOf, type Members, shell, workflow } from '../support/documents.ts'

describe('a fault at its place', () => {
  test.each<[string, Json, string]>([
    ['no object', null, ' expected object, received null'],
    ['a list', [], ' expected object, received array'],
    ['no name', { stages: { a: shell() } }, '/name is required'],
    ['no stages', { name: 'x' }, '/stages is required'],
    ['stages without one', workflow({}), '/stages a workflow has at least one stage'],
    ['an unknown member', workflow({ a: shell() }, { stagez: 1 }), '/stagez there is no member `stagez` here'],
    [
      'an unknown member of a stage',
      workflow({ a: shell({ need: [] }) }),
      '/stages/a/need there is no member `need` here',
    ],
    ['a dot in the name', workflow({ a: shell() }, { name: 'a.b' }), '/name the name of a workflow starts with'],
    ['a capital in a stage', workflow({ Build: shell() }), '/stages/Build the name of a stage starts with'],
    ['a number for a duration', workflow({ a: shell({ timeout: 10 }) }), '/stages/a/timeout expected string'],
    ['a duration of no unit', workflow({ a: shell() }, { timeout: '10' }), '/timeout expected a duration such as'],
    [
      'a duration of 100 years',
      workflow({ a: shell() }, { timeout: '36500d' }),
      '/timeout expected a duration such as',
    ],
    ['no time at all', workflow({ a: shell({ timeout: '0s' }) }), '/stages/a/timeout a timeout is longer than nothing'],
    ['no attempts', workflow({ a: shell({ retry: { maxAttempts: 0 } }) }), '/stages/a/retry/maxAttempts Too small'],
    [
      'a limit below the first pause',
      workflow({ a: shell() }, { retry: { maxAttempts: 2, backoff: { initial: '2m', max: '1m' } } }),
      '/retry/backoff/max `initial` is longer than `max`',
    ],
    ['a trigger of our own', workflow({ a: shell({ trigger: 'some' }) }), '/stages/a/trigger expected one of'],
    ['a handler with blanks', workflow({ a: { uses: 'my handler' } }), '/stages/a/uses a handler is named in'],
    ['a queue with dots', workflow({ a: shell({ queue: 'a.b' }) }), '/stages/a/queue the name of a queue'],
    ['an unknown need', workflow({ a: shell({ needs: ['b'] }) }), '/stages/a/needs/0 there is no stage called "b"'],
    ['an unknown need without a list', workflow({ a: shell({ needs: 'b' }) }), '/stages/a/needs there is no stage'],
    [
      'a cycle',
      workflow({ a: shell({ needs: ['b'] }), b: shell({ needs: ['a'] }) }),
      '/stages/a/needs/0 the stages need each other in a cycle: a → b → a',
    ],
    ['a script without text', workflow({ a: { uses: 'shell' } }), '/stages/a/with/run is required'],
    [
      'an expression in a script',
      workflow({ a: { uses: 'shell', with: { run: 'echo ${{ input.x }}' } } }),
      '/stages/a/with/run a script gets values through its environment alone',
    ],
    [
      'a variable of no name',
      workflow({ a: { uses: 'shell', with: { run: 'x', env: { 'A-B': '1' } } } }),
      '/stages/a/with/env/A-B a variable is',
    ],
    [
      'an address with ftp',
      workflow({ a: { uses: 'http', with: { url: 'ftp://x' } } }),
      '/stages/a/with/url expected an address',
    ],
    [
      'a method of our own',
      workflow({ a: { uses: 'http', with: { url: 'http://x', method: 'GO' } } }),
      '/stages/a/with/method expected one of GET',
    ],
    [
      'a status of our own',
      workflow({ a: { uses: 'http', with: { url: 'http://x', expect: 99 } } }),
      '/stages/a/with/expect an HTTP status is 100 to 599',
    ],
    ['a wait for nothing', workflow({ a: { uses: 'wait' } }), '/stages/a/with wait takes either'],
    [
      'a wait for two',
      workflow({ a: { uses: 'wait', with: { duration: '1s', until: '2030-01-01T00:00:00Z' } } }),
      '/stages/a/with wait takes either',
    ],
    [
      'a wait until a time of no zone',
      workflow({ a: { uses: 'wait', with: { until: '2030-01-01T00:00:00' } } }),
      '/stages/a/with/until expected a time with its zone',
    ],
    [
      'a condition with an unknown name',
      workflow({ a: shell({ when: 'matrx.x == 1' }) }),
      '/stages/a/when there is no "matrx"',
    ],
    [
      'a condition that is a number',
      workflow({ a: shell({ when: '1 + 1' }) }),
      '/stages/a/when a condition is true or false',
    ],
    [
      'a value with an unknown name',
      workflow({ a: { uses: 'x', with: { a: ['${{ foo }}'] } } }),
      '/stages/a/with/a/0 there is no "foo"',
    ],
    [
      'braces that never close',
      workflow({ a: { uses: 'x', with: { a: '${{ 1' } } }),
      '/stages/a/with/a `${{` is never closed',
    ],
    [
      'a stage that is none',
      workflow({ a: shell({ when: "stages.b.status == 'x'" }) }),
      '/stages/a/when there is no stage called "b"',
    ],
    [
      'a stage that need not have ended',
      workflow({ a: shell(), b: { uses: 'x', with: { y: '${{ stages.a.output }}' } } }),
      '/stages/b/with/y "a" need not have ended when this stage starts; add it to `needs`',
    ],
    [
      'a stage that asks for itself',
      workflow({ a: shell({ when: "stages.a.status == 'x'" }) }),
      '/stages/a/when "a" need not have ended',
    ],
    [
      'a stage called constructor',
      workflow({ constructor: shell() }),
      '/stages/constructor the name `constructor` is not allowed',
    ],
    [
      'a prototype in a value',
      workflow({ a: { uses: 'x', with: { b: [{ prototype: 1 }] } } }),
      '/stages/a/with/b/0/prototype the name',
    ],
    [
      '__proto__',
      JSON.parse('{"name":"x","stages":{"a":{"uses":"x","with":{"__proto__":{}}}}}'),
      '/stages/a/with/__proto__ the name',
    ],
    [
      'an expression in a key',
      workflow({ a: { uses: 'x', with: { '${{ input.a }}': 1 } } }),
      '/stages/a/with/${{ input.a }} an expression cannot stand in a name',
    ],
  ])('%s', (_, document, fault) => {
    const faults = faultsOf(document)
    expect(faults.filter((found) => found.startsWith(fault))).toHaveLength(1)
    expect(faults).toHaveLength(1)
  })
  test('an ancestor far up may be named', () => {
    const stages = {
      a: shell(),
      b: shell({ needs: ['a'] }),
      c: { uses: 'x', needs: ['b'], with: { y: "${{ stages['a'].output.z }}" } },
    }
    expect(faultsOf(workflow(stages))).toEqual([])
  })
  test('more than 1,000 stages', () => {
    const stages = Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`s${i}`, shell()]))
    expect(faultsOf(workflow(stages))).toEqual(['/stages a workflow has at most 1,000 stages; this one has 1001'])
  })
  test('a script of a handler of one’s own may hold expressions', () => {
    expect(faultsOf(workflow({ a: { uses: 'python', with: { run: '${{ input.x }}' } } }))).toEqual([])
  })
})

describe('without effect', () => {
  const backoff = { type: 'fixed', initial: '5s' }
  const said = '`backoff` has no effect where there is one attempt, as by default; say `maxAttempts`'
  const nap: Members = { uses: 'wait', with: { duration: '1s' } }
  test.each<[string, Json, string]>([
    ['timeout', '5m', 'it takes as long as its `with` says, and at most the timeout of the workflow'],
    ['retry', { maxAttempts: 2 }, 'it has no attempts that could fail'],
    ['retry', { backoff }, 'it has no attempts that could fail'],
    ['queue', 'linux', 'no worker runs it'],
  ])('`%s` of a wait, as %j', (member, value, why) => {
    expect(faultsOf(workflow({ a: { ...nap, [member]: value } }))).toEqual([
      `/stages/a/${member} \`${member}\` has no effect on a wait: ${why}`,
    ])
  })
  test('what a wait has in common with the other stages is no fault of its own', () => {
    expect(faultsOf(workflow({ a: nap, b: shell() }, { timeout: '5m', retry: { maxAttempts: 2, backoff } }))).toEqual(
      [],
    )
  })
  test.each<[string, Json]>([
    ['/stages/a/retry/backoff', workflow({ a: shell({ retry: { backoff } }) })],
    [
      '/stages/a/retry/backoff',
      workflow({ a: shell({ retry: { backoff, maxAttempts: 1 } }) }, { retry: { maxAttempts: 2 } }),
    ],
    ['/retry/backoff', workflow({ a: shell() }, { retry: { backoff } })],
    [
      '/retry/backoff',
      workflow({ a: shell({ retry: { maxAttempts: 1 } }), b: nap }, { retry: { backoff, maxAttempts: 2 } }),
    ],
  ])('pauses between attempts that there are not, at %s of %j', (pointer, document) => {
    expect(faultsOf(document)).toEqual([`${pointer} ${said}`])
  })
  test.each<[Json]>([
    [workflow({ a: shell({ retry: { maxAttempts: 2 } }) }, { retry: { backoff } })],
    [workflow({ a: shell({ retry: { backoff } }) }, { retry: { maxAttempts: 2 } })],
  ])('attempts and pauses may be said in two places: %j', (document) => {
    expect(faultsOf(document)).toEqual([])
  })
})

describe('not supported yet', () => {
  test.each(['gate', 'notify', 'pipeline'])('the handler %s', (uses) => {
    expect(faultsOf(workflow({ a: { uses } }))).toEqual([`/stages/a/uses the handler \`${uses}\` is not supported yet`])
  })
})

describe('resources and groups', () => {
  test.each<[Json, string]>([
    [{ pool: 'p', memory: 'much' }, '/stages/a/resources/memory expected an amount of memory such as 512Mi or 2Gi'],
    [{ pool: 'p', memory: '999999999Ti' }, '/stages/a/resources/memory at most 1024Ti'],
    [{ pool: 'p', slots: 0 }, '/stages/a/resources/slots Too small: expected number to be >=1'],
    [{ slots: 1 }, '/stages/a/resources/pool is required'],
  ])('of a stage: %j', (resources, fault) => {
    expect(faultsOf(workflow({ a: shell({ resources }) }))).toEqual([fault])
  })
  test.each(['wait', 'approval', 'signal'])('a stage that waits holds nothing: %s', (uses) => {
    const given = { wait: { duration: '1s' }, approval: {}, signal: { name: 'go' } }[uses]!
    const faults = faultsOf(workflow({ a: { uses, with: given, resources: { pool: 'p' } } }))
    expect(faults).toEqual([
      `/stages/a/resources \`resources\` has no effect on a ${uses}: it runs nothing while it waits`,
    ])
  })
  test.each<[string, string]>([
    ['${{ stages.a.output }}', 'no stage has run when the group is named, and so "a" says nothing here'],
    ['${{ matrix.os }}', 'there is no combination of a matrix here'],
    ['${{ nowhere }}', 'there is no "nowhere" here; expressions see input, stages, execution and matrix'],
  ])('of a run: %s', (group, message) => {
    expect(faultsOf(workflow({ a: shell() }, { concurrency: { group } }))).toEqual([`/concurrency/group ${message}`])
  })
})

test('every problem is reported at once', () => {
  const faults = faultsOf({
    name: 'Release',
    extra: 1,
    timeout: 'soon',
    concurrency: { group: 'x', limitt: 1 },
    stages: {
      a: { uses: 'shell', needs: ['b', 'nope'], with: { run: 'x ${{ input.y }}', cwdd: '.' } },
      b: { uses: 'http', needs: ['a'], when: 'foo', with: { url: 'https://x', body: '${{ stages.zzz.output }}' } },
      C: { uses: 'gate', need: [] },
      d: 3,
    },
  })
  expect(faults.map((fault) => fault.split(' ')[0]).sort()).toEqual([
    '/concurrency/limitt',
    '/extra',
    '/name',
    '/stages/C',
    '/stages/C/need',
    '/stages/C/uses',
    '/stages/a/needs/0',
    '/stages/a/needs/1',
    '/stages/a/with/cwdd',
    '/stages/a/with/run',
    '/stages/b/when',
    '/stages/b/with/body',
    '/stages/d',
    '/timeout',
  ])
})
