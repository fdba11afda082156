import { describe, expect, test } from 'vitest'
import { DocumentUnreadable, parseDocument } from '../../src/commands/parse-document.ts'
import type { Fault } from '../../src/domain/rejected.ts'

const yaml = (text: string) => parseDocument(text, 'yaml').value
const json = (text: string) => parseDocument(text, 'json').value

function faultsOf(text: string, format: 'yaml' | 'json'): readonly Fault[] {
  try {
    parseDocument(text, format)
  } catch (error) {
    if (error instanceof DocumentUnreadable) return error.faults
    throw error
  }
  expect.fail('it was read')
}

describe('YAML', () => {
  test.each([
    ['NO', 'NO'],
    ['yes', 'yes'],
    ['0o17', '0o17'],
    ['0x1f', '0x1f'],
    ['007', '007'],
    ['1:20', '1:20'],
    ['1_000', '1_000'],
    ['.inf', '.inf'],
    ['2024-01-31', '2024-01-31'],
    ['v1.10', 'v1.10'],
    ['"1"', '1'],
    ["'true'", 'true'],
    ['!!str 12', '12'],
    ['=', '='],
    ['1', 1],
    ['-1.5e3', -1_500],
    ['+7', 7],
    ['true', true],
    ['False', false],
    ['~', null],
    ['', null],
    ['null', null],
    ['"null"', 'null'],
    ['|\n  two\n  lines', 'two\nlines\n'],
  ])('%j means %j', (text, value) => {
    expect(yaml(`a: ${text}\n`)).toEqual({ a: value })
  })
  test('maps and lists, in block and flow', () => {
    expect(yaml('a:\n  - b: [1, {c: d}]\n    e: x # why\n200: ok\n')).toEqual({
      a: [{ b: [1, { c: 'd' }], e: 'x' }],
      '200': 'ok',
    })
  })
  test('an alias stands for what its anchor names', () => {
    expect(yaml('a: &x {b: [1]}\nc: *x\nd: &x 2\ne: *x')).toEqual({ a: { b: [1] }, c: { b: [1] }, d: 2, e: 2 })
  })
  test('one document with its markers', () => {
    expect(yaml('---\na: 1\n...\n')).toEqual({ a: 1 })
  })
  test('64 levels, each of a map', () => {
    expect(yaml(Array.from({ length: 64 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'))).toBeDefined()
    expect(yaml('['.repeat(64) + ']'.repeat(64))).toBeDefined()
  })
  test('lines are known for every pointer, and for what an alias brings in the line of the alias', () => {
    const { lineOf } = parseDocument('a: &x\n  b:\n    - 1\n    - c: 2\nd: *x\n"e/f": 1', 'yaml')
    expect(['/a', '/a/b', '/a/b/0', '/a/b/1/c', '/d', '/d/b', '/e~1f'].map(lineOf)).toEqual([
      1,
      2,
      3,
      4,
      5,
      undefined,
      6,
    ])
  })
})

const letters = 'abcdefghij'
const aliasBomb = Array.from({ length: 10 }, (_, i) => {
  const item = i === 0 ? 'x' : `*${letters[i - 1]}`
  return `${letters[i]}: &${letters[i]} [${Array(10).fill(item).join(', ')}]`
}).join('\n')

describe('YAML that is refused', () => {
  test.each<[string, string, number | undefined, string]>([
    ['an alias bomb', aliasBomb, 5, 'it stands for more than 30000 values'],
    ['a merge bomb', 'a: &a {x: 1}\nb:\n  <<: [*a, *a]\n', 3, 'merge keys are not supported'],
    ['a function', 'a: 1\nb: !!js/function "function(){}"', 2, 'js/function is not supported'],
    ['an unknown tag', 'a: !thing x', 1, 'the tag !thing is not supported'],
    ['a tag that changes the meaning', 'a: !!int "3"', 1, 'int is not supported'],
    ['a tag on a key', '!!int 1: x', 1, 'a key is text'],
    ['a key that stands twice', 'a: 1\nb: 2\na: 3', 3, 'the key "a" stands here twice'],
    ['a key that stands twice, once in quotes', 'x:\n  a: 1\n  "a": 2', 3, 'the key "a" stands here twice'],
    ['two documents', 'a: 1\n---\nb: 2', 2, 'more than one document'],
    ['a directive that changes the meaning', '%YAML 1.1\n---\na: NO', 1, 'directives are not supported'],
    ['an alias inside of itself', 'a: 1\nb: &b [*b]', 2, 'stands inside of what it stands for'],
    ['an alias of nothing', 'a: *b', 1, 'there is no anchor &b before this alias'],
    ['a list for a key', '? [a]\n: 1', 1, 'a key is text'],
    ['no key', 'a: 1\n: 1', 2, 'a key is missing'],
    ['brackets that never close', 'a: 1\nb: [1\nc: 2', 3, 'must be sufficiently indented'],
    ['a tab that indents', 'a:\n\tb: 1', 2, 'Tabs are not allowed'],
    ['quotes that never close', 'a: "x', 1, 'Missing closing "quote'],
    ['a stray bracket', 'a: 1\n}', 2, 'Unexpected flow-map-end'],
    ['10,000 lists in lists', '['.repeat(10_000) + ']'.repeat(10_000), 1, 'nested more than 64 levels deep'],
    ['10,000 lists in lists on one line', `${'- '.repeat(10_000)}a`, 1, 'nested more than 64 levels deep'],
    ['10,000 maps in maps', '{a: '.repeat(10_000), 1, 'nested more than 64 levels deep'],
    ['10,000 keys of keys', `${'? '.repeat(10_000)}a`, 1, 'nested more than 64 levels deep'],
    ['65 lists in lists', '['.repeat(65) + ']'.repeat(65), undefined, 'nested more than 64 levels deep'],
    [
      'aliases that nest',
      `a: &a ${'['.repeat(40)}x${']'.repeat(40)}\nb: ${'['.repeat(40)}*a${']'.repeat(40)}`,
      2,
      'nested too deep',
    ],
    ['a number beyond all', 'a: 1e400', 1, 'cannot be held exactly'],
    ['a number of too many digits', 'a: 12345678901234567890', 1, 'cannot be held exactly; quote it'],
    ['NUL', 'a: 1\nb: \0', 2, 'characters that are no text'],
    ['NUL by escape', 'a: "\\0"', 1, 'characters that are no text'],
    ['a bell', 'a: \x07', 1, 'characters that are no text'],
    ['half a character', 'a: "\\ud800"', 1, 'characters that are no text'],
    ['__proto__', 'a:\n  __proto__: {x: 1}', 2, '"__proto__" is not allowed'],
    ['constructor.prototype', 'constructor: {prototype: {}}', 1, '"constructor" is not allowed'],
    ['nothing', ' \n', undefined, 'it is empty'],
    ['more than a megabyte', `a: ${'x'.repeat(1_048_576)}`, undefined, 'more than 1048576 characters'],
    [
      '80,000 keys',
      Array.from({ length: 80_000 }, (_, i) => `k${i}: 1`).join('\n'),
      4_286,
      'send a document of this size as JSON',
    ],
  ])('%s', (_, text, line, message) => {
    const [fault, ...others] = faultsOf(text, 'yaml')
    expect(fault?.message).toContain(message)
    expect(fault?.line).toBe(line)
    expect(others).toEqual([])
  })

  test.each<[string, string]>([
    ['an alias bomb', aliasBomb],
    ['nesting', '['.repeat(100_000)],
    ['nesting by keys', `${'? '.repeat(100_000)}a`],
    ['documents', '---\n'.repeat(200_000)],
    ['stray brackets', '}'.repeat(200_000)],
    ['commas', `[${','.repeat(20_000)}`],
    ['quotes', `a: "${'\\n'.repeat(400_000)}`],
  ])('%s cost the engine less than 100 ms', (_, text) => {
    // The best of some, in time of this process: a busy machine and a cold compiler are no fault of the document.
    const runs = Array.from({ length: 5 }, () => {
      const before = process.cpuUsage()
      faultsOf(text, 'yaml')
      return process.cpuUsage(before).user / 1_000
    })
    expect(Math.min(...runs)).toBeLessThan(100)
  })
})

describe('JSON', () => {
  test('is read as it is', () => {
    expect(json('{"a": [1, "x", null, {"constructor": 1}]}')).toEqual({ a: [1, 'x', null, { constructor: 1 }] })
    expect(json('['.repeat(64) + ']'.repeat(64))).toBeDefined()
  })
  test.each([
    ['nothing', '', '', 'it is empty'],
    ['a cut one', '{"a": ', '', 'Unexpected end of JSON input'],
    ['10,000 lists in lists', '['.repeat(10_000) + ']'.repeat(10_000), '', 'nested more than 64 levels deep'],
    ['10,000 maps in maps', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`, '', 'nested more than 64 levels deep'],
    ['65 levels', '['.repeat(65) + ']'.repeat(65), '', 'nested more than 64 levels deep'],
    ['__proto__', '{"a": {"__proto__": {"x": 1}}}', '/a/__proto__', '"__proto__" is not allowed'],
    ['constructor.prototype', '[{"constructor": {"prototype": 1}}]', '/0/constructor', '"constructor" is not allowed'],
    ['a number beyond all', '{"a/b": [1e400]}', '/a~1b/0', 'greater than any'],
    ['NUL by escape', '{"a": "\\u0000"}', '/a', 'characters that are no text'],
    ['NUL in a name', '{"\\u0000": 1}', '/\0', 'characters that are no text'],
    ['half a character by escape', '"\\ud800"', '', 'characters that are no text'],
    ['half a character', '"\ud800"', '', 'characters that are no text'],
  ])('%s is refused', (_, text, pointer, message) => {
    const [fault] = faultsOf(text, 'json')
    expect(fault?.pointer).toBe(pointer)
    expect(fault?.message).toContain(message)
  })
  test('no prototype is changed on the way', () => {
    faultsOf('{"__proto__": {"polluted": true}, "constructor": {"prototype": {"polluted": true}}}', 'json')
    faultsOf('__proto__: {polluted: true}', 'yaml')
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })
})
