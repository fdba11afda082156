import type { WorkerRegistration } from '../domain/worker/events.ts'
import type { Clock } from '../ports/clock.ts'
import { type Leases, workerLeaseKey } from '../ports/leases.ts'
import type { WorkerNews, WorkerRegistry } from '../ports/worker-registry.ts'

type Unsaid<T> = T extends unknown ? Omit<T, 'at'> : never

/** That a worker is there, as others can tell: by its lease from moment to moment, and in the log when that changes. */
export type Presence = {
  /** The lease that is renewed with its heartbeat. */
  readonly key: string
  /** Claims the lease and registers, and tries until it is registered or leaves. */
  begin(): Promise<void>
  /** It has been taken for lost: to be called when its lease turns out to be revoked or another's. */
  returned(): void
  /** Says that it takes no more work. */
  leave(graceMs: number): Promise<void>
  /** Says that it has ended, and gives up its lease. */
  end(interrupted: number): Promise<void>
}

const AGAIN_AFTER_MS = 2_000

export function createPresence(options: {
  readonly id: string
  readonly registration: WorkerRegistration
  readonly registry: WorkerRegistry
  readonly leases: Leases
  readonly clock: Clock
  readonly leaseMs: number
  readonly logger: { warn(fields: object, message: string): void }
}): Presence {
  const { id, registration, registry, leases, clock, leaseMs, logger } = options
  const key = workerLeaseKey(id)
  let isLeaving = false
  let beginning: Promise<void> | undefined

  const say = (news: Unsaid<WorkerNews>) =>
    registry.report(id, { ...news, at: new Date(clock.now()).toISOString() } as WorkerNews)

  async function register(): Promise<void> {
    while (!isLeaving) {
      try {
        // First the lease, or whoever watches would take it for lost. One that was revoked has to be let go before.
        await leases.release(key, id)
        await leases.claim(key, id, leaseMs)
        if ((await say({ type: 'RegisterWorker', registration })) === 'refused')
          logger.warn({ worker: id }, 'the log does not take the registration of the worker, which works all the same')
        return
      } catch (error) {
        logger.warn({ worker: id, err: error }, 'the worker cannot be registered now, works all the same, tries again')
        await new Promise<void>((resolve) => clock.after(AGAIN_AFTER_MS, resolve))
      }
    }
  }

  function begin(): Promise<void> {
    beginning ??= register().finally(() => {
      beginning = undefined
    })
    return beginning
  }

  /** Once only: who shuts down does not wait for a log that takes nothing, and without a word is taken for lost later. */
  async function sayLast(news: Unsaid<WorkerNews>) {
    try {
      return await say(news)
    } catch (error) {
      logger.warn({ worker: id, err: error }, `${news.type} could not be recorded`)
      return undefined
    }
  }

  return {
    key,
    begin,
    returned: () => void begin(),
    async leave(graceMs) {
      isLeaving = true
      await sayLast({ type: 'DrainWorker', graceMs })
    },
    async end(interrupted) {
      const answer = await sayLast({ type: 'StopWorker', interrupted })
      // Whoever watches would take it for lost before what was sent is in the log; the lease ends by itself.
      if (answer !== 'sent') await leases.release(key, id).catch(() => {})
    },
  }
}
