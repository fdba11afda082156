import { z } from 'zod'
import type { ExecutionCommand } from '../domain/execution/commands.ts'
import { executionDecider } from '../domain/execution/decide.ts'
import { executionStream } from '../domain/execution/events.ts'
import { Rejected } from '../domain/rejected.ts'
import type { EventStore } from '../ports/event-store.ts'
import { type Caller, contextOf } from './caller.ts'
import type { Handle } from './handle.ts'

export const cancelExecutionBody = z.strictObject({ reason: z.string().min(1).max(1_024).optional() })
export type CancelExecutionBody = z.infer<typeof cancelExecutionBody>

export type Controlled = { readonly id: string; readonly revision: number; readonly position: number }

/** What a person may do to a run that is there, in the caller's namespace. */
export function createControlExecution({ handle, store }: { handle: Handle; store: EventStore }) {
  const control = async (
    caller: Caller,
    id: string,
    command: (at: string) => ExecutionCommand,
  ): Promise<Controlled> => {
    await requireExecution(store, caller.namespace, id)
    const context = contextOf(caller, id)
    const { revision, position } = await handle(executionDecider, executionStream(id), command(context.at), context)
    return { id, revision, position }
  }
  return {
    /** Asks a run to end; what runs of it gets its grace period. */
    cancel: (caller: Caller, id: string, { reason = 'no reason given' }: CancelExecutionBody) =>
      control(caller, id, (at) => ({ type: 'CancelExecution', reason, at })),
    /** Makes the next attempt of a stage that waits to be retried start at once. */
    retryStage: (caller: Caller, id: string, stage: string) =>
      control(caller, id, (at) => ({ type: 'RetryStage', by: 'person', stage, at })),
  }
}

/** @throws Rejected EXECUTION_UNKNOWN, also where the run is another namespace's: its existence is not told */
async function requireExecution(store: EventStore, namespace: string, id: string): Promise<void> {
  for await (const [first] of store.readStream(executionStream(id), { limit: 1 }))
    if (first?.metadata.namespace === namespace) return
  throw new Rejected('EXECUTION_UNKNOWN', `there is no execution ${id} in namespace ${namespace}`)
}
