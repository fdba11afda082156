import type { Work } from '../../domain/execution/work.ts'
import { parseRoute, routeOf, serves } from '../../domain/workflow/route.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Consumer, RouteStats, WorkQueue } from '../../ports/work-queue.ts'
import { type Entry, Line, TURNS_PER_POINT } from './line.ts'
import { Meter } from './meter.ts'

const MAX_DELIVERIES = 3

type Handler = (work: Work) => Promise<void>

/** Work of one queue that asks for the same labels. */
type Route = {
  readonly name: string
  readonly line: Line
  readonly published: Meter
  readonly taken: Meter
  running: number
}

/** A queue that a taker serves: those of its routes that the taker has the labels for, each with the turns that it has had. */
type Served = {
  readonly queue: string
  readonly limit: number
  readonly routes: { readonly route: Route; turn: number }[]
  running: number
}

type Taker = {
  readonly queues: readonly string[]
  readonly labels: readonly string[]
  readonly concurrency: number
  readonly handle: Handler
  readonly served: readonly Served[]
  /** Which of its queues comes next. */
  turn: number
  running: number
  closed: boolean
  idle: (() => void) | undefined
}

/** Work in the memory of one process; the dispatcher fills it again from the log after a restart. */
export function createMemoryQueue(clock: Pick<Clock, 'monotonicMs'>): WorkQueue {
  const routes = new Map<string, Route>()
  const known = new Map<string, Entry>()
  const takers: Taker[] = []
  const dead: { work: Work; reason: string }[] = []

  function routeNamed(name: string): Route {
    const route = routes.get(name)
    if (route) return route
    const added = { name, line: new Line(), published: new Meter(), taken: new Meter(), running: 0 }
    routes.set(name, added)
    for (const taker of takers) attach(taker, added)
    return added
  }

  function feed(): void {
    for (const taker of takers) while (feedOne(taker));
  }

  /** Its queues in turn, so that a busy one does not starve the others. */
  function feedOne(taker: Taker): boolean {
    if (taker.closed || taker.running >= taker.concurrency) return false
    for (let tried = 0; tried < taker.served.length; tried++) {
      const served = taker.served[taker.turn]!
      taker.turn = (taker.turn + 1) % taker.served.length
      const route = served.running < served.limit ? nextOf(served.routes) : undefined
      if (route === undefined) continue
      void deliver(taker, served, route, route.line.take()!)
      return true
    }
    return false
  }

  async function deliver(taker: Taker, served: Served, route: Route, entry: Entry): Promise<void> {
    const deliveries = entry.deliveries + 1
    for (const one of [taker, served, route]) one.running++
    route.taken.add(clock.monotonicMs())
    try {
      await taker.handle(entry.work)
      known.delete(entry.work.id)
    } catch (error) {
      if (deliveries < MAX_DELIVERIES) known.set(entry.work.id, route.line.push(entry.work, deliveries))
      else {
        known.delete(entry.work.id)
        dead.push({ work: entry.work, reason: String((error as Error)?.message ?? error) })
      }
    }
    for (const one of [taker, served, route]) one.running--
    if (taker.running === 0) taker.idle?.()
    feed()
  }

  return {
    durable: false,
    async publish(work) {
      for (const item of work) {
        if (known.has(item.id)) continue
        const route = routeNamed(item.queue)
        known.set(item.id, route.line.push(item))
        route.published.add(clock.monotonicMs())
      }
      feed()
    },
    async withdraw(ids) {
      for (const id of ids) {
        const entry = known.get(id)
        if (entry && routeNamed(entry.work.queue).line.remove(entry)) known.delete(id)
      }
    },
    consume(names, { concurrency, perQueue = {}, labels = [] }, handle): Consumer {
      const queues = [...new Set(names)]
      const served = queues.map((queue) => ({ queue, limit: perQueue[queue] ?? Infinity, routes: [], running: 0 }))
      const state = { turn: 0, running: 0, closed: false, idle: undefined }
      const taker: Taker = { queues, labels, concurrency, handle, served, ...state }
      for (const queue of queues) routeNamed(routeOf(queue))
      for (const route of routes.values()) attach(taker, route)
      takers.push(taker)
      queueMicrotask(feed)
      return {
        async close() {
          if (!taker.closed) takers.splice(takers.indexOf(taker), 1)
          taker.closed = true
          if (taker.running > 0) await new Promise<void>((resolve) => (taker.idle = resolve))
        },
      }
    },
    async lacking(ids) {
      return ids.filter((id) => !known.has(id))
    },
    async stats() {
      const nowMs = clock.monotonicMs()
      return [...routes.values()].sort(byName).map((route) => statsOf(route, takers, nowMs))
    },
    async deadLetters() {
      return [...dead]
    },
    async close() {
      for (const taker of takers.splice(0)) taker.closed = true
    },
  }
}

const byName = (a: Route, b: Route): number => (a.name < b.name ? -1 : 1)

function attach(taker: Taker, route: Route): void {
  if (!serves(route.name, taker)) return
  const { queue } = parseRoute(route.name)
  taker.served.find((served) => served.queue === queue)!.routes.push({ route, turn: 0 })
}

/** The routes of a queue take turns as namespaces do, or work without labels would hold up what few workers have the labels for. */
function nextOf(routes: Served['routes']): Route | undefined {
  const [only] = routes
  if (routes.length === 1) return only!.route.line.size > 0 ? only!.route : undefined
  const waiting = routes.filter(({ route }) => route.line.size > 0)
  if (waiting.length === 0) return undefined
  const least = Math.min(...waiting.map(({ turn }) => turn))
  // Where nothing waits no turns are saved up.
  for (const one of routes) if (one.route.line.size === 0) one.turn = Math.max(one.turn, least)
  const rank = ({ route, turn }: Served['routes'][number]) => turn - route.line.next!.work.priority * TURNS_PER_POINT
  const next = waiting.reduce((first, one) => (rank(one) < rank(first) ? one : first))
  next.turn++
  return next.route
}

function statsOf(
  { name, line, running, published, taken }: Route,
  takers: readonly Taker[],
  nowMs: number,
): RouteStats {
  const { oldestAt } = line
  return {
    ...parseRoute(name),
    depth: line.size,
    ...(oldestAt === undefined ? {} : { oldestAt }),
    running,
    publishedPerMinute: published.perMinute(nowMs),
    takenPerMinute: taken.perMinute(nowMs),
    published: published.total,
    taken: taken.total,
    consumers: takers.filter((taker) => serves(name, taker)).length,
  }
}
