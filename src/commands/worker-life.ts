import { Rejected } from '../domain/rejected.ts'
import { workerDecider } from '../domain/worker/decide.ts'
import { workerStream } from '../domain/worker/events.ts'
import type { WorkerRegistry } from '../ports/worker-registry.ts'
import type { Context, Handle } from './handle.ts'

/** Workers serve every namespace, and so are in none of them. */
const contextOf = (workerId: string, actor: string, at: string): Context => ({
  namespace: 'system',
  correlationId: workerId,
  actor,
  at,
})

/** Takes what workers say of themselves. */
export function createWorkerRegistry(handle: Handle): WorkerRegistry {
  return {
    async report(workerId, { at, ...command }) {
      try {
        await handle(workerDecider, workerStream(workerId), command, contextOf(workerId, `worker:${workerId}`, at))
        return 'accepted'
      } catch (error) {
        if (error instanceof Rejected) return 'refused'
        throw error
      }
    },
  }
}

/** Records that a worker is gone without a word; `causationId` is the event by which it was known to be there. */
export type LoseWorker = (lost: {
  readonly workerId: string
  readonly causationId: string
  readonly reason: string
  readonly at: string
}) => Promise<void>

export function createLoseWorker(handle: Handle): LoseWorker {
  return async ({ workerId, causationId, reason, at }) => {
    const context = { ...contextOf(workerId, 'system:worker-watch', at), causationId }
    try {
      await handle(workerDecider, workerStream(workerId), { type: 'LoseWorker', reason }, context)
    } catch (error) {
      // It has stopped in the meantime: the log knows better.
      if (!(error instanceof Rejected)) throw error
    }
  }
}
