import type { AskedSpec, ScheduleCommand } from '../../src/domain/schedule/commands.ts'
import { createScheduleDecider } from '../../src/domain/schedule/decide.ts'
import type { ScheduleEvent, ScheduleSpec } from '../../src/domain/schedule/events.ts'

/** Ids that can be read: the run of a nominal time is named for it. */
export const scheduleDecider = createScheduleDecider((_namespace, _name, nominalAt) => runId(nominalAt))
export const runId = (nominalAt: string): string => `run-${nominalAt}`

/** A moment of 2 January 2026, as `03:04` or `03:04:05`. */
export const on = (time: string): string => `2026-01-02T${time.length === 5 ? `${time}:00` : time}.000Z`

/** Every quarter of an hour, from midnight on. */
export const spec = (more: Partial<AskedSpec> = {}): ScheduleSpec =>
  ({
    workflow: 'release',
    priority: 0,
    timing: { kind: 'every', everyMs: 900_000, from: on('00:00') },
    overlap: 'skip',
    misfire: 'once',
    catchUp: { max: 10, withinMs: 86_400_000 },
    jitterMs: 0,
    queueLimit: 10,
    ...more,
  }) as ScheduleSpec

export const define = (more: Partial<AskedSpec> = {}, at = on('00:01')): ScheduleCommand => ({
  type: 'DefineSchedule',
  namespace: 'default',
  name: 'nightly',
  spec: spec(more),
  at,
})
export const tick = (at: string): ScheduleCommand => ({ type: 'FireDue', at: on(at) })
export const pause = (at: string): ScheduleCommand => ({ type: 'PauseSchedule', reason: 'freeze', at: on(at) })
export const resume = (at: string): ScheduleCommand => ({ type: 'ResumeSchedule', reason: 'thaw', at: on(at) })
export const remove = (at: string): ScheduleCommand => ({ type: 'DeleteSchedule', reason: 'done with', at: on(at) })
export const ended = (nominal: string, at: string, outcome: 'completed' | 'failed' | 'cancelled' = 'completed') =>
  ({ type: 'RecordRunEnd', executionId: runId(on(nominal)), outcome, at: on(at) }) as const
export const backfill = (from: string, to: string, maxConcurrent: number, at: string, id = 'b1'): ScheduleCommand => ({
  type: 'RequestBackfill',
  id,
  from: on(from),
  to: on(to),
  maxConcurrent,
  at: on(at),
})

/** What these commands, each accepted, have led to. */
export function past(...commands: readonly ScheduleCommand[]): ScheduleEvent[] {
  const events: ScheduleEvent[] = []
  let state = scheduleDecider.initialState
  for (const command of commands)
    for (const event of scheduleDecider.decide(command, state)) {
      state = scheduleDecider.evolve(state, event)
      events.push(event)
    }
  return events
}

export const fired = (nominal: string, asked?: string): ScheduleEvent => ({
  type: 'ScheduleFired',
  data: {
    nominalAt: on(nominal),
    executionId: runId(on(nominal)),
    ...(asked === undefined ? {} : { backfill: asked }),
  },
})
export const queued = (nominal: string, ...cancels: string[]): ScheduleEvent => ({
  type: 'ScheduleQueued',
  data: {
    nominalAt: on(nominal),
    ...(cancels.length === 0 ? {} : { cancels: cancels.map((one) => runId(on(one))) }),
  },
})
export const passed = (
  from: string,
  to: string,
  count: number,
  reason: Extract<ScheduleEvent, { type: 'ScheduleTimesPassed' }>['data']['reason'],
): ScheduleEvent => ({ type: 'ScheduleTimesPassed', data: { from: on(from), to: on(to), count, reason } })
export const over = (nominal: string, outcome: 'completed' | 'failed' | 'cancelled' = 'completed'): ScheduleEvent => ({
  type: 'ScheduledRunEnded',
  data: { nominalAt: on(nominal), executionId: runId(on(nominal)), outcome },
})
