import type { SubWorkflows } from '../commands/sub-workflows.ts'
import type { ExecutionEvent } from '../domain/execution/events.ts'
import type { Json, RecordedEvent } from '../domain/message.ts'
import type { Reactor } from './reactor.ts'
import { type Call, type Dump, SubWorkflowCalls } from './sub-workflow-calls.ts'

export type SubWorkflowReactor = Reactor & {
  /** The attempt that it takes to be under way of a stage. */
  openAttempt(executionId: string, stage: string): number | undefined
  /** Takes up attempts that it has lost sight of, as the events of their run tell of them. */
  takeUp(events: readonly RecordedEvent<ExecutionEvent>[]): Promise<void>
}

/**
 * Log → the runs that do the work of stages, and back: it starts them, tells the parent how they ended, and cancels those that
 * are no longer wanted. A run's id follows from its attempt, so that whatever is done twice has happened once.
 */
export function createSubWorkflowReactor(commands: SubWorkflows): SubWorkflowReactor {
  const calls = new SubWorkflowCalls()

  async function act(caughtUp: boolean): Promise<void> {
    if (!caughtUp) return
    const todo = [...calls.due]
    calls.due.clear()
    const done = await Promise.allSettled(todo.map(carryOut))
    const failed = done.flatMap((result, at) => (result.status === 'rejected' ? [{ what: todo[at]!, result }] : []))
    for (const { what } of failed) calls.due.add(what)
    if (failed[0]) throw failed[0].result.reason
  }

  async function carryOut(what: Call | string): Promise<void> {
    if (typeof what !== 'string') return advance(what)
    const { called, causationId } = calls.unwanted(what)!
    await commands.cancel(called, causationId)
  }

  async function advance(call: Call): Promise<void> {
    const { revision, abandons, started, stoppedBy, endedAt } = call
    // What is asked to stop before it started ends without it.
    if (!started && stoppedBy === undefined) await commands.start(call, revision)
    if (endedAt !== undefined) await commands.finish(call, endedAt)
    else if (stoppedBy !== undefined && abandons) await commands.abandon(call, stoppedBy)
    else if (stoppedBy !== undefined) await commands.cancel(call, stoppedBy)
  }

  return {
    name: 'sub-workflows',
    version: 1,
    prefixes: ['execution-'],
    apply: (event) => calls.apply(event as RecordedEvent<ExecutionEvent>),
    act,
    openAttempt: (executionId, stage) => calls.openAttempt(executionId, stage),
    async takeUp(events) {
      for (const event of events) calls.apply(event)
      await act(true)
    },
    dump: () => calls.dump() as unknown as Json,
    restore: (state) => calls.restore(state as unknown as Dump),
  }
}
