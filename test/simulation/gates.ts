// The ports of a simulated process: every call of one passes a gate on the way in and on the way out, and something may go
// wrong at it. A process that dies leaves its calls where they are: what was done is done, and nobody hears of it.
import type { Work } from '../../src/domain/execution/work.ts'
import type { Clock } from '../../src/ports/clock.ts'
import { type EventStore, StoreUnavailable, WrongExpectedRevision } from '../../src/ports/event-store.ts'
import type { Leases } from '../../src/ports/leases.ts'
import type { WorkQueue } from '../../src/ports/work-queue.ts'
import type { Chance } from '../support/chance.ts'
import { type FaultKind, type Faults, Injected } from './faults.ts'
import type { MemoryLog } from './memory-log.ts'
import type { Owner, Scheduler } from './scheduler.ts'

/** When a simulated world begins. */
export const EPOCH_MS = Date.parse('2026-01-02T03:04:05.000Z')
const SLOW_MS = 20_000
/** How long what was answered as unknown may still be on its way. */
export const LATE_MS = 60_000

export type Network = {
  readonly scheduler: Scheduler
  readonly faults: Faults
  readonly chance: Chance
  /** How long a step takes at most, milliseconds, where nothing is slow. */
  readonly latencyMs: number
}

/** How long the next step takes, in milliseconds. */
export function latencyOf({ chance, faults, latencyMs }: Network): number {
  return faults.befalls('step-slow') ? chance.below(SLOW_MS) : chance.below(latencyMs + 1)
}

/** Resolves in a step of its own. */
export const gate = (network: Network, owner: Owner | undefined, afterMs = latencyOf(network)): Promise<void> =>
  new Promise((resolve) => {
    network.scheduler.schedule(owner, afterMs, resolve)
  })

/** The wall clock is everybody's, and may jump; the other one never does. */
export function clockOf({ scheduler }: Network, owner: Owner, wall: { readonly aheadMs: number }): Clock {
  return {
    now: () => EPOCH_MS + scheduler.nowMs + wall.aheadMs,
    monotonicMs: () => scheduler.nowMs,
    after: (delayMs, run) => scheduler.schedule(owner, delayMs, run),
  }
}

export function storeThrough(network: Network, owner: Owner, log: MemoryLog): EventStore {
  const { faults, chance, scheduler } = network
  const commit = (...given: Parameters<EventStore['append']>) => log.commit(...given)

  /** Ids of the first events of appends that arrive later. */
  const onTheirWay = new Set<string>()

  function disturb(given: Parameters<EventStore['append']>): void {
    const [stream, expected, [first]] = given
    // Nothing is in the way of what stands in the log already; nor of what is still on its way there, or it could not arrive.
    const mayConflict = expected !== 'any' && first !== undefined && !log.has(first.id) && !onTheirWay.has(first.id)
    if (mayConflict && faults.befalls('conflict')) throw new WrongExpectedRevision(stream, expected, 'noStream')
    if (faults.befalls('append-refused')) throw new StoreUnavailable('injected: nothing was written', true)
    if (faults.befalls('append-unanswered')) {
      commit(...given)
      throw new StoreUnavailable('injected: the answer was lost', false)
    }
    if (!faults.befalls('append-late')) return
    if (first !== undefined) onTheirWay.add(first.id)
    scheduler.schedule(undefined, chance.below(LATE_MS), () => {
      try {
        commit(...given)
      } catch (error) {
        if (!(error instanceof WrongExpectedRevision)) throw error
      }
    })
    throw new StoreUnavailable('injected: it is still on its way', false)
  }

  async function* withGates<T>(batches: AsyncIterable<T>, kind: FaultKind): AsyncGenerator<T> {
    await gate(network, owner)
    for await (const batch of batches) {
      await gate(network, owner)
      if (faults.befalls(kind)) throw new StoreUnavailable(`injected: ${kind}`, true)
      yield batch
    }
  }

  return {
    append: (...given) =>
      passing(network, owner, () => {
        disturb(given)
        return commit(...given)
      }),
    readStream: (...given) => withGates(log.readStream(...given), 'read-failed'),
    readAll: (...given) => withGates(log.readAll(...given), 'read-failed'),
    subscribe: (options) =>
      withGates(log.subscribe({ batchSize: 1 + chance.below(30), ...options }), 'subscription-broken'),
    truncate: (...given) => passing(network, owner, () => log.truncate(...given)),
    putBack: (...given) => passing(network, owner, () => log.putBack(given[0])),
    head: () => passing(network, owner, () => log.head()),
    close: () => log.close(),
  }
}

/** What the call does happens in one step, and its caller hears of it in a later one. */
async function passing<T>(network: Network, owner: Owner, call: () => T | Promise<T>): Promise<T> {
  await gate(network, owner)
  try {
    return await call()
  } finally {
    await gate(network, owner)
  }
}

/** A call to something that may be out of reach: before it has done anything, or after. */
async function reaching<T>(network: Network, owner: Owner, kind: FaultKind, call: () => Promise<T>): Promise<T> {
  return passing(network, owner, async () => {
    const fails = network.faults.befalls(kind)
    if (fails && network.chance.next() < 0.5) throw new Injected(kind)
    const answer = await call()
    if (fails) throw new Injected(`${kind}, after it was done`)
    return answer
  })
}

export function leasesThrough(network: Network, owner: Owner, leases: Leases): Leases {
  const reach = <T>(call: () => Promise<T>) => reaching(network, owner, 'leases-unreachable', call)
  return {
    claim: (...given) => reach(() => leases.claim(...given)),
    renew: (...given) => reach(() => leases.renew(...given)),
    release: (...given) => reach(() => leases.release(...given)),
    confirm: (...given) => reach(() => leases.confirm(...given)),
    revoke: (...given) => reach(() => leases.revoke(...given)),
    unheld: (...given) => reach(() => leases.unheld(...given)),
    held: () => reach(() => leases.held()),
    close: () => leases.close(),
  }
}

/** @param hears of work before the queue does, and when it was done */
export function queueThrough(
  network: Network,
  owner: Owner,
  queue: WorkQueue,
  hears: { published(work: readonly Work[]): void; done(work: Work): void },
): WorkQueue {
  return {
    durable: queue.durable,
    publish: (work) =>
      reaching(network, owner, 'broker-unreachable', () => {
        hears.published(work)
        return queue.publish(work)
      }),
    consume: (queues, options, handle) =>
      queue.consume(queues, options, async (work) => {
        await gate(network, owner)
        await handle(work)
        hears.done(work)
      }),
    withdraw: (ids) => reaching(network, owner, 'broker-unreachable', () => queue.withdraw(ids)),
    lacking: (ids) => reaching(network, owner, 'broker-unreachable', () => queue.lacking(ids)),
    stats: () => queue.stats(),
    deadLetters: () => queue.deadLetters(),
    close: () => queue.close(),
  }
}
