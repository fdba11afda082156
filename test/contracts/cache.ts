// What every cache must do; `pass` lets the store's own time go by.
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import { type Cache, MAX_CACHED_LENGTH } from '../../src/ports/cache.ts'
import { START } from '../../src/ports/event-store.ts'

export type OpenedCache = { readonly cache: Cache; pass(ms: number): Promise<void>; close(): Promise<void> }

export function cacheContract(name: string, open: () => Promise<OpenedCache>): void {
  describe(`cache contract: ${name}`, () => {
    let cache: Cache
    let pass: (ms: number) => Promise<void>
    let close: () => Promise<void>
    beforeEach(async () => {
      ;({ cache, pass, close } = await open())
    })
    afterEach(() => close())

    it('knows what was put under a key, and nothing of others', async () => {
      await cache.put('a', 5, { n: 1 }, 1_000)
      await cache.put('b', 5, { n: 2 }, 1_000)
      expect(await cache.get('a', START)).toEqual({ n: 1 })
      expect(await cache.get('b', START)).toEqual({ n: 2 })
      expect(await cache.get('c', START)).toBeUndefined()
      expect(await cache.get('a ', START)).toBeUndefined()
    })

    it('answers nothing that is older than is asked for', async () => {
      await cache.put('k', 5, 'five', 1_000)
      expect(await cache.get('k', 5)).toBe('five')
      expect(await cache.get('k', 6)).toBeUndefined()
      await cache.put('k', 7, 'seven', 1_000)
      expect(await cache.get('k', 6)).toBe('seven')
    })

    it('lets no older answer take the place of a newer one, but a new one of the same position', async () => {
      await cache.put('k', 1_000, 'late', 1_000)
      await cache.put('k', 999, 'early', 1_000)
      expect(await cache.get('k', START)).toBe('late')
      await cache.put('k', 1_000, 'again', 1_000)
      expect(await cache.get('k', START)).toBe('again')
      await cache.put('first', START, 'empty log', 1_000)
      expect(await cache.get('first', START)).toBe('empty log')
      expect(await cache.get('first', 0)).toBeUndefined()
    })

    it('forgets after its time, each entry after its own', async () => {
      await cache.put('short', 1, 1, 1_000)
      await cache.put('long', 1, 2, 60_000)
      await pass(1_500)
      expect(await cache.get('short', START)).toBeUndefined()
      expect(await cache.get('long', START)).toBe(2)
      await cache.put('short', 0, 'older than what is forgotten', 1_000)
      expect(await cache.get('short', START)).toBe('older than what is forgotten')
    })

    it('gives back any JSON under any key, and what is done to it changes nothing', async () => {
      const value = fc.jsonValue({ maxDepth: 4 }).map((any) => JSON.parse(JSON.stringify(any)) as Json)
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: 'binary' }), fc.nat(), value, async (key, position, given) => {
          await cache.put(`${key}:${position}`, position, given, 60_000)
          expect(await cache.get(`${key}:${position}`, position)).toEqual(given)
        }),
        { numRuns: 100 },
      )
      await cache.put('mine', 1, { list: [1] }, 60_000)
      const mine = (await cache.get('mine', 1)) as { list: number[] }
      mine.list.push(2)
      expect(await cache.get('mine', 1)).toEqual({ list: [1] })
    })

    it('keeps nothing that is very large', async () => {
      const fits = 'x'.repeat(MAX_CACHED_LENGTH - 2)
      await cache.put('fits', 1, fits, 1_000)
      await cache.put('large', 1, `${fits}x`, 1_000)
      expect(await cache.get('fits', 1)).toBe(fits)
      expect(await cache.get('large', 1)).toBeUndefined()
    })
  })
}
