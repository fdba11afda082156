import type { ScheduledRuns, ScheduleRef } from '../commands/scheduled-runs.ts'
import type { Json } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import { wakeTime } from '../domain/schedule/draft.ts'
import type { Clock } from '../ports/clock.ts'
import type { Logger } from '../ports/logger.ts'
import { carryOut, take } from './carry-out.ts'
import { DueTimers } from './due-timers.ts'
import type { Reactor } from './reactor.ts'
import { type Dump, ScheduleFold } from './schedule-fold.ts'

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
  const timers = new DueTimers<{ readonly key: string; readonly dueMs: number }>(clock, fire)

  async function fire({ key: stream }: { readonly key: string }): Promise<void> {
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
      const { workflows, runs } = fold.dirty
      await carryOut(take(workflows), agree, (workflow) => workflows.add(workflow))
      await carryOut(take(runs), advance, (run) => runs.add(run))
      setTimers()
      timers.arm()
    },
    dump: () => fold.dump() as unknown as Json,
    restore: (state) => fold.restore(state as unknown as Dump),
    stop: () => timers.stop(),
  }
}
