// Ports that leave spans: of appends, of work that is published, and of attempts.
import type { Work } from '../../domain/execution/work.ts'
import type { EventStore } from '../../ports/event-store.ts'
import type { Tracing } from '../../ports/tracing.ts'
import type { WorkQueue } from '../../ports/work-queue.ts'

/** Only what belongs to a trace: most of what the program does by itself has nobody who asked for it. */
export function traceStore(store: EventStore, tracing: Tracing): void {
  const append = store.append.bind(store)
  store.append = (stream, expected, events) => {
    const parent = events[0]?.metadata.traceparent
    if (parent === undefined) return append(stream, expected, events)
    const attributes = { 'millrace.stream': stream, 'millrace.events': events.map(({ type }) => type).join(' ') }
    return tracing.span({ name: 'append', kind: 'client', parent, attributes }, () => append(stream, expected, events))
  }
}

export function traceQueue(queue: WorkQueue, tracing: Tracing): void {
  const publish = queue.publish.bind(queue)
  queue.publish = (work) => {
    const published = publish(work)
    for (const one of work)
      if (one.traceparent !== undefined)
        void tracing.span(spanOf('publish', 'producer', one), () => published).catch(() => {})
    return published
  }
  const consume = queue.consume.bind(queue)
  queue.consume = (queues, options, handle) =>
    consume(queues, options, (work) => {
      if (work.traceparent === undefined) return handle(work)
      return tracing.span(spanOf(`${work.handler} ${work.stage}`, 'consumer', work), () => handle(work))
    })
}

const spanOf = (name: string, kind: 'producer' | 'consumer', work: Work) => ({
  ...{ name, kind, parent: work.traceparent },
  attributes: {
    'millrace.namespace': work.namespace,
    'millrace.execution': work.executionId,
    'millrace.stage': work.stage,
    'millrace.attempt': work.attempt,
    'millrace.queue': work.queue,
    'millrace.scheduled_at': work.scheduledAt,
  },
})
