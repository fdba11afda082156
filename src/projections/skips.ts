// Events that a read model leaves out because somebody decided so. The log says which, so that a rebuild leaves out the same.
import type { RecordedEvent } from '../domain/message.ts'
import { PROJECTION_STREAMS, type ProjectionEvent, projectionStream } from '../domain/projection/events.ts'
import type { EventStore } from '../ports/event-store.ts'

/** Positions that the projection leaves out. */
export async function readSkips(store: Pick<EventStore, 'readStream'>, name: string): Promise<ReadonlySet<number>> {
  const skipped = new Set<number>()
  for await (const events of store.readStream(projectionStream(name)))
    for (const { data } of events as readonly RecordedEvent<ProjectionEvent>[]) skipped.add(data.event.position)
  return skipped
}

export const leavingOut = (events: readonly RecordedEvent[], skipped: ReadonlySet<number>): readonly RecordedEvent[] =>
  skipped.size === 0 ? events : events.filter(({ position }) => !skipped.has(position))

/** Whether somebody has decided about a read model in this batch. */
export const hasDecisions = (events: readonly RecordedEvent[]): boolean =>
  events.some(({ stream }) => stream.startsWith(PROJECTION_STREAMS))
