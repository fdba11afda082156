// The work queue of a distributed world: it outlives every process, keeps what was published until a consumer is done with it,
// delivers again what a dead one had, and now and then doubles, delays and reorders.
import type { Work } from '../../src/domain/execution/work.ts'
import type { Consumer, WorkQueue } from '../../src/ports/work-queue.ts'
import type { Network } from './gates.ts'
import type { Owner } from './scheduler.ts'

const MAX_DELIVERIES = 3
/** After this the broker takes a consumer that it has not heard of for dead. */
export const SESSION_MS = 10_000
const DELAYED_MS = 30_000

/** One copy of some work: waiting from `readyMs` on, or with a consumer. */
type Copy = { readonly work: Work; readonly order: number; readyMs: number; deliveries: number }
type Handle = Parameters<WorkQueue['consume']>[2]
type Taker = {
  readonly owner: Owner
  readonly queues: readonly string[]
  readonly concurrency: number
  readonly perQueue: Readonly<Record<string, number>>
  readonly handle: Handle
  readonly has: Set<Copy>
  closed: boolean
  idle: (() => void) | undefined
}

export type Broker = {
  /** The broker as a process sees it. */
  connect(owner: Owner): WorkQueue
  /** After a while takes a process that is not heard of for dead, though it may only have been stopped. */
  unheard(owner: Owner): void
  /** What waits, or is with somebody. */
  readonly open: readonly Work[]
  readonly dead: readonly { work: Work; reason: string }[]
}

export function createBroker(network: Network): Broker {
  const { scheduler, faults, chance } = network
  const waiting = new Set<Copy>()
  const takers: Taker[] = []
  const dead: { work: Work; reason: string }[] = []
  let published = 0

  const isKnown = ({ id }: Work): boolean =>
    [...waiting, ...takers.flatMap(({ has }) => [...has])].some(({ work }) => work.id === id)

  function enqueue(work: Work): void {
    const delayMs = faults.befalls('work-delayed') ? chance.below(DELAYED_MS) : 0
    waiting.add({ work, order: published++, readyMs: scheduler.nowMs + delayMs, deliveries: 0 })
    scheduler.schedule(undefined, delayMs, feed)
  }

  const hasRoom = ({ closed, owner, has, concurrency, perQueue }: Taker, queue: string): boolean => {
    const here = [...has].filter(({ work }) => work.queue === queue).length
    return !closed && owner.alive && has.size < concurrency && here < (perQueue[queue] ?? Number.POSITIVE_INFINITY)
  }

  function feed(): void {
    const ready = [...waiting].filter(({ readyMs }) => readyMs <= scheduler.nowMs).sort(byPriority)
    for (const copy of ready) {
      const able = takers.filter((taker) => taker.queues.includes(copy.work.queue) && hasRoom(taker, copy.work.queue))
      if (able.length > 0) void deliver(chance.pick(able), copy)
    }
  }

  async function deliver(taker: Taker, copy: Copy): Promise<void> {
    waiting.delete(copy)
    taker.has.add(copy)
    copy.deliveries++
    try {
      await taker.handle(copy.work)
      taker.has.delete(copy)
    } catch (error) {
      // Somebody else has it by now.
      if (!taker.has.delete(copy)) return
      if (copy.deliveries < MAX_DELIVERIES) waiting.add(copy)
      else dead.push({ work: copy.work, reason: String((error as Error)?.message ?? error) })
    }
    if (taker.has.size === 0) taker.idle?.()
    scheduler.schedule(undefined, 0, feed)
  }

  return {
    connect: (owner) => ({
      durable: true,
      async publish(work) {
        for (const item of work) {
          if (isKnown(item)) continue
          enqueue(item)
          if (faults.befalls('work-doubled')) enqueue(item)
        }
      },
      consume(queues, { concurrency, perQueue = {} }, handle): Consumer {
        const has = new Set<Copy>()
        const taker: Taker = { owner, queues, concurrency, perQueue, handle, has, closed: false, idle: undefined }
        takers.push(taker)
        scheduler.schedule(undefined, 0, feed)
        return {
          async close() {
            taker.closed = true
            if (has.size > 0) await new Promise<void>((resolve) => (taker.idle = resolve))
          },
        }
      },
      async depth() {
        const queues = Map.groupBy(waiting, ({ work }) => work.queue)
        return Object.fromEntries([...queues].map(([name, copies]) => [name, copies.length]))
      },
      deadLetters: async () => [...dead],
      async close() {
        for (const taker of takers) if (taker.owner === owner) taker.closed = true
      },
    }),
    unheard(owner) {
      scheduler.schedule(undefined, SESSION_MS, () => {
        for (const taker of takers.filter((one) => one.owner === owner)) {
          if (!owner.alive) takers.splice(takers.indexOf(taker), 1)
          // That a consumer died is no fault of the work.
          for (const copy of taker.has) waiting.add({ ...copy, deliveries: copy.deliveries - 1 })
          taker.has.clear()
        }
        feed()
      })
    },
    get open() {
      return [...waiting, ...takers.flatMap(({ has }) => [...has])].map(({ work }) => work)
    },
    dead,
  }
}

const byPriority = (a: Copy, b: Copy): number => b.work.priority - a.work.priority || a.order - b.order
