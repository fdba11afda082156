import { Cron } from 'croner'
import type { Timing } from './events.ts'

/**
 * The nominal times of a schedule: those that its cron expression, its interval or its date says, whatever happens at them. A time
 * of day that a clock skips is the first moment after the gap; one that comes twice is the first of the two. Only
 * an hour of `*` counts hours as they pass: twice where the clock repeats one, and not in a gap.
 */

const MAX_LENGTH = 256
const MAX_CACHED = 2_000
/** Whether an expression comes at all does not depend on when it is asked. */
const REFERENCE_MS = Date.parse('2026-01-01T00:00:00.000Z')

const nicknames: { readonly [name: string]: string } = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

const parsed = new Map<string, Cron>()

/** What is wrong with an expression, or undefined. */
export function cronFault(expression: string): string | undefined {
  try {
    const never = cronOf(expression, 'UTC').nextRun(new Date(REFERENCE_MS)) === null
    return never ? 'never comes: no year has such a day' : undefined
  } catch (error) {
    if (error instanceof Error) return error.message.replace(/^CronPattern: /, '')
    throw error
  }
}

/** Whether it is the name of a time zone; an offset such as `+02:00` knows no daylight saving and is none. */
export function isTimezone(name: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(name)) return false
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }) !== undefined
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}

/** The first nominal time after a moment, both in milliseconds since 1970; undefined where there is none. */
export function nextTime(timing: Timing, afterMs: number): number | undefined {
  switch (timing.kind) {
    case 'cron':
      return cronOf(timing.expression, timing.timezone).nextRun(new Date(afterMs))?.getTime()
    case 'every': {
      const fromMs = Date.parse(timing.from)
      return fromMs + (Math.floor((afterMs - fromMs) / timing.everyMs) + 1) * timing.everyMs
    }
    case 'at': {
      const atMs = Date.parse(timing.at)
      return atMs > afterMs ? atMs : undefined
    }
  }
}

/** The nominal times after one moment and up to another, the first `most` of them. */
export function timesBetween(timing: Timing, afterMs: number, untilMs: number, most: number): readonly number[] {
  const times: number[] = []
  while (times.length < most) {
    const next = nextTime(timing, times.at(-1) ?? afterMs)
    if (next === undefined || next > untilMs) break
    times.push(next)
  }
  return times
}

/** The next `count` nominal times after a moment, ISO 8601. */
export const nextTimes = (timing: Timing, afterMs: number, count: number): readonly string[] =>
  timesBetween(timing, afterMs, Infinity, count).map((ms) => new Date(ms).toISOString())

/** Beyond this nobody wants to know how many, and counting takes its time. */
const MAX_COUNTED = 1_000

/** How many nominal times there are after one moment and up to another; `more` than were counted. */
export function countedTimes(timing: Timing, afterMs: number, untilMs: number): { count: number; more?: true } {
  const times = timesBetween(timing, afterMs, untilMs, MAX_COUNTED + 1)
  return times.length > MAX_COUNTED ? { count: MAX_COUNTED, more: true } : { count: times.length }
}

/** The last `most` of the nominal times after one moment and up to another: looked for by halving, so that a long time and a short interval cost little. */
export function newestTimes(timing: Timing, afterMs: number, untilMs: number, most: number): readonly number[] {
  let tooMany = afterMs
  let tooFew = untilMs
  let times = timesBetween(timing, tooMany, untilMs, most + 1)
  if (times.length <= most) return times
  while (times.length !== most) {
    const middle = Math.floor((tooMany + tooFew) / 2)
    times = timesBetween(timing, middle, untilMs, most + 1)
    if (times.length > most) tooMany = middle
    else tooFew = middle
  }
  return times
}

/** When a nominal time is due: up to `jitterMs` later, by what every process works out alike of the name and the time. */
export function dueTime(nominalMs: number, jitterMs: number, name: string): number {
  return jitterMs === 0 ? nominalMs : nominalMs + (hashOf(`${name} ${nominalMs}`) % jitterMs)
}

/** FNV-1a, 32 bits: http://www.isthe.com/chongo/tech/comp/fnv/ */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}

function cronOf(expression: string, timezone: string): Cron {
  const key = `${timezone} ${expression}`
  const known = parsed.get(key)
  if (known) return known
  const cron = new Cron(spelledOut(expression), {
    timezone,
    mode: '6-part',
    fixedTimeRule: 'no-wildcard',
    paused: true,
  })
  if (parsed.size >= MAX_CACHED) parsed.delete(parsed.keys().next().value!)
  parsed.set(key, cron)
  return cron
}

/**
 * Six fields, of which seconds, minutes and hours are lists: the library takes what has a `*` or a step for an interval, and
 * only what has none for times of day.
 */
function spelledOut(expression: string): string {
  if (expression.length > MAX_LENGTH) throw new Error(`an expression has at most ${MAX_LENGTH} characters`)
  const fields = (nicknames[expression.trim()] ?? expression).trim().split(/\s+/)
  if (fields.length === 5) fields.unshift('0')
  if (fields.length !== 6)
    throw new Error('expected five fields (minute, hour, day, month, day of the week), or six with seconds before them')
  const [seconds, minutes, hours, ...days] = fields as [string, string, string, ...string[]]
  const odd = days.find((field) => !/^[0-9A-Za-z*/,#-]+$/.test(field))
  if (odd !== undefined) throw new Error(`${JSON.stringify(odd)} has a character that means nothing here`)
  const ofHours = valuesOf(hours, 24, 'an hour')
  const hour = ofHours.length === 24 ? '*' : ofHours.join(',')
  return [valuesOf(seconds, 60, 'a second').join(','), valuesOf(minutes, 60, 'a minute').join(','), hour, ...days].join(
    ' ',
  )
}

/** What a field of times stands for: `*`, `5`, `1-5`, a step after `*` or a range, and lists of those. */
function valuesOf(field: string, size: number, what: string): readonly number[] {
  const values = new Set<number>()
  for (const part of field.split(',')) {
    const [, range, first = '0', last, step = '1'] = /^(\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part) ?? []
    const from = Number(first)
    const to = range === '*' ? size - 1 : Number(last ?? first)
    const stepped = part.includes('/')
    if (range === undefined || from > to || to >= size || step === '0' || (stepped && range !== '*' && !last))
      throw new Error(
        `${JSON.stringify(part)} is not ${what} of 0 to ${size - 1}, a range such as 1-5, or */5 or 1-9/2`,
      )
    for (let value = from; value <= to; value += Number(step)) values.add(value)
  }
  return [...values].sort((a, b) => a - b)
}
