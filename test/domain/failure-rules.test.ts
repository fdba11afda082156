import { describe, expect, test } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import { compiled, faultsOf, type Members, shell, workflow } from '../support/documents.ts'

const withRules = (...failures: Json[]) => workflow({ build: shell(), publish: shell() }, { failures })
const rule = (more: Members = {}): Members => ({ name: 'own', match: { code: 'X' }, ...more })
const rulesOf = (...failures: Json[]) => compiled(withRules(...failures)).definition.failures

describe('rules of a workflow', () => {
  test('are compiled, single values as lists, durations as milliseconds', () => {
    const registry = {
      name: 'registry',
      match: { message: 'registry .* timed out', exitCode: [1, 2], stage: ['publish'] },
      class: 'dependency',
      recover: { action: 'retry', maxAttempts: 5, backoff: { initial: '10s' }, queue: 'slow' },
    }
    const licence = { name: 'licence', match: { code: 'LICENCE_EXPIRED' }, recover: 'ask' }
    const rest = { name: 'rest', match: { signal: 'SIGSEGV', httpStatus: ['4xx', 503] }, recover: { action: 'skip' } }
    expect(rulesOf(registry, licence, rest)).toEqual([
      {
        name: 'registry',
        match: { messages: ['registry .* timed out'], exitCodes: [1, 2], stages: ['publish'] },
        class: 'dependency',
        recover: {
          action: 'retry',
          maxAttempts: 5,
          backoff: { type: 'exponential', initialMs: 10_000, maxMs: 60_000, jitter: 0.2 },
          queue: 'slow',
        },
      },
      { name: 'licence', match: { codes: ['LICENCE_EXPIRED'] }, recover: { action: 'ask' } },
      { name: 'rest', match: { signals: ['SIGSEGV'], httpStatuses: ['4xx', 503] }, recover: { action: 'skip' } },
    ])
  })
  test('are absent where there are none', () => {
    expect(compiled(workflow({ a: shell() })).definition).not.toHaveProperty('failures')
    expect(compiled(withRules()).definition).not.toHaveProperty('failures')
  })
  test('retry as the stage says where they say no more', () => {
    expect(rulesOf(rule({ recover: 'retry' }))?.[0]?.recover).toEqual({ action: 'retry' })
  })

  test.each<[string, Json, string]>([
    ['no list', workflow({ a: shell() }, { failures: {} }), '/failures expected array'],
    ['no object', withRules(1), '/failures/0 expected object'],
    ['no name', withRules({ match: { code: 'X' } }), '/failures/0/name is required'],
    ['a name of our own', withRules(rule({ name: 'A b' })), '/failures/0/name the name of a rule starts with'],
    ['a name twice', withRules(rule(), rule()), '/failures/1/name another rule is called "own"'],
    ['no match', withRules({ name: 'own' }), '/failures/0/match is required'],
    ['a match by nothing', withRules(rule({ match: {} })), '/failures/0/match a rule matches by at least one member'],
    ['an unknown member', withRules(rule({ match: { codee: 'X', code: 'X' } })), '/failures/0/match/codee there is no'],
    ['a code in lower case', withRules(rule({ match: { code: 'x' } })), '/failures/0/match/code expected a code in'],
    [
      'one such in a list',
      withRules(rule({ match: { code: ['X', 'x'] } })),
      '/failures/0/match/code/1 expected a code',
    ],
    ['an empty list', withRules(rule({ match: { code: [] } })), '/failures/0/match/code Too small'],
    ['an exit code of 0', withRules(rule({ match: { exitCode: 0 } })), '/failures/0/match/exitCode Too small'],
    ['a signal by number', withRules(rule({ match: { signal: 9 } })), '/failures/0/match/signal expected the name of'],
    ['a status of 6xx', withRules(rule({ match: { httpStatus: '6xx' } })), '/failures/0/match/httpStatus expected an'],
    ['one such in a list', withRules(rule({ match: { httpStatus: [1] } })), '/failures/0/match/httpStatus/0 Too small'],
    ['an unknown class', withRules(rule({ class: 'bad' })), '/failures/0/class expected one of'],
    ['an unknown action', withRules(rule({ recover: 'explode' })), '/failures/0/recover expected retry, skip'],
    [
      'the same in an object',
      withRules(rule({ recover: { action: 'x' } })),
      '/failures/0/recover/action `action` is one',
    ],
    ['no action', withRules(rule({ recover: {} })), '/failures/0/recover/action `action` is one'],
    [
      'attempts of what is not tried again',
      withRules(rule({ recover: { action: 'skip', maxAttempts: 2 } })),
      '/failures/0/recover/maxAttempts there is no member',
    ],
    [
      'no attempts',
      withRules(rule({ recover: { action: 'retry', maxAttempts: 0 } })),
      '/failures/0/recover/maxAttempts Too',
    ],
    [
      'a pause without a unit',
      withRules(rule({ recover: { action: 'retry', backoff: { initial: '1' } } })),
      '/failures/0/recover/backoff/initial expected a duration',
    ],
    [
      'more resources',
      withRules(rule({ recover: { action: 'retry', resources: { memory: '2Gi' } } })),
      '/failures/0/recover/resources `resources` of a recovery is not supported yet',
    ],
    [
      'a pattern that is none',
      withRules(rule({ match: { message: '(' } })),
      '/failures/0/match/message not a pattern: miss',
    ],
    [
      'one such in a list',
      withRules(rule({ match: { message: ['a', '[b'] } })),
      '/failures/0/match/message/1 not a pattern',
    ],
    [
      'look-ahead',
      withRules(rule({ match: { message: 'a(?=b)' } })),
      '/failures/0/match/message not a pattern: invalid',
    ],
    [
      'a hostile size',
      withRules(rule({ match: { message: 'a{1000}{1000}' } })),
      '/failures/0/match/message not a pattern',
    ],
    [
      'a long pattern',
      withRules(rule({ match: { message: 'a'.repeat(513) } })),
      '/failures/0/match/message a pattern has',
    ],
    ['an unknown stage', withRules(rule({ match: { stage: 'nope' } })), '/failures/0/match/stage there is no stage'],
    [
      'one such in a list',
      withRules(rule({ match: { stage: ['build', 'x'] } })),
      '/failures/0/match/stage/1 there is no',
    ],
    [
      'a stage called like what every object has',
      withRules(rule({ match: { stage: 'toString' } })),
      '/failures/0/match/stage there is no stage called "toString"',
    ],
    ['a fallback of none', withRules(rule({ recover: 'fallback' })), '/failures/0/recover "build" has no `fallback`'],
    [
      'the same in an object',
      withRules(rule({ match: { stage: 'publish' }, recover: { action: 'fallback' } })),
      '/failures/0/recover/action "publish" has no `fallback`',
    ],
    [
      'too many rules',
      withRules(...Array.from({ length: 101 }, (_, i) => rule({ name: `r${i}` }))),
      '/failures Too big',
    ],
  ])('%s', (_, document, fault) => {
    const faults = faultsOf(document)
    expect(faults.filter((found) => found.startsWith(fault))).toHaveLength(1)
    expect(faults).toHaveLength(1)
  })

  test('a fallback that is there is taken', () => {
    const step = { uses: 'shell', with: { run: 'true' } }
    const stages = { build: shell(), publish: shell({ fallback: step }) }
    const failures = [rule({ match: { stage: 'publish' }, recover: 'fallback' })]
    expect(faultsOf(workflow(stages, { failures }))).toEqual([])
  })

  test('patterns share a limit, and what is above it is not even compiled', () => {
    const rules = (count: number, message: (i: number) => string) =>
      withRules(...Array.from({ length: count }, (_, i) => rule({ name: `r${i}`, match: { message: message(i) } })))
    expect(faultsOf(rules(100, (i) => `registry ${i} timed out`))).toEqual([])
    expect(faultsOf(rules(3, (i) => `${i}a{998}`))).toEqual([
      '/failures/2/match/message with this one the patterns are too large together: more than 3000 steps',
    ])
    const startedAt = performance.now()
    expect(faultsOf(rules(100, (i) => `${i}${'a{1000}'.repeat(70)}`))).toHaveLength(1)
    expect(faultsOf(rules(100, (i) => `(?i)[a-\\x{2f${i + 100}}]|`.repeat(20)))).toHaveLength(1)
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  })

  test('many rules are not compared with one another', () => {
    const startedAt = performance.now()
    expect(faultsOf(withRules(...Array.from({ length: 20_000 }, () => ({ name: 'a' }))))).toHaveLength(100)
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  })
})
