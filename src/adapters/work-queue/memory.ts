import type { Work } from '../../domain/execution/work.ts'
import { parseRoute, routeOf } from '../../domain/workflow/route.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Consumer, RouteStats, WorkQueue } from '../../ports/work-queue.ts'
import { type Entry, Line } from './line.ts'
import { Meter } from './meter.ts'
import { type Handler, MAX_DELIVERIES, type Route, Taker } from './taker.ts'

type MeteredRoute = Route & { readonly published: Meter; readonly taken: Meter }

/** Work in the memory of one process; the dispatcher fills it again from the log after a restart. */
export function createMemoryQueue(clock: Pick<Clock, 'monotonicMs'>): WorkQueue {
  const routes = new Map<string, MeteredRoute>()
  const known = new Map<string, Entry>()
  const takers: Taker<MeteredRoute>[] = []
  const dead: { work: Work; reason: string }[] = []

  function routeNamed(name: string): MeteredRoute {
    const route = routes.get(name)
    if (route) return route
    const added = { name, line: new Line(), published: new Meter(), taken: new Meter(), running: 0 }
    routes.set(name, added)
    for (const taker of takers) taker.attach(added)
    return added
  }

  function feed(): void {
    for (const taker of takers) taker.feed()
  }

  async function deliver(handle: Handler, route: MeteredRoute, entry: Entry): Promise<void> {
    const deliveries = entry.deliveries + 1
    route.taken.add(clock.monotonicMs())
    try {
      await handle(entry.work)
      known.delete(entry.work.id)
    } catch (error) {
      if (deliveries < MAX_DELIVERIES) known.set(entry.work.id, route.line.push(entry.work, deliveries))
      else {
        known.delete(entry.work.id)
        dead.push({ work: entry.work, reason: String((error as Error)?.message ?? error) })
      }
    }
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
    consume(names, limits, handle): Consumer {
      const taker = new Taker<MeteredRoute>(names, limits, (route, entry) => deliver(handle, route, entry), feed)
      for (const queue of taker.queues) routeNamed(routeOf(queue))
      for (const route of routes.values()) taker.attach(route)
      takers.push(taker)
      queueMicrotask(feed)
      return {
        async close() {
          if (takers.includes(taker)) takers.splice(takers.indexOf(taker), 1)
          await taker.close()
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
      for (const taker of takers.splice(0)) taker.stop()
    },
  }
}

const byName = (a: Route, b: Route): number => (a.name < b.name ? -1 : 1)

function statsOf(
  { name, line, running, published, taken }: MeteredRoute,
  takers: readonly Taker<MeteredRoute>[],
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
    consumers: takers.filter((taker) => taker.serves(name)).length,
  }
}
