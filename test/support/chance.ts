import { randomInt } from 'node:crypto'

/** Numbers that look random and follow from a seed: mulberry32. */
export type Chance = {
  /** From 0 up to and without 1. */
  next(): number
  /** An integer from 0 up to and without `limit`. */
  below(limit: number): number
  pick<T>(from: readonly T[]): T
}

export function chanceOf(seed: number): Chance {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return { next, below, pick: (from) => from[below(from.length)]! }
}

/** From the seed in CHAOS_SEED, or else from a new one; it is printed, so that a run can be repeated. */
export function seededChance(): Chance {
  const seed = Number(process.env.CHAOS_SEED ?? randomInt(2 ** 31))
  console.log(`CHAOS_SEED=${seed}`)
  return chanceOf(seed)
}
