import { z } from 'zod'
import type { ScheduleCommand } from '../domain/schedule/commands.ts'
import { scheduleStream } from '../domain/schedule/events.ts'
import { nextTimes } from '../domain/schedule/nominal-times.ts'
import { compileSchedule, type scheduleSchema } from '../domain/schedule/schema.ts'
import { instant } from '../domain/workflow/quantities.ts'
import { type Caller, contextOf } from './caller.ts'
import type { ReasonBody } from './control-execution.ts'
import { derivedId } from './fingerprint.ts'
import type { Handle } from './handle.ts'
import { newId } from './new-id.ts'
import { scheduleDecider } from './schedule-decider.ts'
import { chooseVersion } from './start-execution.ts'

export type ScheduleBody = z.output<typeof scheduleSchema>

/** Of the nominal times from `from` on and before `to`. */
export const backfillBody = z.strictObject({
  from: instant,
  to: instant,
  maxConcurrent: z.int().min(1).max(100).default(1).meta({ description: 'How many of its runs go on at once.' }),
})
export type BackfillBody = z.output<typeof backfillBody>

type Done = { readonly name: string; readonly position: number; readonly change: 'created' | 'revised' | 'none' }

/** What people may do to the schedules of their namespace. */
export function createScheduleCommands(handle: Handle) {
  const tell = async (caller: Caller, name: string, command: (at: string) => ScheduleCommand): Promise<Done> => {
    const context = contextOf(caller, newId())
    const stream = scheduleStream(caller.namespace, name)
    const { position, events } = await handle(scheduleDecider, stream, command(context.at), context)
    const created = events.some(({ type }) => type === 'ScheduleDefined')
    return { name, position, change: created ? 'created' : events.length > 0 ? 'revised' : 'none' }
  }
  const because = ({ reason = 'no reason given' }: ReasonBody) => reason
  return {
    /** Creates or revises it. @throws Rejected also where the workflow cannot be started like this */
    async define(caller: Caller, name: string, body: ScheduleBody): Promise<Done> {
      const spec = compileSchedule(body, body.workflow)
      const { namespace } = caller
      await chooseVersion(handle, namespace, {
        workflow: spec.workflow,
        version: spec.version,
        ...(spec.input === undefined ? {} : { input: spec.input }),
      })
      return tell(caller, name, (at) => ({ type: 'DefineSchedule', namespace, name, spec, at }))
    },
    remove: (caller: Caller, name: string, body: ReasonBody) =>
      tell(caller, name, (at) => ({ type: 'DeleteSchedule', reason: because(body), at })),
    /** Nothing starts at its times; what runs goes on. */
    pause: (caller: Caller, name: string, body: ReasonBody) =>
      tell(caller, name, (at) => ({ type: 'PauseSchedule', reason: because(body), at })),
    resume: (caller: Caller, name: string, body: ReasonBody) =>
      tell(caller, name, (at) => ({ type: 'ResumeSchedule', reason: because(body), at })),
    /** Runs for nominal times that have passed. The same key is the same backfill. */
    async backfill(caller: Caller, name: string, body: BackfillBody, idempotencyKey?: string) {
      const { namespace } = caller
      const id = idempotencyKey === undefined ? newId() : derivedId(['backfill', namespace, name, idempotencyKey])
      const from = new Date(body.from).toISOString()
      const to = new Date(body.to).toISOString()
      const { maxConcurrent } = body
      const done = await tell(caller, name, (at) => ({ type: 'RequestBackfill', id, from, to, maxConcurrent, at }))
      return { ...done, id }
    },
    /** Starts nothing more of it; what runs goes on. */
    cancelBackfill: (caller: Caller, name: string) => tell(caller, name, (at) => ({ type: 'CancelBackfill', at })),
  }
}

/** The next nominal times of a schedule that is not saved, ISO 8601. */
export function previewSchedule({ nowMs }: Caller, body: ScheduleBody, count: number): readonly string[] {
  const { timing } = compileSchedule(body, body.workflow)
  if (timing.kind !== 'every') return nextTimes(timing, nowMs, count)
  const { from = new Date(nowMs).toISOString() } = timing
  return nextTimes({ ...timing, from }, Math.max(nowMs, Date.parse(from) - 1), count)
}
