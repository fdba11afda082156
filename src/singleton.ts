import type { Clock } from './ports/clock.ts'
import { type Leases, roleLeaseKey } from './ports/leases.ts'
import type { Logger } from './ports/logger.ts'

/** How long a role stays with a process that is heard of no more. */
const ROLE_MS = 6_000
const BEAT_MS = ROLE_MS / 3

/** What a process does while it has the role; `ready` once it does all of it. */
export type Part = { readonly ready?: Promise<unknown>; stop(): Promise<void> }

/**
 * Runs a part of the program in one process at a time: in the one that holds the role's lease, while the others stand by. Two at once
 * do no harm, as whatever is run here has to promise, so nothing is stopped because the leases cannot be reached.
 */
export function runSingleton(options: {
  readonly role: string
  /** Of the process: unique over all processes and restarts. */
  readonly id: string
  readonly leases: Pick<Leases, 'claim' | 'release'>
  readonly clock: Pick<Clock, 'after'>
  readonly logger: Logger
  start(): Part
}) {
  const { role, id, leases, clock, logger, start } = options
  const key = roleLeaseKey(role)
  const ready = Promise.withResolvers<void>()
  let part: Part | undefined
  let cancelBeat: () => void = () => {}
  let stopping = false
  let beating = beat()

  async function beat(): Promise<void> {
    try {
      if (await leases.claim(key, id, ROLE_MS)) takeOn()
      else await standBy()
    } catch (err) {
      logger.warn({ role, err }, `who is ${role} cannot be agreed on now; everybody goes on as before`)
    }
    if (!stopping) cancelBeat = clock.after(BEAT_MS, () => (beating = beat()))
  }

  function takeOn(): void {
    if (part !== undefined || stopping) return
    logger.info({ role }, `${role}: taken on by this process`)
    part = start()
    Promise.resolve(part.ready).then(() => ready.resolve(), ready.reject)
  }

  async function standBy(): Promise<void> {
    ready.resolve()
    if (part === undefined) return
    logger.warn({ role }, `${role}: another process has taken it on`)
    const before = part
    part = undefined
    await before.stop()
  }

  return {
    /** Resolves when the part is ready, or another process has it. */
    ready: ready.promise,
    get isHere(): boolean {
      return part !== undefined
    },
    /** Stops the part, and lets another process take it on at once. */
    async stop(): Promise<void> {
      stopping = true
      cancelBeat()
      await beating
      await part?.stop()
      part = undefined
      await leases.release(key, id).catch((err) => logger.warn({ role, err }, 'a role cannot be given back now'))
    },
  }
}
