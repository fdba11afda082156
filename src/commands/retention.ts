import { removalDecider, retentionDecider } from '../domain/retention/decide.ts'
import { type RemovalEvent, removalStream, retentionStream } from '../domain/retention/events.ts'
import { type RetentionPolicy, retentionPolicy } from '../domain/retention/policy.ts'
import { type Caller, contextOf } from './caller.ts'
import type { Handle } from './handle.ts'
import { newId } from './new-id.ts'

export const retentionPolicyBody = retentionPolicy

export type RetentionCommands = ReturnType<typeof createRetentionCommands>

export function createRetentionCommands(handle: Handle) {
  return {
    policyOf: async (namespace: string): Promise<RetentionPolicy> =>
      (await handle.load(retentionDecider, retentionStream(namespace))).state,
    /** What it takes away goes with the next clean-up, not at once. */
    setPolicy: async (caller: Caller, policy: RetentionPolicy): Promise<{ readonly position: number }> => {
      const command = { type: 'SetRetentionPolicy', policy } as const
      const stream = retentionStream(caller.namespace)
      const { position } = await handle(retentionDecider, stream, command, contextOf(caller, newId()))
      return { position }
    },
    /** Puts on record what goes; read models lose it then. */
    record: async (caller: Caller, event: RemovalEvent): Promise<{ readonly position: number }> => {
      const command = { type: 'RecordRemoval', event } as const
      const stream = removalStream(caller.namespace, event.type)
      const { position } = await handle(removalDecider, stream, command, contextOf(caller, newId()))
      return { position }
    },
  }
}
