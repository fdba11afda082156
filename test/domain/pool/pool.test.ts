import { describe, expect, it } from 'vitest'
import { NOTHING } from '../../../src/domain/pool/amounts.ts'
import type { PoolCommand } from '../../../src/domain/pool/commands.ts'
import { poolDecider } from '../../../src/domain/pool/decide.ts'
import type { PoolEvent } from '../../../src/domain/pool/events.ts'
import { given } from '../../support/given.ts'

const slots = (count: number) => ({ ...NOTHING, slots: count })
const holder = (n: number) => ({ executionId: `e${n}`, stage: 'deploy', attempt: 1 })
const defined = (count: number): PoolEvent => ({ type: 'PoolDefined', data: { name: 'p', capacity: slots(count) } })
const granted = (n: number, fence: number, inUse: number, capacity = 2): PoolEvent => ({
  type: 'CapacityGranted',
  data: { holder: holder(n), amounts: slots(1), fence, capacity: slots(capacity), inUse: slots(inUse) },
})
const released = (n: number, fence: number, inUse: number, capacity = 2): PoolEvent => ({
  type: 'CapacityReleased',
  data: { holder: holder(n), fence, capacity: slots(capacity), inUse: slots(inUse) },
})
const grant = (n: number, amounts = slots(1)): PoolCommand => ({ type: 'GrantCapacity', holder: holder(n), amounts })
const release = (n: number, fence: number): PoolCommand => ({ type: 'ReleaseCapacity', holder: holder(n), fence })
const pool = (...events: PoolEvent[]) => given(poolDecider, events)

describe('a pool', () => {
  it('is defined, and given another capacity, once', () => {
    pool()
      .when({ type: 'DefinePool', name: 'p', capacity: slots(2) })
      .then([defined(2)])
    pool(defined(2))
      .when({ type: 'DefinePool', name: 'p', capacity: slots(2) })
      .then([])
    pool(defined(2), granted(1, 1, 1))
      .when({ type: 'DefinePool', name: 'p', capacity: slots(1) })
      .then([{ type: 'PoolResized', data: { capacity: slots(1), inUse: slots(1) } }])
  })

  it('grants what is free, each with the next number', () => {
    pool(defined(2))
      .when(grant(1))
      .then([granted(1, 1, 1)])
    pool(defined(2), granted(1, 1, 1))
      .when(grant(2))
      .then([granted(2, 2, 2)])
    pool(defined(2), granted(1, 1, 1), released(1, 1, 0))
      .when(grant(1))
      .then([granted(1, 2, 1)])
  })

  it('grants nobody twice, and nothing beyond what there is', () => {
    pool(defined(2), granted(1, 1, 1))
      .when(grant(1))
      .then([])
    pool(defined(2), granted(1, 1, 1), granted(2, 2, 2))
      .when(grant(3))
      .thenRejected('POOL_FULL')
    pool(defined(2))
      .when(grant(1, slots(3)))
      .thenRejected('POOL_TOO_SMALL')
    pool(defined(2))
      .when(grant(1, { ...NOTHING, cpuMillicores: 1 }))
      .thenRejected('POOL_TOO_SMALL')
    pool().when(grant(1)).thenRejected('POOL_UNKNOWN')
  })

  it('that has shrunk under its holders grants again once enough is given back', () => {
    const shrunk: PoolEvent = { type: 'PoolResized', data: { capacity: slots(1), inUse: slots(2) } }
    const before = [defined(2), granted(1, 1, 1), granted(2, 2, 2), shrunk]
    pool(...before)
      .when(grant(3))
      .thenRejected('POOL_FULL')
    pool(...before, released(1, 1, 1, 1))
      .when(grant(3))
      .thenRejected('POOL_FULL')
    pool(...before, released(1, 1, 1, 1), released(2, 2, 0, 1))
      .when(grant(3))
      .then([granted(3, 3, 1, 1)])
  })

  it('takes back what is held under that number, once', () => {
    pool(defined(2), granted(1, 1, 1))
      .when(release(1, 1))
      .then([released(1, 1, 0)])
    pool(defined(2), granted(1, 1, 1), released(1, 1, 0))
      .when(release(1, 1))
      .then([])
    pool(defined(2), granted(1, 1, 1), released(1, 1, 0), granted(1, 2, 1))
      .when(release(1, 1))
      .then([])
  })
})

describe('a concurrency group', () => {
  const run = (n: number, limit: number): PoolCommand => ({
    type: 'GrantCapacity',
    holder: { executionId: `e${n}` },
    amounts: slots(1),
    group: { name: 'release web', limit },
  })
  it('comes to be with the first run, and has the limit of the one that asked last', () => {
    const capacity = slots(1)
    const opened: PoolEvent = { type: 'PoolDefined', data: { name: 'release web', capacity } }
    const first: PoolEvent = {
      type: 'CapacityGranted',
      data: { holder: { executionId: 'e1' }, amounts: slots(1), fence: 1, capacity, inUse: slots(1) },
    }
    pool().when(run(1, 1)).then([opened, first])
    pool(opened, first).when(run(2, 1)).thenRejected('POOL_FULL')
    pool(opened, first)
      .when(run(2, 2))
      .then([
        { type: 'PoolResized', data: { capacity: slots(2), inUse: slots(1) } },
        {
          type: 'CapacityGranted',
          data: { holder: { executionId: 'e2' }, amounts: slots(1), fence: 2, capacity: slots(2), inUse: slots(2) },
        },
      ])
  })
})

describe('a pool that lives long', () => {
  it('carries itself forward, and a fold that begins there is the fold from the beginning', () => {
    let state = poolDecider.initialState
    const events: PoolEvent[] = []
    const tell = (command: PoolCommand) => {
      for (const event of poolDecider.decide(command, state)) {
        state = poolDecider.evolve(state, event)
        events.push(event)
      }
    }
    tell({ type: 'DefinePool', name: 'p', capacity: slots(50) })
    for (let n = 1; n <= 1_200; n++) {
      tell(grant(n))
      if (n > 40) tell(release(n - 40, n - 40))
    }
    const bases = events.flatMap((event, at) => (poolDecider.isBase?.(event) ? [at] : []))
    expect(bases.length).toBeGreaterThan(1)
    expect(Math.max(...bases.map((at, n) => at - (bases[n - 1] ?? 0)))).toBeLessThanOrEqual(1_001)
    const short = events.slice(bases.at(-1)).reduce(poolDecider.evolve, poolDecider.initialState)
    const said = (pool: typeof state) => (pool.status === 'defined' ? { ...pool, held: pool.held.list() } : pool)
    expect(said(short)).toEqual(said(state))
    expect(said(state)).toMatchObject({ inUse: slots(40), fence: 1_200 })
  })
})
