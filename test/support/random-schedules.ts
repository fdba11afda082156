// Schedules that take commands one after the other, and whose events go into a log.
import { randomInt, randomUUID } from 'node:crypto'
import { scheduleDecider } from '../../src/commands/schedule-decider.ts'
import type { ScheduleCommand } from '../../src/domain/schedule/commands.ts'
import { scheduleStream } from '../../src/domain/schedule/events.ts'
import type { KnownSchedule, ScheduleState } from '../../src/domain/schedule/state.ts'
import type { RecordedLog } from './recorded-log.ts'
import { define, on } from './schedules.ts'

/** Schedules by name, which take commands and put what is decided into the log. */
export function recordedSchedules(log: RecordedLog) {
  const states = new Map<string, ScheduleState>()
  const take = (name: string, ...commands: readonly ScheduleCommand[]): KnownSchedule => {
    let state = states.get(name) ?? scheduleDecider.initialState
    for (const command of commands) {
      const named = command.type === 'DefineSchedule' ? { ...command, name } : command
      const events = scheduleDecider.decide(named, state)
      log.record(scheduleStream('default', name), events, { at: command.at })
      state = events.reduce(scheduleDecider.evolve, state)
    }
    states.set(name, state)
    return state as KnownSchedule
  }
  const end = (name: string, at: string, outcome: 'completed' | 'failed' = 'completed') => {
    const { open } = take(name)
    for (const { executionId } of open) take(name, { type: 'RecordRunEnd', executionId, outcome, at: on(at) })
  }
  return { take, end, states }
}

const overlaps = ['skip', 'queue', 'cancel-running', 'allow'] as const

/** A command at random at each call, a little later than the one before; what cannot be is left out. */
export function randomSchedules(log: RecordedLog): () => void {
  const { take, states } = recordedSchedules(log)
  let n = 0
  return () => {
    const name = `s${randomInt(4)}`
    const at = new Date(Date.parse(on('01:00')) + n++ * 400_000).toISOString()
    const state = states.get(name)
    const open = state && state.status !== 'unknown' ? state.open : []
    const run = open[randomInt(open.length + 1)]
    const commands: ScheduleCommand[] = [
      { type: 'FireDue', at },
      { type: 'FireDue', at },
      define({ overlap: overlaps[randomInt(4)]!, priority: randomInt(3), queueLimit: 2 }, at),
      ...(run ? [{ type: 'RecordRunEnd', executionId: run.executionId, outcome: 'completed', at } as const] : []),
      ...(run ? [{ type: 'RecordRunEnd', executionId: run.executionId, outcome: 'failed', at } as const] : []),
      { type: 'RequestBackfill', id: randomUUID(), from: on('00:00'), to: on('01:00'), maxConcurrent: 2, at },
      { type: 'CancelBackfill', at },
      { type: randomInt(2) ? 'PauseSchedule' : 'ResumeSchedule', reason: 'x', at },
      ...(randomInt(4) ? [] : [{ type: 'DeleteSchedule', reason: 'x', at } as const]),
    ]
    try {
      take(name, commands[randomInt(commands.length)]!)
    } catch (error) {
      if ((error as Error).name !== 'Rejected') throw error
    }
  }
}
