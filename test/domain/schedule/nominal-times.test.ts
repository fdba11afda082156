// Cron is read twice here: by the program, through a library, and by the checker, which looks at the clock on the wall.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isNominal } from '../../../src/checker/cron-reader.ts'
import type { Timing } from '../../../src/domain/schedule/events.ts'
import {
  cronFault,
  dueTime,
  isTimezone,
  newestTimes,
  nextTime,
  nextTimes,
  timesBetween,
} from '../../../src/domain/schedule/nominal-times.ts'

const cron = (expression: string, timezone = 'UTC'): Timing => ({ kind: 'cron', expression, timezone })
const ms = (time: string): number => Date.parse(time)
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

describe('daylight saving', () => {
  test.each<[what: string, expression: string, timezone: string, after: string, next: readonly string[]]>([
    [
      'a time that is skipped comes right after the gap, once',
      '30 2 * * *',
      'Europe/Berlin',
      '2026-03-28T12:00:00Z',
      ['2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z'],
    ],
    [
      'so do many that are skipped together, and one that stands right after the gap',
      '*/15 2-3 * * *',
      'Europe/Berlin',
      '2026-03-28T12:00:00Z',
      ['2026-03-29T01:00:00.000Z', '2026-03-29T01:15:00.000Z', '2026-03-29T01:30:00.000Z'],
    ],
    [
      'steps of hours are times of day',
      '0 */2 * * *',
      'Europe/Berlin',
      '2026-03-28T23:00:00Z',
      ['2026-03-29T01:00:00.000Z', '2026-03-29T02:00:00.000Z'],
    ],
    [
      'a time that comes twice comes the first time',
      '30 2 * * *',
      'Europe/Berlin',
      '2026-10-24T12:00:00Z',
      ['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z'],
    ],
    [
      'also when asked between the two',
      '30 2 * * *',
      'Europe/Berlin',
      '2026-10-25T01:10:00Z',
      ['2026-10-26T01:30:00.000Z'],
    ],
    [
      'every hour is every hour that passes',
      '0 * * * *',
      'Europe/Berlin',
      '2026-10-24T23:30:00Z',
      ['2026-10-25T00:00:00.000Z', '2026-10-25T01:00:00.000Z', '2026-10-25T02:00:00.000Z'],
    ],
    [
      'an hour written as its whole range is every hour as well',
      '0 0-23 * * *',
      'America/New_York',
      '2026-11-01T04:30:00Z',
      ['2026-11-01T05:00:00.000Z', '2026-11-01T06:00:00.000Z', '2026-11-01T07:00:00.000Z'],
    ],
    [
      'a gap of half an hour',
      '15 2 * * *',
      'Australia/Lord_Howe',
      '2026-10-03T00:00:00Z',
      ['2026-10-03T15:30:00.000Z', '2026-10-04T15:15:00.000Z'],
    ],
    [
      'half an hour that comes twice',
      '45 1 * * *',
      'Australia/Lord_Howe',
      '2026-04-04T00:00:00Z',
      ['2026-04-04T14:45:00.000Z', '2026-04-05T15:15:00.000Z'],
    ],
    [
      'a day that a country skipped has no times',
      '0 12 * * *',
      'Pacific/Apia',
      '2011-12-28T23:00:00Z',
      ['2011-12-29T22:00:00.000Z', '2011-12-30T22:00:00.000Z'],
    ],
    [
      'midnight that is skipped',
      '0 0 * * *',
      'Africa/Cairo',
      '2026-04-23T12:00:00Z',
      ['2026-04-23T22:00:00.000Z', '2026-04-24T21:00:00.000Z'],
    ],
  ])('%s', (_, expression, timezone, after, next) => {
    expect(nextTimes(cron(expression, timezone), ms(after), next.length)).toEqual(next)
  })
})

const part = (least: number, most: number) =>
  fc.oneof(
    fc.constant('*'),
    fc.integer({ min: least, max: most }).map(String),
    fc
      .tuple(fc.integer({ min: least, max: most }), fc.integer({ min: least, max: most }))
      .map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
    fc.integer({ min: 2, max: 7 }).map((step) => `*/${step}`),
    fc
      .array(fc.integer({ min: least, max: most }), { minLength: 1, maxLength: 3 })
      .map((list) => [...new Set(list)].join(',')),
  )
const expression = fc
  .tuple(part(0, 59), fc.oneof(part(0, 23), part(0, 4), part(1, 3)), part(1, 28), fc.constant('*'), part(0, 6))
  .map((fields) => fields.join(' '))
/** A zone, and a moment around one of its changes. */
const changes = [
  ['Europe/Berlin', '2026-03-29T01:00:00Z'],
  ['Europe/Berlin', '2026-10-25T01:00:00Z'],
  ['America/New_York', '2026-03-08T07:00:00Z'],
  ['America/New_York', '2026-11-01T06:00:00Z'],
  ['Australia/Lord_Howe', '2026-10-03T15:30:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00:00Z'],
  ['Pacific/Apia', '2011-12-30T10:00:00Z'],
  ['Africa/Cairo', '2026-04-23T22:00:00Z'],
  ['UTC', '2026-01-01T00:00:00Z'],
] as const
const around = fc
  .tuple(fc.constantFrom(...changes), fc.integer({ min: -300, max: 120 }))
  .map(([[zone, change], minutes]) => [zone, ms(change) + minutes * MINUTE_MS] as const)

describe('for any expression, zone and moment', () => {
  test('the next time is later, is nominal, and nothing between is', () => {
    fc.assert(
      fc.property(expression, around, (text, [zone, after]) => {
        const next = nextTime(cron(text, zone), after)
        if (next === undefined) return
        expect(next).toBeGreaterThan(after)
        expect(isNominal(text, zone, next), `${text} ${zone} ${new Date(next).toISOString()}`).toBe(true)
        for (let at = after + MINUTE_MS; at < Math.min(next, after + 12 * HOUR_MS); at += MINUTE_MS)
          expect(isNominal(text, zone, at), `${text} ${zone} ${new Date(at).toISOString()}`).toBe(false)
      }),
      { numRuns: 100 },
    )
  })

  test('times grow, each once, and how they are asked for makes no difference', () => {
    fc.assert(
      fc.property(expression, around, fc.integer({ min: 1, max: 9 }), (text, [zone, at], most) => {
        const timing = cron(text, zone)
        const until = at + 20 * HOUR_MS
        const all = timesBetween(timing, at, until, 2_000)
        expect(all).toEqual([...new Set(all)].sort((a, b) => a - b))
        expect(newestTimes(timing, at, until, most)).toEqual(all.slice(-most))
        expect(timesBetween(timing, at, until, most)).toEqual(all.slice(0, most))
      }),
      { numRuns: 40 },
    )
  })
})

test('an interval does not look at clocks, and counts in both directions', () => {
  const every: Timing = { kind: 'every', everyMs: 90 * MINUTE_MS, from: '2026-03-29T00:00:00.000Z' }
  expect(nextTimes(every, ms('2026-03-28T22:00:00Z'), 3)).toEqual([
    '2026-03-28T22:30:00.000Z',
    '2026-03-29T00:00:00.000Z',
    '2026-03-29T01:30:00.000Z',
  ])
  fc.assert(
    fc.property(fc.integer({ min: 1_000, max: 10_000_000 }), fc.integer({ min: 0, max: 4e12 }), (everyMs, after) => {
      const next = nextTime({ kind: 'every', everyMs, from: '2026-01-01T00:00:00.000Z' }, after)!
      expect(next - after).toBeGreaterThan(0)
      expect(next - after).toBeLessThanOrEqual(everyMs)
    }),
  )
})

test('a date comes once', () => {
  const at: Timing = { kind: 'at', at: '2026-05-01T00:00:00.000Z' }
  expect(nextTimes(at, ms('2026-04-01T00:00:00Z'), 2)).toEqual([at.at])
  expect(nextTime(at, ms(at.at))).toBeUndefined()
})

test('the newest of very many are found without looking at all of them', () => {
  const begun = performance.now()
  const newest = newestTimes(cron('* * * * * *'), ms('1990-01-01T00:00:00Z'), ms('2026-01-01T00:00:00Z'), 3)
  expect(newest.map((time) => new Date(time).toISOString())).toEqual([
    '2025-12-31T23:59:58.000Z',
    '2025-12-31T23:59:59.000Z',
    '2026-01-01T00:00:00.000Z',
  ])
  expect(performance.now() - begun).toBeLessThan(2_000)
})

test('jitter is within its bound, the same for everybody, and different for different times and names', () => {
  const due = Array.from({ length: 100 }, (_, n) => dueTime(n * HOUR_MS, 60_000, 'default.nightly') - n * HOUR_MS)
  expect(Math.min(...due)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...due)).toBeLessThan(60_000)
  expect(new Set(due).size).toBeGreaterThan(90)
  expect(dueTime(0, 60_000, 'default.nightly')).toBe(due[0])
  expect(dueTime(0, 60_000, 'default.weekly')).not.toBe(due[0])
  expect(dueTime(7, 0, 'default.nightly')).toBe(7)
})

describe('what is no expression is refused, with a reason', () => {
  test.each([
    ['', 'expected five fields'],
    ['* * * *', 'expected five fields'],
    ['0 0 0 1 1 * 2030', 'expected five fields'],
    ['2026-01-01T00:00:00Z', 'expected five fields'],
    ['60 * * * *', '"60" is not a minute'],
    ['* 24 * * *', '"24" is not an hour'],
    ['*/0 * * * *', 'is not a minute'],
    ['5/5 * * * *', 'is not a minute'],
    ['5-1 * * * *', 'is not a minute'],
    ['1,,2 * * * *', 'is not a minute'],
    ['? * * * *', 'is not a minute'],
    ['0 0 32 * *', 'day'],
    ['0 0 * 13 *', 'month'],
    ['0 0 ? * *', 'means nothing here'],
    ['0 0 + * +', 'means nothing here'],
    ['0 0 * * notaday', 'illegal characters'],
    ['@reboot', 'expected five fields'],
    [`${'1,'.repeat(200)}1 * * * *`, 'at most 256 characters'],
    ['0 0 30 2 *', 'never comes'],
    ['0 0 31 4,6,9,11 *', 'never comes'],
  ])('%j', (text, reason) => {
    const begun = performance.now()
    expect(cronFault(text)).toContain(reason)
    expect(performance.now() - begun).toBeLessThan(500)
  })

  test.each([
    '0 2 * * *',
    '@daily',
    '*/15 8-18 * * mon-fri',
    '0 0 L * *',
    '0 0 29 2 *',
    '0 9 * * fri#2',
    '30 0 0 * * *',
  ])('%j is one', (text) => {
    expect(cronFault(text)).toBeUndefined()
  })
})

test('a time zone has a name', () => {
  for (const name of ['Europe/Berlin', 'UTC', 'America/Argentina/Buenos_Aires', 'Etc/GMT+5'])
    expect(isTimezone(name), name).toBe(true)
  for (const name of ['+02:00', 'Mars/Olympus', '', 'Europe/Berlin\n', '../etc', 'x'.repeat(70)])
    expect(isTimezone(name), name).toBe(false)
})
