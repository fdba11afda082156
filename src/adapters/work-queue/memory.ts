import type { Work } from '../../domain/execution/work.ts'
import type { Consumer, WorkQueue } from '../../ports/work-queue.ts'

const MAX_DELIVERIES = 3

type Entry = { readonly work: Work; deliveries: number }
type Handler = (work: Work) => Promise<void>

type Taker = {
  readonly queues: readonly string[]
  readonly concurrency: number
  readonly perQueue: Readonly<Record<string, number>>
  readonly handle: Handler
  /** How many run now, in all and by queue. */
  running: number
  readonly runningOf: Map<string, number>
  closed: boolean
  idle: (() => void) | undefined
}

/** Work of one queue: a line for each priority, highest first. */
class Lines {
  readonly #lines = new Map<number, { entries: Entry[]; taken: number }>()
  #priorities: number[] = []
  size = 0

  push(entry: Entry): void {
    const { priority } = entry.work
    let line = this.#lines.get(priority)
    if (line === undefined) {
      line = { entries: [], taken: 0 }
      this.#lines.set(priority, line)
      this.#priorities = [...this.#lines.keys()].sort((a, b) => b - a)
    }
    line.entries.push(entry)
    this.size++
  }

  take(): Entry | undefined {
    for (const priority of this.#priorities) {
      const line = this.#lines.get(priority)!
      const entry = line.entries[line.taken]
      if (entry === undefined) continue
      line.taken++
      this.size--
      // Cutting off what was taken only now and then keeps taking O(1).
      if (line.taken === line.entries.length || line.taken >= 1_024) {
        line.entries = line.entries.slice(line.taken)
        line.taken = 0
      }
      return entry
    }
    return undefined
  }
}

/** Work in the memory of one process; the dispatcher fills it again from the log after a restart. */
export function createMemoryQueue(): WorkQueue {
  const queues = new Map<string, Lines>()
  const known = new Set<string>()
  const takers: Taker[] = []
  const dead: { work: Work; reason: string }[] = []

  const linesOf = (queue: string): Lines => {
    const lines = queues.get(queue) ?? new Lines()
    queues.set(queue, lines)
    return lines
  }

  function feed(): void {
    for (const taker of takers) {
      // Its queues in turn, so that a busy one does not starve the others.
      for (let found = true; found; ) {
        found = false
        for (const queue of taker.queues) found = feedOne(taker, queue) || found
      }
    }
  }

  function feedOne(taker: Taker, queue: string): boolean {
    const runningHere = taker.runningOf.get(queue) ?? 0
    if (taker.closed || taker.running >= taker.concurrency) return false
    if (runningHere >= (taker.perQueue[queue] ?? Number.POSITIVE_INFINITY)) return false
    const entry = queues.get(queue)?.take()
    if (entry === undefined) return false
    taker.running++
    taker.runningOf.set(queue, runningHere + 1)
    void deliver(taker, queue, entry)
    return true
  }

  async function deliver(taker: Taker, queue: string, entry: Entry): Promise<void> {
    entry.deliveries++
    try {
      await taker.handle(entry.work)
      known.delete(entry.work.id)
    } catch (error) {
      if (entry.deliveries < MAX_DELIVERIES) linesOf(queue).push(entry)
      else {
        known.delete(entry.work.id)
        dead.push({ work: entry.work, reason: String((error as Error)?.message ?? error) })
      }
    }
    taker.running--
    taker.runningOf.set(queue, taker.runningOf.get(queue)! - 1)
    if (taker.running === 0) taker.idle?.()
    feed()
  }

  return {
    durable: false,
    async publish(work) {
      for (const item of work) {
        if (known.has(item.id)) continue
        known.add(item.id)
        linesOf(item.queue).push({ work: item, deliveries: 0 })
      }
      feed()
    },
    consume(names, { concurrency, perQueue = {} }, handle): Consumer {
      const taker: Taker = {
        queues: names,
        concurrency,
        perQueue,
        handle,
        running: 0,
        runningOf: new Map(),
        closed: false,
        idle: undefined,
      }
      takers.push(taker)
      queueMicrotask(feed)
      return {
        async close() {
          taker.closed = true
          takers.splice(takers.indexOf(taker), 1)
          if (taker.running > 0) await new Promise<void>((resolve) => (taker.idle = resolve))
        },
      }
    },
    async lacking(ids) {
      return ids.filter((id) => !known.has(id))
    },
    async depth() {
      return Object.fromEntries([...queues].map(([name, lines]) => [name, lines.size]))
    },
    async deadLetters() {
      return [...dead]
    },
    async close() {
      for (const taker of takers.splice(0)) taker.closed = true
    },
  }
}
