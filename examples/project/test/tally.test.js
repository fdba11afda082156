import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tally } from '../src/tally.js'

test('counts words whatever their case, the most frequent first', () => {
  assert.deepEqual(tally('To be, or not to be!'), [
    { word: 'be', count: 2 },
    { word: 'to', count: 2 },
    { word: 'not', count: 1 },
    { word: 'or', count: 1 },
  ])
})

test('knows words beyond ASCII, with apostrophes and hyphens', () => {
  assert.deepEqual(
    tally("Grüße! It's well-known").map(({ word }) => word),
    ['grüße', "it's", 'well-known'],
  )
})

test('finds nothing in nothing', () => assert.deepEqual(tally(' \n'), []))
