// How a worker takes a message about an attempt: queues may bring one twice or late, and another worker may have the lease.
import type { Work } from '../domain/execution/work.ts'
import type { Clock } from '../ports/clock.ts'
import { type Leases, leaseKey } from '../ports/leases.ts'
import { loggedOf } from '../ports/logger.ts'

/**
 * `sent`: the outcome is on its way to the log. The lease was `lost` after the log had taken the start; or before, so that for
 * everybody else the attempt is `unbegun`.
 */
export type End = 'over' | 'sent' | 'lost' | 'unbegun'

/** `sinceMs` is when the last message about it came, on the monotonic clock. */
type Taken = { sinceMs: number; readonly done: Promise<void> }

/** @param options.attempt makes an attempt whose lease the worker holds, and gives the lease back */
export function createTaking(options: {
  readonly id: string
  readonly leases: Leases
  readonly clock: Clock
  readonly leaseMs: number
  readonly heartbeatMs: number
  readonly logger: { warn(fields: object, message: string): void }
  isDraining(): boolean
  /** Whether the outcome is on its way: the lease is kept for that, and would let the worker make the attempt again. */
  isSent(key: string): boolean
  attempt(key: string, work: Work): Promise<End>
}): (work: Work) => Promise<void> {
  const { id, leases, clock, leaseMs, heartbeatMs, logger, isDraining, isSent, attempt } = options
  /** To be run, or waiting for the lease. */
  const taken = new Map<string, Taken>()
  /** What this worker had begun when it lost the lease. */
  const lost = new Set<string>()

  async function work(key: string, one: Work, mine: Taken): Promise<void> {
    // The log would take its start for a repeat and let this worker do it again; that it is lost shows by its lease.
    if (lost.has(key) || isSent(key)) return
    let end: End = 'unbegun'
    while (end === 'unbegun' && (await claim(key, one, mine))) end = await attempt(key, one)
    if (end === 'lost') lost.add(key)
  }

  /**
   * Waits as long as the leases cannot be reached, and as long as the holder may be one whose death has brought the message
   * here: who still has it after that lived then and has a message of its own, and the answer is false.
   * @throws where the worker is drained meanwhile
   */
  async function claim(key: string, one: Work, mine: Taken): Promise<boolean> {
    for (let isWarned = false; !isDraining(); ) {
      const isLate = clock.monotonicMs() > mine.sinceMs + leaseMs
      try {
        if (await leases.claim(key, id, leaseMs)) return true
        if (isLate) return false
      } catch (err) {
        if (!isWarned)
          logger.warn({ worker: id, ...loggedOf(one), err }, 'a lease cannot be claimed now, will be tried again')
        isWarned = true
      }
      await new Promise<void>((resolve) => clock.after(heartbeatMs, resolve))
    }
    throw new Error(`worker ${id} was shut down while it waited for the lease of ${key}`)
  }

  return (one) => {
    const key = leaseKey(one.executionId, one.stage, one.attempt)
    const nowMs = clock.monotonicMs()
    // A message that comes twice is done when the first one is: were it done before, nobody would have it if this worker died.
    const known = taken.get(key)
    if (known !== undefined) {
      known.sinceMs = nowMs
      return known.done
    }
    const done = Promise.withResolvers<void>()
    const mine: Taken = { sinceMs: nowMs, done: done.promise }
    taken.set(key, mine)
    work(key, one, mine)
      .finally(() => taken.delete(key))
      .then(done.resolve, done.reject)
    return done.promise
  }
}
