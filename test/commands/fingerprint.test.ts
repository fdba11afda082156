import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { executionIdFor, fingerprint } from '../../src/commands/fingerprint.ts'
import type { Json } from '../../src/domain/message.ts'

function shuffled(json: Json): Json {
  if (Array.isArray(json)) return json.map(shuffled)
  if (typeof json !== 'object' || json === null) return json
  return Object.fromEntries(
    Object.entries(json)
      .reverse()
      .map(([key, value]) => [key, shuffled(value)]),
  )
}

describe('a fingerprint', () => {
  test('stays what it is: stored ones are compared with it', () => {
    expect(fingerprint({ b: [1, 'x', null], a: { d: true, c: 0.5 } })).toBe(
      'c967b1eb6a873591d928f9e850fd0d30bd4a14538509ebe613c1fb0c1de1cf80',
    )
  })
  test('does not depend on the order of keys', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => fingerprint(shuffled(value as Json)) === fingerprint(value as Json)),
    )
  })
  test.each<[Json, Json]>([
    [
      [1, 2],
      [2, 1],
    ],
    [{ a: 1 }, { a: '1' }],
    [{ a: {} }, { a: [] }],
    [{ 'a":1,"b': 2 }, { a: 1, b: 2 }],
    [null, 'null'],
  ])('tells %j from %j', (a, b) => {
    expect(fingerprint(a)).not.toBe(fingerprint(b))
  })
})

describe('the id of a run', () => {
  test('stays what it is for a key', () => {
    expect(executionIdFor('default', 'release', 'key-1')).toBe('e11ed354-e01d-57aa-af72-5a6764343337')
  })
  test('differs with each part, wherever the parts are cut', () => {
    const ids = [
      executionIdFor('default', 'release', 'k'),
      executionIdFor('default', 'release', 'K'),
      executionIdFor('default', 'releas', 'ek'),
      executionIdFor('defaul', 'trelease', 'k'),
      executionIdFor('default', 'release","k', ''),
    ]
    expect(new Set(ids).size).toBe(ids.length)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })
})
