// Ports with a stopwatch: what the process asks of its log, its leases and its queue, for Prometheus.
import { Counter, Histogram, type Registry } from 'prom-client'
import type { ExecutionEventOf } from '../domain/execution/events.ts'
import type { Clock } from '../ports/clock.ts'
import type { EventStore } from '../ports/event-store.ts'
import type { Leases } from '../ports/leases.ts'
import type { ReportedWork, WorkerReport } from '../ports/stage-reports.ts'
import type { WorkQueue } from '../ports/work-queue.ts'

const SECONDS = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Measures appends, from the call to the answer, and counts what they say of attempts that failed. */
export function measureStore(store: EventStore, registry: Registry): void {
  const registers = [registry]
  const duration = new Histogram({
    ...{ name: 'millrace_append_duration_seconds', help: 'Time until an append to the log was durable.' },
    ...{ labelNames: ['outcome'], buckets: SECONDS, registers },
  })
  const events = new Counter({ name: 'millrace_events_appended_total', help: 'Events that were appended.', registers })
  const failures = new Counter({
    ...{ name: 'millrace_attempts_failed_total', help: 'Attempts that failed, by class and by what follows.' },
    ...{ labelNames: ['class', 'recovery'], registers },
  })
  const append = store.append.bind(store)
  // By name it would be looked up at each of thousands of appends a second.
  const ok = duration.labels('ok')
  store.append = (stream, expected, given) => {
    const begun = performance.now()
    const took = (): number => (performance.now() - begun) / 1_000
    const appended = append(stream, expected, given)
    appended.then(
      () => {
        ok.observe(took())
        events.inc(given.length)
        for (const { type, data } of given)
          if (type === 'StageFailed') {
            const failed = data as ExecutionEventOf<'StageFailed'>['data']
            failures.labels(failed.class, failed.recovery).inc()
          }
      },
      (error: Error) => duration.labels(error.name).observe(took()),
    )
    return appended
  }
}

/**
 * Measures the way of work through the queue. Ages count from what made it due (a request, a report, a timer) by the clocks of two
 * processes, and are never less than nothing.
 */
export function measureQueue(queue: WorkQueue, clock: Clock, registry: Registry): void {
  const registers = [registry]
  const duration = new Histogram({
    ...{
      name: 'millrace_publish_duration_seconds',
      help: 'Time until the queue held a piece of work that was published.',
    },
    ...{ buckets: SECONDS, registers },
  })
  const ages = new Histogram({
    ...{ name: 'millrace_work_age_seconds', help: 'Age of work when it was published and when a worker took it.' },
    ...{ labelNames: ['when'], buckets: SECONDS, registers },
  })
  const [published, taken] = [ages.labels('published'), ages.labels('taken')]
  const publish = queue.publish.bind(queue)
  queue.publish = async (work) => {
    const begun = performance.now()
    for (const { scheduledAt } of work) published.observe(ageOf(scheduledAt, clock))
    await publish(work)
    for (const _ of work) duration.observe((performance.now() - begun) / 1_000)
  }
  const consume = queue.consume.bind(queue)
  queue.consume = (queues, options, handle) =>
    consume(queues, options, (work) => {
      taken.observe(ageOf(work.scheduledAt, clock))
      return handle(work)
    })
}

/** Measures how long reports are on their way that workers of other processes have sent. */
export function measureReports(
  take: (work: ReportedWork, report: WorkerReport) => Promise<void>,
  clock: Clock,
  registry: Registry,
): typeof take {
  const ages = new Histogram({
    ...{ name: 'millrace_report_age_seconds', help: 'Age of the report of a worker when it came here.' },
    ...{ buckets: SECONDS, registers: [registry] },
  })
  return (work, report) => {
    ages.observe(ageOf(report.at, clock))
    return take(work, report)
  }
}

const ageOf = (at: string, clock: Clock): number => Math.max(0, (clock.now() - Date.parse(at)) / 1_000)

/** Counts what came of each lease that was to be renewed. */
export function measureLeases(leases: Leases, registry: Registry): void {
  const renewals = new Counter({
    ...{ name: 'millrace_lease_renewals_total', help: 'Leases that were to be renewed, by what came of it.' },
    ...{ labelNames: ['outcome'], registers: [registry] },
  })
  const renew = leases.renew.bind(leases)
  leases.renew = async (owner, keys, ttlMs) => {
    try {
      const answer = await renew(owner, keys, ttlMs)
      renewals.labels('renewed').inc(keys.length - answer.lost.length - answer.revoked.length)
      renewals.labels('lost').inc(answer.lost.length)
      renewals.labels('revoked').inc(answer.revoked.length)
      return answer
    } catch (error) {
      renewals.labels('unreachable').inc(keys.length)
      throw error
    }
  }
}
