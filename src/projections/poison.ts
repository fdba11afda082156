import type { RecordedEvent } from '../domain/message.ts'

/** The projection cannot take an event of the batch, however often it is tried. */
export class Poisoned extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.name = 'Poisoned'
  }
}

export type Poison = { readonly event: RecordedEvent; readonly error: Poisoned }

/**
 * Has `take` take the events, whose last is at `position` or before it. Halves a batch that cannot be taken until the one event
 * is found, and answers with it; everything before it is kept.
 */
export async function takeOrFind(
  events: readonly RecordedEvent[],
  position: number,
  take: (events: readonly RecordedEvent[], position: number) => Promise<void>,
): Promise<Poison | undefined> {
  try {
    await take(events, position)
    return undefined
  } catch (error) {
    const [event] = events
    if (!(error instanceof Poisoned) || event === undefined) throw error
    if (events.length === 1) return { event, error }
    const middle = events.length >> 1
    const found = await takeOrFind(events.slice(0, middle), events[middle - 1]!.position, take)
    return found ?? (await takeOrFind(events.slice(middle), position, take))
  }
}

/** In words, for whoever has to decide what becomes of it. */
export const describePoison = ({ event, error }: Poison): string =>
  `event ${event.id} (${event.type} version ${event.version}, position ${event.position}, ${event.stream}): ${error.message}`
