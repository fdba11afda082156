import type { LoseWorker } from '../commands/worker-life.ts'
import { type Json, parseStream, type RecordedEvent } from '../domain/message.ts'
import type { WorkerEvent } from '../domain/worker/events.ts'
import type { Clock } from '../ports/clock.ts'
import { type Leases, workerLeaseKey } from '../ports/leases.ts'
import type { Logger } from '../ports/logger.ts'
import type { Reactor } from './reactor.ts'

/**
 * Follows the lives of workers, and looks for those whose lease nobody holds any more: they are recorded as lost. Its fold
 * is the workers that are there, each with the event that says so.
 */
export function createWorkerWatch(options: {
  lose: LoseWorker
  leases: Leases
  clock: Clock
  logger: Logger
  checkMs: number
}): Reactor & { stop(): void } {
  const { lose, leases, clock, logger, checkMs } = options
  let there = new Map<string, string>()
  let stopped = false
  let cancelCheck: (() => void) | undefined

  function apply({ type, stream, id: eventId }: RecordedEvent<WorkerEvent>): void {
    const { id } = parseStream(stream)
    if (type === 'WorkerStopped' || type === 'WorkerLost') there.delete(id)
    else there.set(id, eventId)
  }

  async function check(): Promise<void> {
    try {
      const workers = new Map([...there].map((worker) => [workerLeaseKey(worker[0]), worker]))
      for (const key of workers.size === 0 ? [] : await leases.unheld([...workers.keys()])) {
        const [workerId, causationId] = workers.get(key)!
        const at = new Date(clock.now()).toISOString()
        await lose({ workerId, causationId, reason: 'it holds its lease no more', at })
        // One that has come back meanwhile is told, and registers again; without a holder this does nothing.
        await leases.revoke(key)
      }
    } catch (error) {
      logger.warn({ err: error }, 'workers cannot be watched now; none is taken for lost until they can')
    }
    if (!stopped) cancelCheck = clock.after(checkMs, () => void check())
  }

  return {
    name: 'worker-watch',
    version: 1,
    prefixes: ['worker-'],
    apply: (event) => apply(event as RecordedEvent<WorkerEvent>),
    async act(caughtUp) {
      if (caughtUp && cancelCheck === undefined) await check()
    },
    dump: () => [...there] as Json,
    restore(state) {
      there = new Map(state as unknown as [string, string][])
    },
    stop() {
      stopped = true
      cancelCheck?.()
    },
  }
}
