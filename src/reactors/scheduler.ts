import type { ScheduledRuns, ScheduleRef } from '../commands/scheduled-runs.ts'
import type { Json } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import { wakeTime } from '../domain/schedule/draft.ts'
import type { Clock } from '../ports/clock.ts'
import type { Logger } from '../ports/logger.ts'
import { isDueBefore, KeyedHeap } from './keyed-heap.ts'
import type { Reactor } from './reactor.ts'
import { type Dump, ScheduleFold } from './schedule-fold.ts'

/** What could not be carried out is tried again after this. */
const AGAIN_AFTER_MS = 1_000
/** A clock that is set is noticed after this at the latest. */
const LONGEST_WAIT_MS = 60_000
const TOGETHER = 500

/**
 * Follows the log, keeps when each schedule is due next, and has what is due decided on. It starts the runs that come of that,
 * tells the schedule how they ended, and makes the schedules of workflows what their definitions say. Two of it do no harm.
 */
export function createScheduler(options: {
  commands: ScheduledRuns
  clock: Clock
  logger: Logger
}): Reactor & { stop(): void } {
  const { commands, clock, logger } = options
  const fold = new ScheduleFold()
  const timers = new KeyedHeap<{ readonly key: string; readonly dueMs: number }>(isDueBefore)
  let stopped = false
  let firing = false
  let armed: { readonly dueMs: number; cancel(): void } | undefined

  function arm(): void {
    const next = timers.first()
    if (stopped || firing || next === undefined || (armed && armed.dueMs <= next.dueMs)) return
    armed?.cancel()
    const delay = Math.min(Math.max(next.dueMs - clock.now(), 0), LONGEST_WAIT_MS)
    armed = { dueMs: next.dueMs, cancel: clock.after(delay, () => void fireDue()) }
  }

  async function fireDue(): Promise<void> {
    armed = undefined
    firing = true
    const due: string[] = []
    for (let next = timers.first(); next && next.dueMs <= clock.now() && due.length < TOGETHER; next = timers.first()) {
      // The event that follows says when it is due next; without one it is due again, so that nothing is forgotten.
      timers.set({ key: next.key, dueMs: clock.now() + AGAIN_AFTER_MS })
      due.push(next.key)
    }
    await Promise.all(due.map(fire))
    firing = false
    arm()
  }

  async function fire(stream: string): Promise<void> {
    if (!fold.schedule(stream)) return
    try {
      await commands.fireDue(fold.refOf(stream))
    } catch (error) {
      if (error instanceof Rejected) timers.delete(stream)
      else logger.warn({ schedule: stream, err: error }, 'a schedule that is due will be tried again')
    }
  }

  function setTimers(): void {
    for (const stream of fold.dirty.schedules) {
      const state = fold.schedule(stream)
      const dueMs = state && wakeTime(state)
      if (dueMs === undefined) timers.delete(stream)
      else timers.set({ key: stream, dueMs })
    }
    fold.dirty.schedules.clear()
  }

  async function advance(executionId: string): Promise<void> {
    const found = fold.run(executionId)
    if (!found) return
    const { run, open } = found
    const { started, ended, stream } = run
    const ref: ScheduleRef = fold.refOf(stream, ended?.causationId ?? run.causationId)
    if (ended) return commands.recordEnd(ref, executionId, ended.outcome)
    if (!started) await commands.start(ref, fold.schedule(stream)!.spec, open)
    if (open.cancelling) await commands.cancel(ref, executionId)
  }

  async function agree(workflow: string): Promise<void> {
    for (const difference of fold.differences(workflow)) {
      const { ref } = difference
      if (difference.does === 'remove') await commands.remove(ref, difference.workflow, difference.reason)
      else await commands.define(ref, difference.spec).catch((error) => refused(ref, error))
    }
  }

  function refused({ namespace, name }: ScheduleRef, error: unknown): void {
    if (!(error instanceof Rejected)) throw error
    logger.warn({ namespace, schedule: name, err: error }, 'the schedule of a workflow cannot be')
  }

  return {
    name: 'scheduler',
    version: 1,
    prefixes: ['schedule-', 'workflow-', 'execution-'],
    apply: (event) => fold.apply(event),
    async act(caughtUp) {
      if (!caughtUp) return
      await carryOut(fold.dirty.workflows, agree)
      await carryOut(fold.dirty.runs, advance)
      setTimers()
      arm()
    },
    dump: () => fold.dump() as unknown as Json,
    restore: (state) => fold.restore(state as unknown as Dump),
    stop() {
      stopped = true
      armed?.cancel()
    },
  }
}

/** Does all that is to be done, so many at once; what failed stays to be done, and the first failure is thrown. */
async function carryOut(todo: Set<string>, does: (what: string) => Promise<void>): Promise<void> {
  const all = [...todo]
  todo.clear()
  for (let at = 0; at < all.length; at += TOGETHER) {
    const some = all.slice(at, at + TOGETHER)
    const done = await Promise.allSettled(some.map(does))
    const failed = done.findIndex(({ status }) => status === 'rejected')
    if (failed === -1) continue
    for (const [index, { status }] of done.entries()) if (status === 'rejected') todo.add(some[index]!)
    for (const what of all.slice(at + TOGETHER)) todo.add(what)
    throw (done[failed] as PromiseRejectedResult).reason
  }
}
