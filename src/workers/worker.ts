import type { Work } from '../domain/execution/work.ts'
import type { WorkerRegistration } from '../domain/worker/events.ts'
import { type Leases, leaseKey } from '../ports/leases.ts'
import { loggedOf } from '../ports/logger.ts'
import type { Consumer, WorkQueue } from '../ports/work-queue.ts'
import type { WorkerRegistry } from '../ports/worker-registry.ts'
import { type AttemptOptions, attempt, stop } from './attempt.ts'
import { createPresence } from './presence.ts'
import { createTaking, type End } from './taking.ts'

export type WorkerOptions = Omit<AttemptOptions, 'confirmation'> & {
  /** Unique over all processes and restarts: it is the owner of leases and stands in `StageStarted`. */
  readonly id: string
  readonly queue: WorkQueue
  readonly leases: Leases
  readonly registry: WorkerRegistry
  readonly queues: readonly string[]
  readonly labels: readonly string[]
  readonly concurrency: number
  readonly perQueue?: Readonly<Record<string, number>>
  readonly leaseMs: number
  readonly heartbeatMs: number
  /** Where it runs, and which program it is. */
  readonly about: Pick<WorkerRegistration, 'host' | 'pid' | 'version'>
}

export interface StageWorker {
  /** Takes no new work, gives what runs `graceMs` to finish, then hands it over to another attempt. */
  drain(graceMs: number): Promise<void>
  /** Resolves once the log says that it is there; it takes work before that. */
  readonly registered: Promise<void>
  /** How many attempts run now. */
  readonly running: number
}

/** A process that takes work from queues and runs its handlers, one lease an attempt. */
export function startWorker(options: WorkerOptions): StageWorker {
  const { id, queue, leases, clock, leaseMs, heartbeatMs, logger } = options
  const held = new Map<string, AbortController>()
  const unanswered = createUnanswered(options)
  const confirmation = confirmationOf(options)
  const presence = createPresence({ ...options, registration: registrationOf(options) })
  let cancelBeat: () => void = () => {}
  let draining = false
  let isWarned = false

  async function beat(): Promise<void> {
    try {
      const { revoked, lost } = await leases.renew(id, [presence.key, ...held.keys(), ...unanswered.keys()], leaseMs)
      for (const key of revoked) stop(held.get(key), 'cancelled')
      for (const key of lost) stop(held.get(key), 'lease-lost')
      unanswered.answered([...revoked, ...lost])
      if ([...revoked, ...lost].includes(presence.key)) presence.returned()
      isWarned = false
    } catch (error) {
      // Once for each time that they are away, which may be long.
      if (!isWarned) logger.warn({ worker: id, err: error }, 'leases cannot be renewed now; they wait with their store')
      isWarned = true
    }
    if (!draining || held.size > 0 || unanswered.size > 0) cancelBeat = clock.after(heartbeatMs, () => void beat())
  }

  async function attemptWith(key: string, work: Work): Promise<End> {
    const controller = new AbortController()
    held.set(key, controller)
    let end: End = 'over'
    try {
      end = await attempt({ ...options, confirmation }, work, controller)
      return end
    } finally {
      held.delete(key)
      if (end === 'sent') unanswered.add(key)
      // One that cannot be released ends by itself.
      else
        await leases
          .release(key, id)
          .catch((err) => logger.warn({ worker: id, ...loggedOf(work), err }, 'a lease cannot be released now'))
    }
  }

  const take = createTaking({
    ...options,
    isDraining: () => draining,
    isSent: (key) => unanswered.has(key),
    attempt: attemptWith,
  })
  const consumer: Consumer = queue.consume(
    options.queues,
    {
      concurrency: options.concurrency,
      labels: options.labels,
      ...(options.perQueue ? { perQueue: options.perQueue } : {}),
    },
    take,
  )
  const registered = presence.begin()
  cancelBeat = clock.after(heartbeatMs, () => void beat())

  return {
    async drain(graceMs) {
      draining = true
      let interrupted = 0
      const closed = consumer.close()
      const said = presence.leave(graceMs)
      const cancel = clock.after(graceMs, () => {
        interrupted = held.size
        for (const controller of held.values()) stop(controller, 'shutdown')
      })
      await Promise.all([closed, said])
      await unanswered.settled(graceMs)
      cancel()
      cancelBeat()
      await presence.end(interrupted)
    },
    registered,
    get running() {
      return held.size
    },
  }
}

function registrationOf(options: WorkerOptions): WorkerRegistration {
  const { about, queues, perQueue = {}, labels, concurrency, handlers } = options
  return {
    ...about,
    queues: queues.map((name) => ({ name, ...(perQueue[name] === undefined ? {} : { limit: perQueue[name] }) })),
    labels: [...labels].sort(),
    concurrency,
    handlers: [...handlers.values()].map(({ name, version }) => ({
      name,
      ...(version === undefined ? {} : { version }),
    })),
  }
}

const FIRST_LOOK_MS = 10
/** A start that nobody has confirmed after this is sent again. */
const CONFIRMED_WITHIN_MS = 5_000

/** What the lease of an attempt says of a start that was sent; undefined where it says nothing in time. */
const confirmationOf =
  ({ id, leases, clock, leaseMs, heartbeatMs }: WorkerOptions): AttemptOptions['confirmation'] =>
  async ({ executionId, stage, attempt }) => {
    const key = leaseKey(executionId, stage, attempt)
    const untilMs = clock.monotonicMs() + CONFIRMED_WITHIN_MS
    for (let waitMs = FIRST_LOOK_MS; ; waitMs = Math.min(2 * waitMs, heartbeatMs)) {
      await new Promise<void>((resolve) => clock.after(waitMs, resolve))
      const { confirmed, revoked, lost } = await leases.renew(id, [key], leaseMs)
      if (confirmed.length > 0) return 'accepted'
      if (revoked.length > 0) return 'refused'
      if (lost.length > 0) return 'lost'
      if (clock.monotonicMs() >= untilMs) return undefined
    }
  }

/** How many times as long as a lease runs an outcome may be on its way. */
const MOST_LEASES = 20

/**
 * Leases of attempts whose outcome was sent and not taken yet: they are kept, or the attempt would be taken for lost. Whoever takes
 * the outcome releases them.
 */
function createUnanswered({ id, leases, clock, leaseMs }: WorkerOptions) {
  const since = new Map<string, number>()
  let heard: (() => void) | undefined

  return {
    get size(): number {
      return since.size
    },
    has: (key: string): boolean => since.has(key),
    keys: (): Iterable<string> => since.keys(),
    add(key: string): void {
      since.set(key, clock.monotonicMs())
    },
    /** Forgets those that somebody else has released by now, and those that nobody ever will. */
    answered(ended: readonly string[]): void {
      for (const key of ended) since.delete(key)
      const oldestMs = clock.monotonicMs() - MOST_LEASES * leaseMs
      for (const [key, sinceMs] of since) {
        if (sinceMs > oldestMs) break
        since.delete(key)
        void leases.release(key, id).catch(() => {})
      }
      if (since.size === 0) heard?.()
    },
    /** Resolves once there is none, or after a while. */
    async settled(withinMs: number): Promise<void> {
      if (since.size === 0) return
      await new Promise<void>((resolve) => {
        const cancel = clock.after(withinMs, resolve)
        heard = () => {
          cancel()
          resolve()
        }
      })
    },
  }
}
