import { expect, test } from 'vitest'
import { RecentlyUsed } from '../../src/commands/recently-used.ts'

const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `${n}`)

test('keeps what was used lately, and lets go of the rest', () => {
  const kept = new RecentlyUsed<string>(10, () => false)
  kept.set('often', 'often')
  for (const name of names(1_000)) {
    kept.set(name, name)
    expect(kept.get(name)).toBe(name)
    expect(kept.get('often')).toBe('often')
  }
  const left = names(1_000).filter((name) => kept.get(name) !== undefined)
  expect(left.length).toBeLessThanOrEqual(10)
  expect(left.at(-1)).toBe('999')
})

test('keeps what is busy for as long as it is, as it is now', () => {
  const busy = new Set(['busy'])
  const kept = new RecentlyUsed<string>(10, (value) => busy.has(value))
  kept.set('one', 'busy')
  for (const name of names(100)) kept.set(name, name)
  expect(kept.get('one')).toBe('busy')
  kept.set('one', 'other')
  for (const name of names(5)) kept.set(name, name)
  expect(kept.get('one')).toBe('other')
  busy.clear()
  for (const name of names(100)) kept.set(name, name)
  expect(kept.get('one')).toBeUndefined()
})

test('forgets what it is told to, wherever that is', () => {
  const kept = new RecentlyUsed<string>(10, () => false)
  kept.set('one', 'one')
  for (const name of names(5)) kept.set(name, name)
  expect(kept.get('one')).toBe('one')
  kept.delete('one')
  expect(kept.get('one')).toBeUndefined()
})
