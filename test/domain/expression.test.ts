import { describe, expect, test } from 'vitest'
import type { ExpressionScope } from '../../src/domain/execution/expression.ts'
import {
  checkCondition,
  checkExpression,
  ExpressionFailed,
  evaluateCondition,
  evaluateExpression,
  stagesNamedBy,
} from '../../src/domain/execution/expression.ts'
import { expressionsIn, resolveValues } from '../../src/domain/execution/template.ts'

const scope: ExpressionScope = {
  input: {
    n: 3,
    service: 'api',
    list: [1, 2, 3],
    nested: { a: 1 },
    nothing: null,
    many: Array.from({ length: 3_000 }, (_, i) => i),
  },
  stages: { build: { status: 'completed', output: { image: 'x:1' } }, 'build-api': { status: 'failed' } },
  matrix: {},
  execution: { id: 'e1', workflow: 'release', version: 2, namespace: 'default', nominalAt: null },
}

describe('registration accepts', () => {
  test.each([
    "input.service != 'docs'",
    "stages.build.status == 'completed' && stages['build-api'].status != 'completed'",
    'stages.build.output.image.startsWith("x")',
    'input.list.exists(x, x > 2)',
    'has(input.optional) ? input.optional : "default"',
    "execution.namespace in ['default', 'live']",
    'size(input.list.filter(x, x > 1).map(x, x * 2)) == 2',
  ])('%s', (text) => {
    expect(checkExpression(text)).toBeUndefined()
  })
})

describe('registration refuses', () => {
  test.each([
    ['foo == 1', 'there is no "foo"'],
    ['inputs.x', 'there is no "inputs"'],
    ['input.list.map(x, y)', 'there is no "y"'],
    ['input.list.map(x, x) == [x]', 'there is no "x"'],
    ['input.constructor', '"constructor" is not allowed'],
    ['input["constructor"]', '"constructor" is not allowed'],
    ['input.a.__proto__.b', '"__proto__" is not allowed'],
    ['[1].map(x, x.prototype)', '"prototype" is not allowed'],
    ['{"constructor": 1}', '"constructor" is not allowed'],
    ['"a".constructor', '"constructor" is not allowed'],
    ['input.service.matches("(a+)+$")', 'matches() is not available; use'],
    ['matches(input.service, "a")', 'matches() is not available; use'],
    ['meter()', 'no function meter()'],
    ['cel.bind(a, 1, a)', 'no function bind()'],
    ['timestamp("2024-01-01T00:00:00Z")', 'no function timestamp()'],
    ['input.toString()', 'no function toString()'],
    ['google', 'there is no "google"'],
    ['int', 'there is no "int"'],
    ['stages.build.exitCode', 'stages.build has no "exitCode"; it has status, output'],
    ['stages["build"].exitCode', 'stages.build has no "exitCode"'],
    ['execution.start', 'execution has no "start"'],
    ['b"abc"', 'no form in JSON'],
    ['1u', 'no form in JSON'],
    ['1 +', 'Unexpected token'],
    ['"a" + 1', 'no such overload'],
    ['input.?a', 'Expected IDENTIFIER'],
    ['  ', 'is empty'],
    ['', 'is empty'],
  ])('%s', (text, fault) => {
    expect(checkExpression(text)).toContain(fault)
  })
  test.each([
    ['10 kB of nesting', `${'('.repeat(5_000)}1${')'.repeat(5_000)}`, 'at most 2000 characters'],
    ['nesting below the limit of length', `${'('.repeat(900)}1${')'.repeat(900)}`, 'maxDepth'],
    ['a long chain of operators', `1${'+1'.repeat(900)}`, 'maxAstNodes'],
    ['a tower of signs', `${'!'.repeat(1_900)}true`, 'maxAstNodes'],
    ['lists in lists', '['.repeat(900) + ']'.repeat(900), 'max'],
    ['a long list', `[${'1,'.repeat(900)}1]`, 'max'],
  ])('%s', (_, text, fault) => {
    expect(checkExpression(text)).toContain(fault)
  })
  test('a condition that is not true or false', () => {
    expect(checkCondition('size(input.list)')).toBe('a condition is true or false; this one is of type int')
    expect(checkCondition('input.flag')).toBeUndefined()
    expect(checkCondition('foo')).toContain('there is no "foo"')
  })
})

describe('evaluation', () => {
  test.each([
    ['input.n + 1', 4],
    ['input.n * 2 - 1', 5],
    ['7 % input.n', 1],
    ['input.n / 2', 1.5],
    ['7 / 2', 3],
    ['input.list[input.n - 1]', 3],
    ['size(input.list)', 3],
    ['execution.version + 1', 3],
    ['"v" + string(input.n)', 'v3'],
    ['input.nested', { a: 1 }],
    ['input.list.map(x, x + 1)', [2, 3, 4]],
    ['{"a": [1, "x", null, true]}', { a: [1, 'x', null, true] }],
    ['input.nothing', null],
  ])('%s', (text, value) => {
    expect(evaluateExpression(text, scope)).toStrictEqual(value)
  })
  test.each([
    ['input.missing', 'No such key: missing'],
    ['stages.later.status', 'No such key: later'],
    ['1 / 0', 'division by zero'],
    ['input.n / 0', 'not a number of JSON'],
    ['9223372036854775807', 'beyond what a number of JSON holds'],
    ['"v" + input.n', 'no such overload'],
    ['foo', 'there is no "foo"'],
  ])('%s fails and says why', (text, reason) => {
    expect(() => evaluateExpression(text, scope)).toThrow(ExpressionFailed)
    expect(() => evaluateExpression(text, scope)).toThrow(reason)
  })
  test.each([
    ['macros in macros', 'input.many.map(a, input.many.map(b, input.many.map(c, a)))'],
    ['lists that double', `[[1]]${'.map(x, x + x)'.repeat(30)}`],
    ['text that doubles', `["aaaaaaaaaaaaaaaa"]${'.map(x, x + x)'.repeat(30)}`],
    ['a long search in a long search', 'input.many.exists(a, input.many.exists(b, a == b + 5000))'],
  ])('%s end at the limit of steps', (_, text) => {
    expect(() => evaluateExpression(text, scope)).toThrow('it takes more than 1000000 steps')
    // The next expression has its own.
    expect(evaluateExpression('size(input.many)', scope)).toBe(3_000)
  })
  test('a condition has to be true or false', () => {
    expect(evaluateCondition("input.service == 'api'", scope)).toBe(true)
    expect(evaluateCondition("input.service == 'web'", scope)).toBe(false)
    for (const text of ['input.n', 'input.nothing', 'input.list', 'input.service'])
      expect(() => evaluateCondition(text, scope)).toThrow(/not true or false but/)
  })
  test('more expressions than are kept still work', () => {
    for (let i = 0; i < 3_000; i++) expect(evaluateExpression(`input.n + ${i}`, scope)).toBe(3 + i)
    expect(evaluateExpression('input.n + 0', scope)).toBe(3)
  })
})

describe('the stages that an expression names', () => {
  test.each([
    ['stages.build.output', ['build']],
    ["stages['build-api'].status", ['build-api']],
    ["stages.a.status == 'completed' ? stages['b'].output.x : stages.a.output", ['a', 'b']],
    ['has(stages.build)', ['build']],
    ['input.list.map(x, stages.deep.output[x])', ['deep']],
    ['input.stages', []],
    ['"stages.build"', []],
    ['input.list.all(stages, stages.x == 1)', []],
  ])('%s', (text, names) => {
    expect(stagesNamedBy(text)).toEqual(names)
  })
})

describe('values', () => {
  test('a string that is one expression keeps the type', () => {
    expect(
      resolveValues({ a: '${{ input.n }}', b: ['${{ input.list }}'], c: '${{input.nothing}}' }, scope),
    ).toStrictEqual({
      a: 3,
      b: [[1, 2, 3]],
      c: null,
    })
  })
  test('any other string becomes text', () => {
    expect(resolveValues('v${{ input.n }}-${{ input.nested }}${{ input.nothing }}!', scope)).toBe('v3-{"a":1}!')
    expect(resolveValues(' ${{ input.n }}', scope)).toBe(' 3')
    expect(resolveValues('${{ true }}${{ 1.5 }}', scope)).toBe('true1.5')
  })
  test('braces in literals do not close', () => {
    expect(resolveValues('${{ "}}" + \'}}\' }}', scope)).toBe('}}}}')
    expect(resolveValues('${{ {"a": {"b": 1}} }}', scope)).toEqual({ a: { b: 1 } })
    expect(resolveValues('${{ """}}""" }}x', scope)).toBe('}}x')
    expect(resolveValues('${{ "\\"}}" }}', scope)).toBe('"}}')
  })
  test('what an expression yields is not read again', () => {
    const hostile = { ...scope, input: '${{ execution.id }}' }
    expect(resolveValues({ a: '${{ input }}', b: 'x${{ input }}' }, hostile)).toEqual({
      a: '${{ execution.id }}',
      b: 'x${{ execution.id }}',
    })
  })
  test('keys stay as they are', () => {
    expect(resolveValues({ '${{ input.n }}': '${{ input.n }}' }, scope)).toEqual({ '${{ input.n }}': 3 })
  })
  test('without an expression the same object comes back', () => {
    const plain = { a: { b: ['x', 1, null] } }
    expect(resolveValues(plain, scope)).toBe(plain)
    const mixed = { plain, value: '${{ input.n }}' }
    expect(resolveValues(mixed, scope).plain).toBe(plain)
  })
  test('braces that never close fail', () => {
    expect(() => resolveValues('${{ input.n }', scope)).toThrow(ExpressionFailed)
    expect(() => resolveValues('${{ "}}', scope)).toThrow('never closed')
  })
  test('a failure inside says which expression', () => {
    expect(() => resolveValues({ a: ['${{ input.gone }}'] }, scope)).toThrow('"input.gone" failed: No such key: gone')
  })
  test('expressions are found with their places and faults', () => {
    expect(expressionsIn({ a: 'x${{ input.n }}${{ foo }}', 'b/c': ['y', '${{ 1'] }, '/with')).toEqual([
      { pointer: '/with/a', text: 'input.n' },
      { pointer: '/with/a', text: 'foo', fault: expect.stringContaining('there is no "foo"') },
      { pointer: '/with/b~1c/1', text: '', fault: '`${{` is never closed by `}}`' },
    ])
  })
})
