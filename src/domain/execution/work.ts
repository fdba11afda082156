import type { RecordedEvent } from '../message.ts'
import { parseStream } from '../message.ts'
import type { ExecutionEvent, ExecutionEventOf } from './events.ts'

/** One attempt of one stage, as it travels to a worker. `id` is `stream:revision:index`, so a repeat collapses. */
export type Work = Omit<ExecutionEventOf<'StageScheduled'>['data'], 'wakeAt'> & {
  readonly id: string
  readonly namespace: string
  readonly executionId: string
  /** Id of the `StageScheduled`; reports name it as their cause. */
  readonly eventId: string
  readonly traceparent?: string
}

/** The work that an event causes: an attempt for a worker, or none. */
export function workFor(event: RecordedEvent<ExecutionEvent>): readonly Work[] {
  if (event.type !== 'StageScheduled' || event.data.wakeAt !== undefined) return []
  const { wakeAt: _, ...data } = event.data
  const { traceparent, namespace } = event.metadata
  return [
    {
      ...data,
      id: `${event.stream}:${event.revision}:0`,
      namespace,
      executionId: parseStream(event.stream).id,
      eventId: event.id,
      ...(traceparent === undefined ? {} : { traceparent }),
    },
  ]
}
