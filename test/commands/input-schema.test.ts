import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checkInputSchema, compileInputSchema } from '../../src/commands/input-schema.ts'
import type { Json } from '../../src/domain/message.ts'

type Members = { [key: string]: Json }
const check = (schema: Members, input: Json) =>
  compileInputSchema(schema)(input).map(({ pointer, message }) => `${pointer} ${message}`)

const release: Members = {
  type: 'object',
  required: ['service'],
  additionalProperties: false,
  properties: {
    service: { type: 'string', minLength: 2 },
    'replicas/max': { $ref: '#/$defs/count' },
    target: { anyOf: [{ const: 'live' }, { type: 'object', required: ['host'] }] },
    at: { type: 'string', format: 'date-time' },
    tags: { type: 'array', items: { enum: ['a', 'b'] }, maxItems: 3 },
  },
  $defs: { count: { type: 'integer', minimum: 1 } },
}

describe('an input', () => {
  test('that matches has no faults', () => {
    const input = { service: 'api', 'replicas/max': 3, target: { host: 'x' }, at: '2030-01-31T18:00:00Z', tags: ['a'] }
    expect(checkInputSchema(release)).toEqual([])
    expect(check(release, input)).toEqual([])
  })
  test.each<[Json, string[]]>([
    ['x', ['/input type "string" is invalid. Expected "object".']],
    [{}, ['/input/service is required']],
    [{ service: 'a' }, ['/input/service String is too short (1 < 2).']],
    [{ service: 'api', more: 1 }, ['/input/more is not allowed here']],
    [{ service: 'api', 'replicas/max': 0 }, ['/input/replicas~1max 0 is less than 1.']],
    [{ service: 'api', target: 'test' }, ['/input/target does not match any subschemas.']],
    [{ service: 'api', at: 'soon' }, ['/input/at String does not match format "date-time".']],
    [{ tags: ['c'] }, ['/input/service is required', '/input/tags/0 does not match any of ["a","b"].']],
  ])('%j says what does not match', (input, faults) => {
    expect(check(release, input)).toEqual(faults)
  })
  test('with a great many faults names a hundred', () => {
    expect(check({ items: { type: 'string' } }, Array(1_000).fill(1))).toHaveLength(100)
  })
  test('that fits no schema at all is refused', () => {
    expect(check({ not: {} }, 1)).toEqual(['/input matched "not" schema.'])
  })
  test('the schema is not written to, and checks are kept for it', () => {
    const schema = Object.freeze({
      type: 'object',
      properties: Object.freeze({ a: Object.freeze({ type: 'string' }) }),
    })
    expect(check(schema, { a: 1 })).toHaveLength(1)
    expect(compileInputSchema(schema)).toBe(compileInputSchema(schema))
  })
})

const refs = (depth: number): Members => ({
  $ref: '#/$defs/d0',
  $defs: {
    ...Object.fromEntries(
      Array.from({ length: depth }, (_, i) => [
        `d${i}`,
        { anyOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] },
      ]),
    ),
    [`d${depth}`]: { type: 'string' },
  },
})

describe('a schema is refused for', () => {
  test.each<[string, Members, string]>([
    [
      'a pattern',
      { properties: { a: { pattern: '(a+)+$' } } },
      '/input/properties/a/pattern `pattern` is not supported',
    ],
    ['patterns of names', { patternProperties: {} }, '/input/patternProperties `patternProperties` is not supported'],
    ['comparing all items', { uniqueItems: true }, '/input/uniqueItems `uniqueItems` is not supported'],
    ['a remote reference', { $ref: 'https://example.com/a.json' }, '/input/$ref expected a reference to this schema'],
    ['a reference to nothing', { $ref: '#/$defs/a' }, '/input/$ref there is no #/$defs/a'],
    [
      'a reference to itself',
      { $defs: { a: { items: { $ref: '#/$defs/a' } } } },
      '/input/$defs/a/items/$ref #/$defs/a refers to itself',
    ],
    ['references that multiply', refs(30), '/input it has more than 2000 parts'],
    ['an unknown type', { type: 'text' }, '/input/type expected string, number'],
    ['an unknown format', { format: 'regex' }, '/input/format expected one of'],
    ['an unknown keyword', { minimun: 1 }, '/input/minimun the keyword `minimun` is not supported here'],
    ['a member of the library’s own', { __absolute_ref__: 'x' }, '/input/__absolute_ref__ the keyword'],
    ['an identifier', { $id: 'https://example.com' }, '/input/$id the keyword'],
    ['definitions further down', { items: { $defs: {} } }, '/input/items/$defs the keyword'],
    ['definitions that are none', { $defs: 1 }, '/input/$defs expected a JSON Schema'],
    ['another draft', { $schema: 'http://json-schema.org/draft-07/schema#' }, '/input/$schema expected draft 2020-12'],
    ['a number for text', { minLength: 'x' }, '/input/minLength expected a whole number'],
    ['a name that every object has', { properties: { toString: {} } }, '/input/properties expected schemas by names'],
    ['requiring what every object has', { required: ['valueOf'] }, '/input/required expected a list of names'],
    ['something else for a schema', { items: 3 }, '/input/items expected a JSON Schema'],
  ])('%s', (_, schema, fault) => {
    const faults = checkInputSchema(schema).map(({ pointer, message }) => `${pointer} ${message}`)
    expect(faults).toEqual([expect.stringContaining(fault)])
    expect(() => compileInputSchema(schema)).toThrow('not an input schema')
  })
  test('every fault, at once', () => {
    const schema = { type: 'x', properties: { toString: { pattern: 'a' }, b: { format: 'y' } } }
    expect(checkInputSchema(schema).map(({ pointer }) => pointer)).toEqual([
      '/input/type',
      '/input/properties',
      '/input/properties/toString/pattern',
      '/input/properties/b/format',
    ])
  })
  test('references below the limit are taken', () => {
    expect(checkInputSchema(refs(8))).toEqual([])
    expect(check(refs(8), 'x')).toEqual([])
  })
})

test('the library generates no code', () => {
  const folder = dirname(createRequire(import.meta.url).resolve('@cfworker/json-schema'))
  for (const file of ['validate.js', 'validator.js', 'dereference.js', 'format.js'])
    expect(readFileSync(join(folder, file), 'utf8')).not.toMatch(/new Function|\beval\(/)
})
