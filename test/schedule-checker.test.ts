// Each rule about schedules has a log that breaks it, and what the decider decides breaks none.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { violations } from '../src/checker/violations.ts'
import type { DomainEvent, RecordedEvent } from '../src/domain/message.ts'
import type { ScheduleCommand } from '../src/domain/schedule/commands.ts'
import type { ScheduleEvent } from '../src/domain/schedule/events.ts'
import type { ScheduleState } from '../src/domain/schedule/state.ts'
import { start, workflow } from './support/executions.ts'
import {
  backfill,
  define,
  ended,
  fired,
  on,
  over,
  passed,
  pause,
  queued,
  remove,
  runId,
  scheduleDecider,
  spec,
  tick,
} from './support/schedules.ts'

type Batch = { readonly at: string; readonly events: readonly DomainEvent[] }

function recorded(batches: readonly Batch[], stream = 'schedule-default.nightly', position = 0): RecordedEvent[] {
  const log: RecordedEvent[] = []
  for (const [batch, { at, events }] of batches.entries())
    for (const event of events) {
      const metadata = { namespace: 'default', correlationId: 'c', commandId: `${stream} ${batch}`, actor: 'user:ada' }
      const place = { stream, revision: log.length, position: position + log.length }
      log.push({ id: `${stream} ${log.length}`, ...event, version: 1, at, metadata, ...place } as RecordedEvent)
    }
  return log
}

function decided(commands: readonly ScheduleCommand[]): Batch[] {
  let state: ScheduleState = scheduleDecider.initialState
  return commands.flatMap((command) => {
    try {
      const events = scheduleDecider.decide(command, state)
      state = events.reduce(scheduleDecider.evolve, state)
      return [{ at: command.at, events }]
    } catch (error) {
      if ((error as Error).name === 'Rejected') return []
      throw error
    }
  })
}

const found = (batches: readonly Batch[]) => violations(recorded(batches))
const blames = (batches: readonly Batch[], what: RegExp): void => {
  expect(found(batches)).toContainEqual(expect.stringMatching(what))
}
const past = (...commands: readonly ScheduleCommand[]) => decided(commands)
const then = (at: string, ...events: readonly ScheduleEvent[]): Batch => ({ at: on(at), events })

const time = (minutes: number): string => new Date(Date.parse(on('00:00')) + minutes * 60_000).toISOString()
const anyCommand = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ type: 'FireDue' }) },
  { weight: 6, arbitrary: fc.record({ end: fc.nat(5), outcome: fc.constantFrom('completed', 'failed') }) },
  fc.record({ define: fc.constantFrom('skip', 'queue', 'cancel-running', 'allow'), priority: fc.nat(2) }),
  fc.constantFrom({ type: 'PauseSchedule', reason: 'x' }, { type: 'ResumeSchedule', reason: 'x' }),
  fc.record({ from: fc.nat(600), minutes: fc.nat(200), most: fc.integer({ min: 1, max: 4 }) }),
  fc.constantFrom({ type: 'CancelBackfill' }, { type: 'DeleteSchedule', reason: 'x' }),
)

/** Mostly a little later than the one before; now and then somebody sets the clock, and now and then nobody is there. */
const steps = fc.array(fc.tuple(fc.constantFrom(1, 3, 8, 8, 20, -50, 400), anyCommand), {
  minLength: 30,
  maxLength: 80,
})

test('whatever is asked of a schedule, nothing is found in what it decides', () => {
  let seen = 0
  fc.assert(
    fc.property(steps, fc.nat(30), (all, jitter) => {
      let minutes = 720
      let state: ScheduleState = scheduleDecider.initialState
      const batches: Batch[] = []
      const timing = { kind: 'cron', expression: '*/15 * * * *', timezone: 'Europe/Berlin' } as const
      const first = define({ timing, jitterMs: jitter * 60_000, overlap: 'queue' }, time(minutes))
      for (const [step, asked] of [[0, first] as const, ...all]) {
        minutes += step
        const command = commandOf(asked, state, time(minutes), { timing, jitterMs: jitter * 60_000 })
        try {
          const events = command ? scheduleDecider.decide(command, state) : []
          state = events.reduce(scheduleDecider.evolve, state)
          batches.push({ at: time(minutes), events })
          seen += events.length
        } catch (error) {
          if ((error as Error).name !== 'Rejected') throw error
        }
      }
      expect(found(batches)).toEqual([])
    }),
    { numRuns: 150 },
  )
  expect(seen).toBeGreaterThan(1_000)
})

function commandOf(
  asked: object,
  state: ScheduleState,
  at: string,
  more: Parameters<typeof define>[0],
): ScheduleCommand | undefined {
  if ('define' in asked) {
    const { define: overlap, priority } = asked as { define: 'skip'; priority: number }
    return define({ ...more, overlap, priority, queueLimit: 3 }, at)
  }
  if ('end' in asked) {
    const open = state.status === 'unknown' ? [] : state.open
    const { end, outcome } = asked as { end: number; outcome: 'completed' | 'failed' }
    const run = open[end]
    return run && { type: 'RecordRunEnd', executionId: run.executionId, outcome, at }
  }
  if ('most' in asked) {
    const { from, minutes, most } = asked as { from: number; minutes: number; most: number }
    const id = `b${from}-${minutes}-${at}`
    return { type: 'RequestBackfill', id, from: time(from), to: time(from + minutes), maxConcurrent: most, at }
  }
  return { ...asked, at } as ScheduleCommand
}

describe('it is found when', () => {
  const one = past(define(), tick('00:15'), ended('00:15', '00:16'))

  test('a nominal time is decided on twice', () => {
    blames([...one, then('00:17', fired('00:15'))], /invariant 20: .*00:15:00.000Z is decided on/)
    blames([...one, then('00:17', passed('00:15', '00:15', 1, 'missed'))], /invariant 20: .*is decided on/)
  })
  test('a time is not one of the schedule', () => {
    blames([...one, then('00:45', fired('00:31'))], /invariant 20: .*00:31:00.000Z is no nominal time/)
    const cron = { timing: { kind: 'cron', expression: '30 2 * * *', timezone: 'UTC' } } as const
    blames([...past(define(cron)), then('03:00', fired('02:31'))], /invariant 20: .*is no nominal time/)
  })
  test('it starts before its time', () =>
    blames([...one, then('00:29', fired('00:30'))], /invariant 19: .*not come yet/))
  test('runs overlap that may not', () =>
    blames([...past(define(), tick('00:15')), then('00:30', fired('00:30'))], /invariant 20: .*may not overlap/))
  test('what waits starts out of turn', () => {
    const waits = past(define({ overlap: 'queue' }), tick('00:15'), tick('00:30'), tick('00:45'))
    blames([...waits, then('00:46', over('00:15'), fired('00:45'))], /invariant 20/)
  })
  test('it starts while it is paused, or is gone', () => {
    blames([...past(define(), pause('00:02')), then('00:15', fired('00:15'))], /invariant 20: the schedule is paused/)
    blames([...past(define(), remove('00:02')), then('00:15', fired('00:15'))], /invariant 20: the schedule is deleted/)
  })
  test('a run ends that was not open', () =>
    blames([...one, then('00:17', over('00:15'))], /invariant 20: .*was not open/))
  test('a revision goes back in time', () => {
    const back = { type: 'ScheduleRevised', data: { spec: spec({ priority: 1 }), after: on('00:10') } } as const
    blames([...one, then('00:20', back)], /invariant 20: times up to/)
  })
  test('a backfill starts too much, or what it was not asked for', () => {
    const now = past(define({}, on('06:05')), backfill('01:00', '02:00', 1, '06:06'))
    blames([...now, then('06:07', fired('01:15', 'b1'))], /invariant 20: 1 runs of the backfill go on already/)
    blames([...now, then('06:07', over('01:00'), fired('02:00', 'b1'))], /invariant 20: .*outside the backfill/)
    blames([...now, then('06:07', fired('01:15', 'b2'))], /invariant 20: the backfill b2 does not go on/)
  })
  test('what is carried forward is not what came of it', () => {
    const state = {
      ...past(define())
        .flatMap(({ events }) => events as ScheduleEvent[])
        .reduce(scheduleDecider.evolve, scheduleDecider.initialState),
    }
    const carried = { type: 'ScheduleCarriedForward', data: { state: { ...state, queue: [on('00:15')] } } } as never
    blames([...past(define()), then('00:20', carried)], /invariant 31/)
    blames([...one, then('00:20', queued('00:15'))], /invariant 20/)
  })

  const started = (nominalAt: string, executionId: string, position: number) => {
    const trigger = { kind: 'schedule', by: 'schedule:nightly', nominalAt } as const
    const { type: _, at, ...data } = start(workflow([]), { executionId, trigger })
    const event = { type: 'ExecutionStarted', data: { ...data, timeoutAt: at } }
    return recorded([{ at: on('00:15'), events: [event] }], `execution-${executionId}`, position)
  }
  test('a run was started that no schedule fired, or a second one', () => {
    const log = recorded(past(define(), tick('00:15')))
    const [right, wrong] = [runId(on('00:15')), 'other']
    const lines = (...more: RecordedEvent[]) =>
      violations([...log, ...more]).filter((line) => line.includes('invariant 20'))
    expect(lines(...started(on('00:15'), right, 10))).toEqual([])
    expect(lines(...started(on('00:15'), wrong, 10))).toEqual([expect.stringContaining('did not fire it')])
    expect(lines(...started(on('00:15'), right, 10), ...started(on('00:15'), wrong, 11))).toContainEqual(
      expect.stringContaining('has a run already'),
    )
  })
})
