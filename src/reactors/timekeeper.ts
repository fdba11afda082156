import type { ExecutionCommand } from '../domain/execution/commands.ts'
import type { ExecutionEvent } from '../domain/execution/events.ts'
import { type Timer, timerChanges } from '../domain/execution/timers.ts'
import type { Json, RecordedEvent } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import type { Clock } from '../ports/clock.ts'
import { type Leases, leaseKey } from '../ports/leases.ts'
import type { Logger } from '../ports/logger.ts'
import { DueTimers } from './due-timers.ts'
import type { Reactor } from './reactor.ts'

/** Issues a command about one run, in the name of the timekeeper; answers what it led to. */
export type Issue = (
  about: { readonly executionId: string; readonly namespace: string; readonly causationId: string },
  command: ExecutionCommand,
) => Promise<{ readonly events: readonly unknown[] }>

/** What was held up is tried again after this. */
const HELD_UP_AFTER_MS = 60_000

export type Timekeeper = Reactor & {
  /** The timer that is set under a key. */
  timer(key: string): Timer | undefined
  /** Sets a timer that it has lost sight of. */
  takeUp(timer: Timer): void
  stop(): void
}

/**
 * Follows the log, keeps the pending timers, and issues the command of each when it is due. It also looks for attempts
 * whose lease nobody holds any more, and has them taken for lost.
 */
export function createTimekeeper(options: {
  issue: Issue
  leases: Leases
  clock: Clock
  logger: Logger
  leaseCheckMs: number
}): Timekeeper {
  const { issue, leases, clock, logger, leaseCheckMs } = options
  const timers = new DueTimers<Timer>(clock, fire)
  /** Those of attempts that a worker holds a lease on: few among many timers, and looked at often. */
  const leased = new Map<string, LeasedTimer>()
  let stopped = false
  let cancelCheck: (() => void) | undefined

  function apply(event: RecordedEvent<ExecutionEvent>): void {
    for (const change of timerChanges(event)) {
      if ('set' in change) set(change.set)
      else clear(change.clear)
    }
  }

  function set(timer: Timer): void {
    timers.set(timer)
    if (isLeased(timer)) leased.set(timer.key, timer)
    else leased.delete(timer.key)
  }

  function clear(key: string): void {
    timers.delete(key)
    leased.delete(key)
  }

  async function fire(timer: Timer): Promise<void> {
    let held = false
    try {
      const { events } = await issue(timer, commandOf(timer, new Date(clock.now()).toISOString()))
      held = events.length === 0
    } catch (error) {
      if (!(error instanceof Rejected)) {
        logger.warn(
          { execution: timer.executionId, ...timer.does, err: error },
          'a due timer could not be carried out, will be tried again',
        )
        return
      }
    }
    // An event may have set another one in its place by now.
    if (timers.get(timer.key)?.causationId !== timer.causationId) return
    // What has changed nothing is held up, by a pause or a full matrix. Whoever frees it may find that it is not due yet, for
    // clocks differ and may be set back, so it is looked at again until an event clears it.
    if (held) set({ ...timer, dueMs: clock.now() + HELD_UP_AFTER_MS })
    else clear(timer.key)
  }

  async function checkLeases(): Promise<void> {
    try {
      const running = new Map([...leased.values()].map((timer) => [leaseOf(timer), timer]))
      for (const key of running.size === 0 ? [] : await leases.unheld([...running.keys()])) {
        const timer = running.get(key)!
        const { stage, attempt, worker } = timer.does
        const error = { code: 'WORKER_LOST', message: `${worker} holds the attempt's lease no more` }
        const at = new Date(clock.now()).toISOString()
        await issue(timer, { type: 'LoseStage', stage, attempt, worker, error, at }).catch(ignoreRefusal)
      }
    } catch (error) {
      logger.warn({ err: error }, 'leases cannot be checked; none expires until they can')
    }
    if (!stopped) cancelCheck = clock.after(leaseCheckMs, () => void checkLeases())
  }

  return {
    name: 'timekeeper',
    version: 1,
    prefixes: ['execution-'],
    apply: (event) => apply(event as RecordedEvent<ExecutionEvent>),
    async act(caughtUp) {
      if (!caughtUp) return
      timers.arm()
      if (cancelCheck === undefined) await checkLeases()
    },
    timer: (key) => timers.get(key),
    takeUp(timer) {
      set(timer)
      timers.arm()
    },
    dump: () => [...timers.values()] as unknown as Json,
    restore(state) {
      for (const timer of state as unknown as Timer[]) set(timer)
    },
    stop() {
      stopped = true
      timers.stop()
      cancelCheck?.()
    },
  }
}

type LeasedTimer = Timer & { readonly does: Timer['does'] & { kind: 'time-out-stage' } }

const isLeased = (timer: Timer): timer is LeasedTimer => timer.does.kind === 'time-out-stage' && timer.does.leased

const leaseOf = ({ executionId, does }: LeasedTimer): string => leaseKey(executionId, does.stage, does.attempt)

/** What a timer has the aggregate decide when it is due. */
export function commandOf({ does }: Timer, at: string): ExecutionCommand {
  switch (does.kind) {
    case 'time-out-execution':
      return { type: 'TimeOutExecution', at }
    case 'time-out-stage': {
      const error = { code: 'TIMED_OUT', message: 'the attempt did not end at its timeout' }
      return { type: 'FailStage', stage: does.stage, attempt: does.attempt, worker: does.worker, error, at }
    }
    case 'retry':
      return { type: 'RetryStage', by: 'timer', stage: does.stage, attempt: does.attempt, at }
    case 'wake':
      return { type: 'WakeStage', stage: does.stage, attempt: does.attempt, at }
  }
}

/** The attempt ended in the meantime: the log knows better. */
function ignoreRefusal(error: unknown): void {
  if (!(error instanceof Rejected)) throw error
}
