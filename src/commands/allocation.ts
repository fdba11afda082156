import type { ExecutionCommand } from '../domain/execution/commands.ts'
import { executionDecider } from '../domain/execution/decide.ts'
import { executionStream } from '../domain/execution/events.ts'
import type { PoolCommand } from '../domain/pool/commands.ts'
import { poolDecider } from '../domain/pool/decide.ts'
import { Rejected } from '../domain/rejected.ts'
import type { Clock } from '../ports/clock.ts'
import type { Context, Handle } from './handle.ts'

/** What a command is about, and the event that made it necessary; a person may have. */
type Cause = { readonly namespace: string; readonly executionId: string; readonly causationId?: string }

type Without<T> = T extends unknown ? Omit<T, 'at'> : never

/** Carries out what the allocator decides. Each may be done again: what has been done already adds no event. */
export function createAllocation({ handle, clock }: { handle: Handle; clock: Clock }) {
  const contextOf = ({ namespace, executionId, causationId }: Cause): Context => ({
    namespace,
    correlationId: executionId,
    ...(causationId === undefined ? {} : { causationId }),
    actor: 'system:allocator',
    at: new Date(clock.now()).toISOString(),
  })
  return {
    /** Answers why the pool, or the group, refused; undefined where it did not. */
    tellPool: (stream: string, command: PoolCommand, cause: Cause): Promise<Rejected | undefined> =>
      refusalOf(handle(poolDecider, stream, command, contextOf(cause))),

    tellExecution(command: Without<ExecutionCommand>, cause: Cause): Promise<Rejected | undefined> {
      const context = contextOf(cause)
      const timed = { ...command, at: context.at } as ExecutionCommand
      return refusalOf(handle(executionDecider, executionStream(cause.executionId), timed, context))
    },
  }
}

export type Allocation = ReturnType<typeof createAllocation>

async function refusalOf(answer: Promise<unknown>): Promise<Rejected | undefined> {
  try {
    await answer
    return undefined
  } catch (error) {
    if (error instanceof Rejected) return error
    throw error
  }
}
