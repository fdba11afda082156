import { type Amounts, minus, NOTHING } from './amounts.ts'
import type { PoolEvent } from './events.ts'
import { Holders } from './holders.ts'

/** `since` counts the events after the last from which a fold can begin. */
export type DefinedPool = {
  readonly status: 'defined'
  readonly name: string
  readonly capacity: Amounts
  readonly fence: number
  readonly inUse: Amounts
  readonly held: Holders
  readonly since: number
}
export type Pool = { readonly status: 'undefined' } | DefinedPool

export const initialState: Pool = { status: 'undefined' }

/** Less than nothing where the pool has shrunk under those who hold it. */
export const freeIn = ({ capacity, inUse }: DefinedPool): Amounts => minus(capacity, inUse)

export function evolve(pool: Pool, event: PoolEvent): DefinedPool {
  switch (event.type) {
    case 'PoolCarriedForward': {
      const { held, ...rest } = event.data
      return { status: 'defined', ...rest, held: Holders.of(held), since: 0 }
    }
    case 'PoolDefined': {
      const { name, capacity } = event.data
      return { status: 'defined', name, capacity, fence: 0, inUse: NOTHING, held: Holders.none, since: 1 }
    }
    case 'PoolResized':
      return { ...after(pool), capacity: event.data.capacity }
    case 'CapacityGranted': {
      const { inUse, capacity: _, ...held } = event.data
      const next = after(pool)
      return { ...next, fence: held.fence, inUse, held: next.held.with(held) }
    }
    case 'CapacityReleased': {
      const { holder, inUse } = event.data
      const next = after(pool)
      return { ...next, inUse, held: next.held.without(holder) }
    }
  }
}

function after(pool: Pool): DefinedPool {
  if (pool.status === 'undefined') throw new Error('a pool is defined before anything happens to it')
  return { ...pool, since: pool.since + 1 }
}
