import { projectionDecider } from '../domain/projection/decide.ts'
import { type EventInLog, projectionStream } from '../domain/projection/events.ts'
import { SYSTEM } from './audit-records.ts'
import { type Caller, contextOf } from './caller.ts'
import type { Handle } from './handle.ts'
import { newId } from './new-id.ts'

type Skip = { readonly event: EventInLog; readonly error: string; readonly reason: string }

/** Records that a read model leaves out an event that it cannot take. Once it is recorded it stays so. */
export type SkipEvent = (caller: Caller, projection: string, skip: Skip) => Promise<{ readonly position: number }>

export const createSkipEvent =
  (handle: Handle): SkipEvent =>
  async (caller, projection, skip) => {
    // Read models are of every namespace, and so in none.
    const context = contextOf({ ...caller, namespace: SYSTEM }, newId())
    const command = { type: 'SkipEvent', ...skip } as const
    const { position } = await handle(projectionDecider, projectionStream(projection), command, context)
    return { position }
  }
