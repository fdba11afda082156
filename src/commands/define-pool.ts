import type { z } from 'zod'
import { poolDecider } from '../domain/pool/decide.ts'
import { poolStream } from '../domain/pool/events.ts'
import { amountsOf } from '../domain/workflow/resources.ts'
import { capacity } from '../domain/workflow/schema-parts.ts'
import { type Caller, contextOf } from './caller.ts'
import type { Handle } from './handle.ts'
import { newId } from './new-id.ts'

export const definePoolBody = capacity
export type DefinePoolBody = z.output<typeof definePoolBody>

type Defined = { readonly name: string; readonly isNew: boolean; readonly position: number }

/** Defines a pool, or gives it another capacity: what is held stays held, and who asks for more than that waits no longer. */
export function createDefinePool(handle: Handle) {
  return async (caller: Caller, name: string, body: DefinePoolBody): Promise<Defined> => {
    const command = { type: 'DefinePool', name, capacity: amountsOf(body) } as const
    const stream = poolStream(caller.namespace, name)
    const { position, events } = await handle(poolDecider, stream, command, contextOf(caller, newId()))
    return { name, isNew: events.some(({ type }) => type === 'PoolDefined'), position }
  }
}
