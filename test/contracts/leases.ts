// What every lease store must do; `pass` lets the store's own time go by.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Leases } from '../../src/ports/leases.ts'

export type OpenedLeases = { readonly leases: Leases; pass(ms: number): Promise<void>; close(): Promise<void> }

export function leasesContract(name: string, open: () => Promise<OpenedLeases>): void {
  describe(`leases contract: ${name}`, () => {
    let leases: Leases
    let pass: (ms: number) => Promise<void>
    let close: () => Promise<void>
    beforeEach(async () => {
      ;({ leases, pass, close } = await open())
    })
    afterEach(() => close())

    it('gives a key to one owner at a time, and to the same one again', async () => {
      expect(await leases.claim('k', 'a', 1_000)).toBe(true)
      expect(await leases.claim('k', 'b', 1_000)).toBe(false)
      expect(await leases.claim('k', 'a', 1_000)).toBe(true)
      expect(await leases.claim('other', 'b', 1_000)).toBe(true)
    })

    it('lets a claim go after its time, unless it is renewed', async () => {
      await leases.claim('k', 'a', 1_000)
      await pass(600)
      expect(await leases.renew('a', ['k'], 1_000)).toEqual({ revoked: [], lost: [], confirmed: [] })
      await pass(600)
      expect(await leases.claim('k', 'b', 1_000)).toBe(false)
      await pass(600)
      expect(await leases.unheld(['k'])).toEqual(['k'])
      expect(await leases.claim('k', 'b', 1_000)).toBe(true)
      expect(await leases.renew('a', ['k'], 1_000)).toEqual({ revoked: [], lost: ['k'], confirmed: [] })
    })

    it('tells what is held, by whom, and what was asked to stop', async () => {
      await leases.claim('a', 'one', 1_000)
      await leases.claim('b', 'two', 5_000)
      await leases.claim('c', 'two', 5_000)
      await leases.revoke('b')
      await leases.release('c', 'two')
      expect(await leases.held()).toEqual([
        { key: 'a', owner: 'one', revoked: false },
        { key: 'b', owner: 'two', revoked: true },
      ])
      await pass(1_500)
      expect(await leases.held()).toEqual([{ key: 'b', owner: 'two', revoked: true }])
    })

    it('says what was confirmed to its owner, to nobody else, and no more once it is claimed again', async () => {
      for (const key of ['a', 'b', 'c']) await leases.claim(key, 'one', 1_000)
      await leases.confirm('a', 'one')
      await leases.confirm('b', 'two')
      await leases.confirm('nobody', 'one')
      const renewed = await leases.renew('one', ['a', 'b', 'c', 'nobody'], 1_000)
      expect(renewed).toEqual({ revoked: [], lost: ['nobody'], confirmed: ['a'] })
      await leases.revoke('a')
      expect(await leases.renew('one', ['a'], 1_000)).toEqual({ revoked: ['a'], lost: [], confirmed: ['a'] })
      await leases.release('a', 'one')
      await leases.claim('a', 'two', 1_000)
      expect(await leases.renew('two', ['a'], 1_000)).toEqual({ revoked: [], lost: [], confirmed: [] })
    })

    it('is let go by its owner alone', async () => {
      await leases.claim('k', 'a', 1_000)
      await leases.release('k', 'b')
      expect(await leases.claim('k', 'b', 1_000)).toBe(false)
      await leases.release('k', 'a')
      expect(await leases.claim('k', 'b', 1_000)).toBe(true)
    })

    it('tells the holder to stop, keeps the key its own while it does, and gives it to nobody', async () => {
      await leases.claim('k', 'a', 1_000)
      await leases.revoke('k')
      expect(await leases.claim('k', 'a', 1_000)).toBe(false)
      await pass(600)
      expect(await leases.renew('a', ['k'], 1_000)).toEqual({ revoked: ['k'], lost: [], confirmed: [] })
      await pass(600)
      expect(await leases.claim('k', 'b', 1_000)).toBe(false)
      expect(await leases.unheld(['k'])).toEqual([])
      await leases.release('k', 'a')
      expect(await leases.claim('k', 'b', 1_000)).toBe(true)
    })

    it('does nothing when there is nobody to tell', async () => {
      await leases.revoke('k')
      expect(await leases.claim('k', 'a', 1_000)).toBe(true)
    })

    it('says of many keys which nobody holds', async () => {
      await leases.claim('a', 'w', 1_000)
      await leases.claim('b', 'w', 5_000)
      await pass(2_000)
      expect(await leases.unheld(['a', 'b', 'c'])).toEqual(['a', 'c'])
    })
  })
}
