import type { Clock } from '../../ports/clock.ts'
import type { Leases } from '../../ports/leases.ts'

type Lease = { readonly owner: string; expiresMs: number; revoked: boolean; confirmed: boolean }

/** Leases of one process; they end with it, as do the workers that hold them. */
export function createMemoryLeases(clock: Pick<Clock, 'monotonicMs'>): Leases {
  const leases = new Map<string, Lease>()

  function held(key: string): Lease | undefined {
    const lease = leases.get(key)
    if (lease === undefined || lease.expiresMs > clock.monotonicMs()) return lease
    leases.delete(key)
    return undefined
  }

  return {
    async claim(key, owner, ttlMs) {
      const lease = held(key)
      if (lease && (lease.owner !== owner || lease.revoked)) return false
      leases.set(key, { owner, expiresMs: clock.monotonicMs() + ttlMs, revoked: false, confirmed: false })
      return true
    },
    async renew(owner, keys, ttlMs) {
      const revoked: string[] = []
      const lost: string[] = []
      const confirmed: string[] = []
      for (const key of keys) {
        const lease = held(key)
        if (lease?.owner !== owner) lost.push(key)
        else if (lease.revoked) revoked.push(key)
        if (lease?.owner === owner && lease.confirmed) confirmed.push(key)
        // What was asked to stop is still its holder's while it stops.
        if (lease?.owner === owner) lease.expiresMs = clock.monotonicMs() + ttlMs
      }
      return { revoked, lost, confirmed }
    },
    async release(key, owner) {
      if (leases.get(key)?.owner === owner) leases.delete(key)
    },
    async confirm(key, owner) {
      const lease = held(key)
      if (lease?.owner === owner) lease.confirmed = true
    },
    async revoke(key) {
      const lease = held(key)
      if (lease) lease.revoked = true
    },
    async unheld(keys) {
      return keys.filter((key) => held(key) === undefined)
    },
    async held() {
      const keys = [...leases.keys()].filter((key) => held(key) !== undefined)
      return keys.map((key) => ({ key, owner: leases.get(key)!.owner, revoked: leases.get(key)!.revoked }))
    },
    async close() {
      leases.clear()
    },
  }
}
