import { projectionDecider } from '../domain/projection/decide.ts'
import { type EventInLog, projectionStream } from '../domain/projection/events.ts'
import type { Caller } from './caller.ts'
import type { Handle } from './handle.ts'
import { newId } from './new-id.ts'

type Skip = { readonly event: EventInLog; readonly error: string; readonly reason: string }

/** Records that a read model leaves out an event that it cannot take. Once it is recorded it stays so. */
export type SkipEvent = (caller: Caller, projection: string, skip: Skip) => Promise<{ readonly position: number }>

export const createSkipEvent =
  (handle: Handle): SkipEvent =>
  async ({ actor, nowMs, traceparent }, projection, skip) => {
    const { position } = await handle(
      projectionDecider,
      projectionStream(projection),
      { type: 'SkipEvent', ...skip },
      {
        // Read models are of every namespace, and so in none.
        namespace: 'system',
        correlationId: newId(),
        actor,
        at: new Date(nowMs).toISOString(),
        ...(traceparent === undefined ? {} : { traceparent }),
      },
    )
    return { position }
  }
