import { beforeEach, describe, expect, it, vi } from 'vitest'
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import type { Leases } from '../../src/ports/leases.ts'
import { runSingleton } from '../../src/singleton.ts'
import { ManualClock } from '../support/manual-clock.ts'

let clock: ManualClock
let leases: Leases
let log: string[]
beforeEach(() => {
  clock = new ManualClock()
  leases = createMemoryLeases(clock)
  log = []
})

const logger = { info: () => {}, warn: () => {}, error: () => {} }

function process(id: string, own: Pick<Leases, 'claim' | 'release'> = leases) {
  const start = () => {
    log.push(`${id} starts`)
    return { stop: async () => void log.push(`${id} stops`) }
  }
  return runSingleton({ role: 'reactors', id, leases: own, clock, logger, start })
}

/** Lets heartbeats pass until something is so. */
const until = (is: () => boolean) =>
  vi.waitFor(() => {
    clock.advance(500)
    expect(is()).toBe(true)
  })

/** Leases that can be cut off. */
function reachable() {
  const link = { up: true }
  const check = () => {
    if (!link.up) throw new Error('out of reach')
  }
  const claim: Leases['claim'] = async (...given) => {
    check()
    return leases.claim(...given)
  }
  const release: Leases['release'] = async (...given) => {
    check()
    return leases.release(...given)
  }
  return { link, claim, release }
}

describe('a role that one process has at a time', () => {
  it('is with the first, and goes to another at once when that one stops', async () => {
    const first = process('a')
    await first.ready
    const second = process('b')
    await second.ready
    clock.advance(60_000)
    expect([first.isHere, second.isHere]).toEqual([true, false])
    await first.stop()
    await until(() => second.isHere)
    await second.stop()
    expect(log).toEqual(['a starts', 'a stops', 'b starts', 'b stops'])
    expect(clock.pending).toBe(0)
  })

  it('goes to another within fifteen seconds when nothing is heard of its process any more', async () => {
    const own = reachable()
    const first = process('a', own)
    await first.ready
    const second = process('b')
    await second.ready
    own.link.up = false
    const since = clock.now()
    await until(() => second.isHere)
    expect(clock.now() - since).toBeLessThan(15_000)
    // It was only out of reach, and sees now that it has the role no more.
    own.link.up = true
    await until(() => !first.isHere)
    expect(log).toEqual(['a starts', 'b starts', 'a stops'])
    await Promise.all([first.stop(), second.stop()])
  })

  it('stays where it is while leases cannot be reached', async () => {
    const own = reachable()
    const first = process('a', own)
    await first.ready
    own.link.up = false
    clock.advance(120_000)
    await vi.waitFor(() => expect(clock.pending).toBe(1))
    expect(first.isHere).toBe(true)
    own.link.up = true
    await until(() => first.isHere)
    await first.stop()
    expect(log).toEqual(['a starts', 'a stops'])
  })
})
