import { randomFillSync } from 'node:crypto'
import { v7 } from 'uuid'

/** Asking the system for randomness costs more than everything else about an id, so it is asked for many at once. */
const pool = new Uint8Array(16 * 256)
let used = pool.length

/** A UUIDv7: unique, and later ones sort later. */
export function newId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const random = pool.subarray(used, used + 16)
  used += 16
  return v7({ random })
}
