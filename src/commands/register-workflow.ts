import { z } from 'zod'
import type { Json } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import { workflowDecider } from '../domain/workflow/decide.ts'
import { workflowStream } from '../domain/workflow/events.ts'
import { newestVersion } from '../domain/workflow/state.ts'
import { type Caller, contextOf } from './caller.ts'
import { compileDocument } from './compile-document.ts'
import { fingerprint } from './fingerprint.ts'
import type { Handle } from './handle.ts'
import { newId } from './new-id.ts'
import { poolFaults } from './pool-faults.ts'

export const retireWorkflowBody = z.strictObject({ reason: z.string().min(1).max(1_024).optional() })
export type RetireWorkflowBody = z.infer<typeof retireWorkflowBody>

/** `changed` is false when the document is the newest version already. */
export type Registered = {
  readonly name: string
  readonly version: number
  readonly changed: boolean
  readonly position: number
}

/** Registers, revises and retires workflows. */
export function createWorkflowCommands(handle: Handle) {
  return {
    /** @param expectedVersion the newest version that the caller knows; 0 for none yet */
    async register(caller: Caller, name: string, source: Json, expectedVersion?: number): Promise<Registered> {
      const compiled = compileDocument(source)
      if (!compiled.ok) throw new Rejected('DEFINITION_INVALID', 'the workflow definition has faults', compiled.faults)
      if (compiled.definition.name !== name) {
        const fault = { pointer: '/name', message: `the path says ${name}, the document ${compiled.definition.name}` }
        throw new Rejected('DEFINITION_INVALID', 'the workflow is named otherwise than its path', [fault])
      }
      const unmet = await poolFaults(handle, caller.namespace, compiled.definition)
      if (unmet.length > 0) throw new Rejected('DEFINITION_INVALID', 'the workflow asks for what no pool has', unmet)
      const stream = workflowStream(caller.namespace, name)
      const context = contextOf(caller, newId())
      const { position, events } = await handle(
        workflowDecider,
        stream,
        {
          type: 'RegisterWorkflow',
          data: {
            namespace: caller.namespace,
            name,
            source,
            definition: compiled.definition,
            ...(compiled.inputSchema ? { inputSchema: compiled.inputSchema } : {}),
            ...(compiled.schedules ? { schedules: compiled.schedules } : {}),
            fingerprint: fingerprint(source),
            ...(expectedVersion === undefined ? {} : { expectedVersion }),
          },
        },
        context,
      )
      const [event] = events
      if (event && event.type !== 'WorkflowRetired')
        return { name, version: event.data.version, changed: true, position }
      const { state } = await handle.load(workflowDecider, stream)
      return { name, version: newestVersion(state)?.version ?? 0, changed: false, position }
    },

    async retire(caller: Caller, name: string, { reason = 'no reason given' }: RetireWorkflowBody) {
      const stream = workflowStream(caller.namespace, name)
      const command = { type: 'RetireWorkflow', data: { name, reason } } as const
      const { position } = await handle(workflowDecider, stream, command, contextOf(caller, newId()))
      return { name, position }
    },
  }
}
