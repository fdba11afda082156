// Prometheus: how long requests take, and whatever else the process registers.
import type { FastifyInstance } from 'fastify'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { RouteStats } from '../ports/work-queue.ts'
import type { ProjectionView } from '../queries/projection-view.ts'

/** Of its own where the caller has none, with what prom-client knows about the process. */
export function defaultRegistry(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return registry
}

/** Routes are labelled by pattern: paths themselves would be as many as there are runs. */
export function measureRequests(server: FastifyInstance, registry: Registry): void {
  const durations = new Histogram({
    name: 'millrace_http_request_duration_seconds',
    help: 'Time from the request to the end of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [registry],
  })
  server.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'unknown'
    durations.labels(request.method, route, String(reply.statusCode)).observe(reply.elapsedTime / 1_000)
    done()
  })
}

/** Of each queue, with the labels that its work asks for: what `GET /v1/{ns}/queues` says, at the time of the scrape. */
export function measureQueues(
  queues: () => Promise<readonly RouteStats[]>,
  nowMs: () => number,
  registry: Registry,
): void {
  const kinds = { gauge: Gauge, counter: Counter }
  const measure = (kind: keyof typeof kinds, name: string, help: string, read: (route: RouteStats) => number): void => {
    const metric = new kinds[kind]({
      name: `millrace_queue_${name}`,
      help,
      labelNames: ['queue', 'labels'],
      registers: [registry],
      async collect() {
        metric.reset()
        for (const route of await queues()) metric.labels(route.queue, route.labels.join(',')).inc(read(route))
      },
    })
  }
  measure('gauge', 'depth', 'Work that waits.', ({ depth }) => depth)
  measure('gauge', 'oldest_seconds', 'Age of the work that has waited longest.', ({ oldestAt }) =>
    oldestAt === undefined ? 0 : Math.max(0, (nowMs() - Date.parse(oldestAt)) / 1_000),
  )
  measure('gauge', 'running', 'Work that was taken and is not done.', ({ running }) => running)
  measure('gauge', 'consumers', 'Workers that would take it.', ({ consumers }) => consumers)
  measure('counter', 'published_total', 'Work that came.', ({ published }) => published)
  measure('counter', 'taken_total', 'Work that was taken.', ({ taken }) => taken)
}

/** How far each read model is behind the log, at the time of the scrape; nothing while PostgreSQL is out of reach. */
export function measureProjections(projections: () => Promise<readonly ProjectionView[]>, registry: Registry): void {
  const measure = (name: string, help: string, read: (view: ProjectionView) => number): void => {
    const metric = new Gauge({
      ...{ name: `millrace_projection_${name}`, help, labelNames: ['projection'], registers: [registry] },
      async collect() {
        metric.reset()
        for (const view of await projections().catch(() => [])) metric.labels(view.name).set(read(view))
      },
    })
  }
  measure('lag_events', 'Events that the read model has not taken.', ({ lagEvents }) => lagEvents)
  measure(
    'lag_seconds',
    'Age of the newest event that it has taken, while there are newer ones.',
    (view) => view.lagSeconds,
  )
  measure('failed', '1 where it has stopped before an event that it cannot take.', ({ status }) =>
    status === 'failed' ? 1 : 0,
  )
}
