import type { Decider } from '../message.ts'
import { Rejected } from '../rejected.ts'
import { type Amounts, fits, isSame, minus, NOTHING, plus, shortOf } from './amounts.ts'
import type { PoolCommand } from './commands.ts'
import type { PoolEvent } from './events.ts'
import { type DefinedPool, evolve, freeIn, initialState, type Pool } from './state.ts'

/** A pool, or a concurrency group: `pool-<namespace>.<name>`, `group-<namespace>.<uuid>`. It never grants more than it has. */
export const poolDecider: Decider<Pool, PoolCommand, PoolEvent> = {
  initialState,
  evolve,
  decide,
  isBase: ({ type }) => type === 'PoolCarriedForward',
}

/** A fold need not begin much further back than this; nor is what is carried forward ever larger than an append may be. */
const CARRY_EVERY = 1_000
const MOST_CARRIED = 2_000

type Of<T extends PoolCommand['type']> = Extract<PoolCommand, { type: T }>

function decide(command: PoolCommand, pool: Pool): readonly PoolEvent[] {
  const events = decideAlone(command, pool)
  const after = events.reduce<Pool>(evolve, pool)
  const isDue = events.length > 0 && after.status === 'defined' && after.since >= CARRY_EVERY
  return isDue && after.held.size <= MOST_CARRIED ? [...events, carriedForward(after)] : events
}

function decideAlone(command: PoolCommand, pool: Pool): readonly PoolEvent[] {
  switch (command.type) {
    case 'DefinePool':
      return define(pool, command.name, command.capacity)
    case 'GrantCapacity':
      return grant(command, pool)
    case 'ReleaseCapacity':
      return release(command, pool)
  }
}

function define(pool: Pool, name: string, capacity: Amounts): readonly PoolEvent[] {
  if (pool.status === 'undefined') return [{ type: 'PoolDefined', data: { name, capacity } }]
  return isSame(pool.capacity, capacity) ? [] : [{ type: 'PoolResized', data: { capacity, inUse: pool.inUse } }]
}

function grant(command: Of<'GrantCapacity'>, before: Pool): readonly PoolEvent[] {
  const { holder, amounts, group } = command
  if (before.status === 'defined' && before.held.get(holder)) return []
  const defined = group === undefined ? [] : define(before, group.name, { ...NOTHING, slots: group.limit })
  const pool = defined.reduce<Pool>(evolve, before)
  if (pool.status === 'undefined') throw new Rejected('POOL_UNKNOWN', 'there is no such pool')
  const never = shortOf(amounts, pool.capacity)
  if (never.length > 0)
    throw new Rejected('POOL_TOO_SMALL', `${pool.name} has less than is asked for: ${never.join(', ')}`)
  if (!fits(amounts, freeIn(pool))) throw new Rejected('POOL_FULL', `too little of ${pool.name} is free`)
  const { capacity } = pool
  const inUse = plus(pool.inUse, amounts)
  return [...defined, { type: 'CapacityGranted', data: { holder, amounts, fence: pool.fence + 1, capacity, inUse } }]
}

function release({ holder, fence }: Of<'ReleaseCapacity'>, pool: Pool): readonly PoolEvent[] {
  const held = pool.status === 'defined' ? pool.held.get(holder) : undefined
  if (pool.status === 'undefined' || held?.fence !== fence) return []
  const { capacity } = pool
  return [{ type: 'CapacityReleased', data: { holder, fence, capacity, inUse: minus(pool.inUse, held.amounts) } }]
}

const carriedForward = ({ name, capacity, fence, inUse, held }: DefinedPool): PoolEvent => ({
  type: 'PoolCarriedForward',
  data: { name, capacity, fence, inUse, held: held.list() },
})
