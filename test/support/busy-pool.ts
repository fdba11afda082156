import { randomInt, randomUUID } from 'node:crypto'
import { NOTHING } from '../../src/domain/pool/amounts.ts'
import type { PoolCommand } from '../../src/domain/pool/commands.ts'
import { poolDecider } from '../../src/domain/pool/decide.ts'
import type { PoolEvent } from '../../src/domain/pool/events.ts'

/** What happens next in a pool that many ask and that is resized under them; the first time it is defined. */
export function busyPool(): () => PoolEvent[] {
  let state = poolDecider.initialState
  const next = (): PoolCommand => {
    const held = state.status === 'defined' ? state.held.list() : []
    if (state.status === 'undefined' || randomInt(20) === 0)
      return { type: 'DefinePool', name: 'production', capacity: { ...NOTHING, slots: 20 + randomInt(20) } }
    if (held.length > 10 || (held.length > 0 && randomInt(3) === 0))
      return { type: 'ReleaseCapacity', ...held[randomInt(held.length)]! }
    const holder = { executionId: randomUUID(), stage: 'deploy', attempt: 1 + randomInt(3) }
    return { type: 'GrantCapacity', holder, amounts: { ...NOTHING, slots: 1 } }
  }
  return () => {
    const events = [...poolDecider.decide(next(), state)]
    state = events.reduce(poolDecider.evolve, state)
    return events
  }
}
