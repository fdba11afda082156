import type { RecordedEvent } from '../message.ts'
import { parseStream } from '../message.ts'
import type { ExecutionEvent, ExecutionEventOf } from './events.ts'

/** One attempt of one stage, as it travels to a worker. `id` is `stream:revision:index`, so a repeat collapses. */
export type Work = Omit<ExecutionEventOf<'StageScheduled'>['data'], 'waitsFor'> & {
  readonly id: string
  readonly namespace: string
  readonly executionId: string
  /** When it was scheduled, ISO 8601: also after a restart it is as old as it is. */
  readonly scheduledAt: string
  /** Id of the `StageScheduled`; reports name it as their cause. */
  readonly eventId: string
  readonly traceparent?: string
}

/** The handler whose work is another run. */
export const SUB_WORKFLOW = 'workflow'

/** Whether the attempt goes to a worker: it does not where the stage waits for somebody, or another run does the work. */
export const isForWorkers = ({ waitsFor, handler }: ExecutionEventOf<'StageScheduled'>['data']): boolean =>
  waitsFor === undefined && handler !== SUB_WORKFLOW

/** Of the work that the event at this place causes. */
export const workId = (stream: string, revision: number): string => `${stream}:${revision}:0`

/** The work that an event causes: an attempt for a worker, or none. */
export function workFor(event: RecordedEvent<ExecutionEvent>): readonly Work[] {
  if (event.type !== 'StageScheduled' || !isForWorkers(event.data)) return []
  const { waitsFor: _, ...data } = event.data
  const { traceparent, namespace } = event.metadata
  return [
    {
      ...data,
      id: workId(event.stream, event.revision),
      namespace,
      executionId: parseStream(event.stream).id,
      scheduledAt: event.at,
      eventId: event.id,
      ...(traceparent === undefined ? {} : { traceparent }),
    },
  ]
}
