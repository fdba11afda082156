import { describe, expect, test } from 'vitest'
import type { ScheduleCommand } from '../../../src/domain/schedule/commands.ts'
import { wakeTime } from '../../../src/domain/schedule/draft.ts'
import type { KnownSchedule } from '../../../src/domain/schedule/state.ts'
import { given } from '../../support/given.ts'
import {
  backfill,
  define,
  ended,
  fired,
  on,
  over,
  passed,
  past,
  pause,
  queued,
  remove,
  resume,
  runId,
  scheduleDecider,
  spec,
  tick,
} from '../../support/schedules.ts'

const givenSchedule = (...commands: readonly ScheduleCommand[]) => given(scheduleDecider, past(...commands))
const stateAfter = (...commands: readonly ScheduleCommand[]) =>
  past(...commands).reduce(scheduleDecider.evolve, scheduleDecider.initialState) as KnownSchedule

describe('defining', () => {
  test('a new one counts from now on', () => {
    given(scheduleDecider, [])
      .when(define())
      .then([
        { type: 'ScheduleDefined', data: { namespace: 'default', name: 'nightly', spec: spec(), after: on('00:01') } },
      ])
  })
  test('the same again is nothing', () =>
    givenSchedule(define())
      .when(define({}, on('05:00')))
      .then([]))
  test('an interval without a start counts from its definition, and goes on counting from there', () => {
    const timing = { kind: 'every', everyMs: 900_000 } as const
    const [event] = past(define({ timing }))
    expect(event).toMatchObject({ data: { spec: { timing: { ...timing, from: on('00:01') } } } })
    givenSchedule(define({ timing }))
      .when(define({ timing }, on('05:00')))
      .then([])
    const [, revised] = past(define({ timing }), define({ timing, priority: 1 }, on('00:05')))
    expect(revised).toMatchObject({ data: { spec: { timing: { from: on('00:01') } } } })
  })
  test('another one is a revision, and no time is decided on twice', () => {
    const hourly = spec({ timing: { kind: 'every', everyMs: 3_600_000, from: on('00:00') } })
    givenSchedule(define(), tick('00:15'))
      .when(define(hourly, on('00:20')))
      .then([{ type: 'ScheduleRevised', data: { spec: hourly, after: on('00:20') } }])
    // The clock was set back: what has been decided on stays so.
    givenSchedule(define(), tick('00:45'))
      .when(define(hourly, on('00:20')))
      .then([{ type: 'ScheduleRevised', data: { spec: hourly, after: on('00:45') } }])
  })
  test('times that were due and not decided on are told of', () => {
    const next = spec({ priority: 1 })
    givenSchedule(define())
      .when(define(next, on('00:50')))
      .then([
        passed('00:15', '00:45', 3, 'revised'),
        { type: 'ScheduleRevised', data: { spec: next, after: on('00:50') } },
      ])
  })
  test('a deleted one can be defined again, and still decides on no time twice', () => {
    const [event] = past(define(), tick('00:15'), remove('00:16'), define({}, on('00:10'))).slice(-1)
    expect(event).toMatchObject({ type: 'ScheduleDefined', data: { after: on('00:15') } })
  })
  test('an interval that begins later begins then', () => {
    const timing = { kind: 'every', everyMs: 900_000, from: on('06:00') } as const
    expect(wakeTime(stateAfter(define({ timing })))).toBe(Date.parse(on('06:00')))
  })
  test('a date in the past is refused', () => {
    const { faults } = given(scheduleDecider, [])
      .when(define({ timing: { kind: 'at', at: on('00:00') } }))
      .thenRejected('SCHEDULE_INVALID')
    expect(faults).toMatchObject([{ pointer: '/at' }])
  })
  test('one that is too large for the log is refused', () => {
    given(scheduleDecider, [])
      .when(define({ input: 'x'.repeat(70_000) }))
      .thenRejected('EVENT_TOO_LARGE')
  })
  test('that of a workflow belongs to it', () => {
    const ofWorkflow = { ...define(), definedBy: 'release' } as ScheduleCommand
    givenSchedule(ofWorkflow)
      .when(define({ priority: 1 }))
      .thenRejected('SCHEDULE_OWNED')
    givenSchedule(ofWorkflow).when(remove('00:02')).thenRejected('SCHEDULE_OWNED')
    givenSchedule(define())
      .when({ ...remove('00:02'), definedBy: 'release' } as ScheduleCommand)
      .thenRejected('SCHEDULE_OWNED')
  })
})

describe('what is not there', () => {
  test.each([tick('00:15'), pause('00:15'), resume('00:15'), remove('00:15'), backfill('00:00', '00:01', 1, '00:15')])(
    'is unknown to $type',
    (command) => {
      given(scheduleDecider, []).when(command).thenRejected('SCHEDULE_UNKNOWN')
      givenSchedule(define(), remove('00:02')).when(command).thenRejected('SCHEDULE_UNKNOWN')
    },
  )
})

describe('at its time', () => {
  test('a run starts, once', () => {
    givenSchedule(define()).when(tick('00:14:59')).then([])
    givenSchedule(define())
      .when(tick('00:15'))
      .then([fired('00:15')])
    givenSchedule(define(), tick('00:15')).when(tick('00:15:01')).then([])
  })
  test('a clock that is set back starts nothing again', () => {
    givenSchedule(define(), tick('00:15'), ended('00:15', '00:16')).when(tick('00:05')).then([])
    givenSchedule(define(), tick('01:00'), ended('01:00', '01:01')).when(tick('00:15')).then([])
  })
  test('with jitter it waits for its moment', () => {
    const state = stateAfter(define({ jitterMs: 600_000 }))
    const due = new Date(wakeTime(state)!).toISOString()
    expect(due > on('00:15') && due < on('00:25')).toBe(true)
    const at = (time: string) => ({ type: 'FireDue', at: time }) as const
    givenSchedule(define({ jitterMs: 600_000 }))
      .when(at(on('00:15')))
      .then([])
    givenSchedule(define({ jitterMs: 600_000 }))
      .when(at(due))
      .then([fired('00:15')])
  })
  test('one that has run its only time has nothing to wait for', () => {
    const once = define({ timing: { kind: 'at', at: on('06:00') } })
    givenSchedule(once)
      .when(tick('06:00'))
      .then([fired('06:00')])
    expect(wakeTime(stateAfter(once, tick('06:00')))).toBeUndefined()
  })
})

describe('a run that has not ended', () => {
  const running = (overlap: 'skip' | 'queue' | 'cancel-running' | 'allow', more = {}) =>
    [define({ overlap, ...more }), tick('00:15')] as const
  test('skip: there is none, and that is told', () =>
    givenSchedule(...running('skip'))
      .when(tick('00:30'))
      .then([passed('00:30', '00:30', 1, 'overlap')]))
  test('allow: both run', () =>
    givenSchedule(...running('allow'))
      .when(tick('00:30'))
      .then([fired('00:30')]))
  test('queue: it waits for its turn', () => {
    givenSchedule(...running('queue'))
      .when(tick('00:30'))
      .then([queued('00:30')])
    const waiting = [...running('queue'), tick('00:30'), tick('00:45')] as const
    givenSchedule(...waiting)
      .when(ended('00:15', '00:50'))
      .then([over('00:15'), fired('00:30')])
    givenSchedule(...waiting, ended('00:15', '00:50'), ended('00:30', '00:51', 'failed'))
      .when(ended('00:45', '00:52'))
      .then([over('00:45')])
  })
  test('queue: it has a limit', () =>
    givenSchedule(...running('queue', { queueLimit: 1 }), tick('00:30'))
      .when(tick('00:45'))
      .then([passed('00:45', '00:45', 1, 'queue-full')]))
  test('cancel-running: it is asked to end, and then the next starts', () => {
    givenSchedule(...running('cancel-running'))
      .when(tick('00:30'))
      .then([queued('00:30', '00:15')])
    givenSchedule(...running('cancel-running'), tick('00:30'))
      .when(ended('00:15', '00:31', 'cancelled'))
      .then([over('00:15', 'cancelled'), fired('00:30')])
  })
  test('cancel-running: of those that wait only the newest stays', () =>
    givenSchedule(...running('cancel-running'), tick('00:30'))
      .when(tick('00:45'))
      .then([passed('00:30', '00:30', 1, 'replaced'), queued('00:45')]))
  test('that it ended is recorded once', () =>
    givenSchedule(...running('skip'), ended('00:15', '00:16'))
      .when(ended('00:15', '00:17', 'failed'))
      .then([]))
  test('one that could not be started is out of the way', () => {
    const error = { code: 'WORKFLOW_RETIRED', message: 'it is retired' }
    givenSchedule(...running('queue'), tick('00:30'))
      .when({ type: 'RefuseRun', executionId: runId(on('00:15')), error, at: on('00:31') })
      .then([
        { type: 'ScheduledRunRefused', data: { nominalAt: on('00:15'), executionId: runId(on('00:15')), error } },
        fired('00:30'),
      ])
  })
  test('times in a row that have none are one event', () => {
    const every = { timing: { kind: 'every', everyMs: 10_000, from: on('00:00') } as const }
    givenSchedule(define(every))
      .when(tick('00:01:50'))
      .then([fired('00:01:10'), passed('00:01:20', '00:01:50', 4, 'overlap')])
  })
  test('however many there are, the state stays bounded', () => {
    const seconds = { overlap: 'allow', timing: { kind: 'every', everyMs: 1_000, from: on('00:00') } } as const
    const ticks = Array.from({ length: 40 }, (_, n) => tick(`00:${String(n + 1).padStart(2, '0')}:40`))
    expect(stateAfter(define(seconds), ...ticks).open).toHaveLength(1_000)
  })
})

describe('times that nobody was there for', () => {
  const missed = (misfire: 'once' | 'all' | 'none', more = {}) => define({ misfire, ...more })
  test('a minute late is not missed', () =>
    givenSchedule(missed('none'))
      .when(tick('00:16'))
      .then([fired('00:15')]))
  test('none: they pass', () =>
    givenSchedule(missed('none'))
      .when(tick('05:05'))
      .then([passed('00:15', '05:00', 20, 'missed')]))
  test('once: the newest is made up for', () =>
    givenSchedule(missed('once'))
      .when(tick('05:05'))
      .then([passed('00:15', '04:45', 19, 'missed'), fired('05:00')]))
  test('all: as many as are allowed, the newest', () => {
    const all = { overlap: 'queue', catchUp: { max: 3, withinMs: 86_400_000 } } as const
    givenSchedule(missed('all', all))
      .when(tick('05:05'))
      .then([passed('00:15', '04:15', 17, 'missed'), fired('04:30'), queued('04:45'), queued('05:00')])
  })
  test('what is too long ago is not made up for', () => {
    const catchUp = { max: 10, withinMs: 1_200_000 }
    givenSchedule(missed('all', { overlap: 'allow', catchUp }))
      .when(tick('05:05'))
      .then([passed('00:15', '04:45', 19, 'missed'), fired('05:00')])
    givenSchedule(missed('once', { catchUp, timing: { kind: 'at', at: on('01:00') } }))
      .when(tick('05:05'))
      .then([passed('01:00', '01:00', 1, 'missed')])
  })
  test('one that is due now is besides', () =>
    givenSchedule(missed('none'))
      .when(tick('05:00:10'))
      .then([passed('00:15', '04:45', 19, 'missed'), fired('05:00')]))
  test('very many are not counted to the end', () => {
    const seconds = { timing: { kind: 'cron', expression: '* * * * * *', timezone: 'UTC' } } as const
    const [event] = past(missed('none', seconds), tick('23:00')).slice(1)
    expect(event).toMatchObject({
      type: 'ScheduleTimesPassed',
      data: { from: on('00:01:01'), count: 1_000, more: true },
    })
  })
})

describe('while it is paused', () => {
  test('nothing starts, and what would have is told of when it goes on', () => {
    givenSchedule(define(), pause('00:10')).when(tick('00:15')).then([])
    expect(wakeTime(stateAfter(define(), pause('00:10')))).toBeUndefined()
    givenSchedule(define(), pause('00:10'))
      .when(resume('01:05'))
      .then([passed('00:15', '01:00', 4, 'paused'), { type: 'ScheduleResumed', data: { reason: 'thaw' } }])
    givenSchedule(define(), pause('00:10'), resume('01:05'))
      .when(tick('01:15'))
      .then([fired('01:15')])
  })
  test('what waits goes on waiting', () => {
    const waits = [define({ overlap: 'queue' }), tick('00:15'), tick('00:30'), pause('00:31')] as const
    givenSchedule(...waits)
      .when(ended('00:15', '00:35'))
      .then([over('00:15')])
    givenSchedule(...waits, ended('00:15', '00:35'))
      .when(resume('00:40'))
      .then([{ type: 'ScheduleResumed', data: { reason: 'thaw' } }, fired('00:30')])
  })
  test('again is nothing', () => {
    givenSchedule(define(), pause('00:10')).when(pause('00:11')).then([])
    givenSchedule(define()).when(resume('00:11')).then([])
  })
  test('a revision leaves it paused, and tells what it passed over', () => {
    const next = spec({ priority: 1 })
    givenSchedule(define(), pause('00:10'))
      .when(define(next, on('00:20')))
      .then([
        passed('00:15', '00:15', 1, 'paused'),
        { type: 'ScheduleRevised', data: { spec: next, after: on('00:20') } },
      ])
    expect(stateAfter(define(), pause('00:10'), define(next, on('00:20'))).status).toBe('paused')
  })
})

test('deleting discards what waits; what runs goes on and its end is recorded', () => {
  const waits = [define({ overlap: 'queue' }), tick('00:15'), tick('00:30')] as const
  const deleted = { type: 'ScheduleDeleted', data: { reason: 'done with', discarded: [on('00:30')] } } as const
  givenSchedule(...waits)
    .when(remove('00:31'))
    .then([deleted])
  givenSchedule(...waits, remove('00:31'))
    .when(ended('00:15', '00:40'))
    .then([over('00:15')])
})

describe('a backfill', () => {
  const now = [define({}, on('06:05'))] as const
  const requested = {
    type: 'BackfillRequested',
    data: { id: 'b1', from: on('01:00'), to: on('02:00'), maxConcurrent: 2, count: 4 },
  } as const
  const asked = backfill('01:00', '02:00', 2, '06:06')
  const finished = { type: 'BackfillEnded', data: { id: 'b1', outcome: 'completed' } } as const

  test('runs so many at once, and ends with the last', () => {
    givenSchedule(...now)
      .when(asked)
      .then([requested, fired('01:00', 'b1'), fired('01:15', 'b1')])
    givenSchedule(...now, asked)
      .when(ended('01:15', '06:07'))
      .then([over('01:15'), fired('01:30', 'b1')])
    const most = [...now, asked, ended('01:15', '06:07'), ended('01:00', '06:08'), ended('01:30', '06:09')] as const
    givenSchedule(...most)
      .when(ended('01:45', '06:10'))
      .then([over('01:45'), finished])
  })
  test('asked for again is the same one, before its end and after', () => {
    givenSchedule(...now, asked)
      .when(asked)
      .then([])
    const all = ['01:00', '01:15', '01:30', '01:45'].map((time) => ended(time, '06:10'))
    givenSchedule(...now, asked, ...all)
      .when(asked)
      .then([])
  })
  test('neither waits for other runs nor do those wait for it', () => {
    givenSchedule(...now, asked)
      .when(tick('06:15'))
      .then([fired('06:15')])
    const [, ...events] = past(...now, tick('06:15'), backfill('01:00', '01:15', 1, '06:16')).slice(1)
    expect(events.map(({ type }) => type)).toEqual(['BackfillRequested', 'ScheduleFired'])
  })
  test('passes over a time whose run goes on', () => {
    givenSchedule(...now, tick('06:15'))
      .when(backfill('06:00', '06:30', 5, '06:31'))
      .then([
        {
          type: 'BackfillRequested',
          data: { id: 'b1', from: on('06:00'), to: on('06:30'), maxConcurrent: 5, count: 2 },
        },
        fired('06:00', 'b1'),
        {
          type: 'ScheduleTimesPassed',
          data: { from: on('06:15'), to: on('06:15'), count: 1, reason: 'overlap', backfill: 'b1' },
        },
      ])
  })
  test('goes on while the schedule is paused', () =>
    givenSchedule(...now, asked, pause('06:07'))
      .when(ended('01:15', '06:08'))
      .then([over('01:15'), fired('01:30', 'b1')]))
  test('that is cancelled starts nothing more', () => {
    const cancel = { type: 'CancelBackfill', at: on('06:07') } as const
    givenSchedule(...now, asked)
      .when(cancel)
      .then([{ type: 'BackfillEnded', data: { id: 'b1', outcome: 'cancelled' } }])
    givenSchedule(...now, asked, cancel)
      .when(ended('01:15', '06:08'))
      .then([over('01:15')])
    givenSchedule(...now)
      .when(cancel)
      .then([])
  })
  test('a second one meanwhile is refused', () => {
    const second = backfill('03:00', '04:00', 1, '06:07', 'b2')
    givenSchedule(...now, asked)
      .when(second)
      .thenRejected('BACKFILL_RUNNING')
  })
  test.each([
    ['without an extent', backfill('01:00', '01:00', 1, '06:06'), '/to'],
    ['of the future', backfill('06:00', '07:00', 1, '06:06'), '/to'],
    ['of no nominal time', backfill('01:01', '01:14', 1, '06:06'), '/from'],
  ])('%s is refused', (_, command, pointer) => {
    const { faults } = givenSchedule(...now)
      .when(command)
      .thenRejected('BACKFILL_IMPOSSIBLE')
    expect(faults).toMatchObject([{ pointer }])
  })
  test('of too many is refused, and says how far it could go', () => {
    const seconds = define({ timing: { kind: 'every', everyMs: 1_000, from: on('00:00') } }, on('12:00'))
    const { faults } = givenSchedule(seconds)
      .when(backfill('00:00', '11:00', 1, '12:00:00'))
      .thenRejected('BACKFILL_IMPOSSIBLE')
    expect(faults[0]?.message).toContain(on('01:23:20'))
  })
})

test('a long stream says now and then what it has come to, and that is all that need be read', () => {
  const quarter = (n: number) => new Date(Date.parse(on('00:00')) + n * 900_000).toISOString()
  const commands: ScheduleCommand[] = [define()]
  for (let n = 1; n <= 1_100; n++) {
    commands.push({ type: 'FireDue', at: quarter(n) })
    commands.push({ type: 'RecordRunEnd', executionId: runId(quarter(n)), outcome: 'completed', at: quarter(n) })
  }
  const events = past(...commands)
  const bases = events.flatMap((event, at) => (scheduleDecider.isBase?.(event) ? [at] : []))
  expect(bases.length).toBe(2)
  const whole = events.reduce(scheduleDecider.evolve, scheduleDecider.initialState)
  const part = events.slice(bases[1]).reduce(scheduleDecider.evolve, scheduleDecider.initialState)
  expect(JSON.parse(JSON.stringify(part))).toEqual(JSON.parse(JSON.stringify(whole)))
})
