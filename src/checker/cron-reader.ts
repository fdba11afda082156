// Whether a moment is one that a cron expression names, worked out by looking at the clock on the wall of its time zone.

/** One field: the values that it names; undefined where it says what is not read here, and anything may be meant. */
type Field = ReadonlySet<number> | undefined
type Wall = {
  readonly second: number
  readonly minute: number
  readonly hour: number
  readonly day: number
  readonly month: number
  readonly weekday: number
}

const HOUR_MS = 3_600_000
/** A clock that skips more than this has skipped days, and what was to happen on them does not. */
const LONGEST_GAP_MS = 3 * HOUR_MS
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const NICKNAMES: { readonly [name: string]: string } = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

/** The moment is in milliseconds since 1970. */
export function isNominal(expression: string, timezone: string, ms: number): boolean {
  if (ms % 1_000 !== 0) return false
  const fields = (NICKNAMES[expression.trim()] ?? expression).trim().split(/\s+/)
  if (fields.length === 5) fields.unshift('0')
  const says = reader(fields)
  const hours = rangeOf(fields[2]!, 0, 23)
  const here = wallMs(ms, timezone)
  // Every hour that passes, as the clocks have it.
  if (hours?.size === 24) return says(here)
  if (says(here) && !cameBefore(ms, timezone)) return true
  const skippedMs = here - wallMs(ms - 1_000, timezone) - 1_000
  if (skippedMs <= 0 || skippedMs > LONGEST_GAP_MS) return false
  for (let wall = here - skippedMs; wall < here; wall += 1_000) if (says(wall)) return true
  return false
}

/** Whether the clocks have shown this time of day before, on the same day. */
function cameBefore(ms: number, timezone: string): boolean {
  const here = wallMs(ms, timezone)
  const earlierMs = ms - LONGEST_GAP_MS
  const turnedBackMs = wallMs(earlierMs, timezone) - earlierMs - (here - ms)
  return turnedBackMs > 0 && wallMs(ms - turnedBackMs, timezone) === here
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** What the clock on the wall shows, as the milliseconds that it would be in UTC. */
function wallMs(ms: number, timeZone: string): number {
  let format = formats.get(timeZone)
  if (!format) {
    const number = 'numeric'
    format = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone, hourCycle: 'h23', year: number, month: number, day: number },
      ...{ hour: number, minute: number, second: number },
    })
    formats.set(timeZone, format)
  }
  const parts = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]))
  return Date.UTC(parts.year!, parts.month! - 1, parts.day, parts.hour, parts.minute, parts.second)
}

function reader(fields: readonly string[]): (wallMs: number) => boolean {
  const [seconds, minutes, hours] = [rangeOf(fields[0]!, 0, 59), rangeOf(fields[1]!, 0, 59), rangeOf(fields[2]!, 0, 23)]
  const [dayField, monthField, weekdayField] = fields.slice(3) as [string, string, string]
  const days = rangeOf(dayField, 1, 31)
  const months = rangeOf(monthField, 1, 12, MONTHS)
  const weekdays = rangeOf(weekdayField, 0, 7, WEEKDAYS)
  const either = dayField !== '*' && weekdayField !== '*'
  return (wall) => {
    const { second, minute, hour, day, month, weekday } = shown(wall)
    const onDay = has(days, day)
    const onWeekday = has(weekdays, weekday) || (weekday === 0 && has(weekdays, 7))
    return (
      has(seconds, second) &&
      has(minutes, minute) &&
      has(hours, hour) &&
      has(months, month) &&
      (either ? onDay || onWeekday : onDay && onWeekday)
    )
  }
}

const has = (field: Field, value: number): boolean => field === undefined || field.has(value)

function shown(wall: number): Wall {
  const date = new Date(wall)
  return {
    second: date.getUTCSeconds(),
    minute: date.getUTCMinutes(),
    hour: date.getUTCHours(),
    day: date.getUTCDate(),
    month: date.getUTCMonth() + 1,
    weekday: date.getUTCDay(),
  }
}

function rangeOf(field: string, least: number, most: number, names: readonly string[] = []): Field {
  const values = new Set<number>()
  const numberOf = (text: string): number => {
    const named = names.indexOf(text.toLowerCase())
    return named === -1 ? Number(text) : named + least
  }
  for (const part of field.split(',')) {
    const [range = '', step = '1'] = part.split('/')
    const [first = '', last = first] = range === '*' ? [String(least), String(most)] : range.split('-')
    const [from, to] = [numberOf(first), numberOf(last)]
    // The last day, the nearest working day, the second Friday.
    if (Number.isNaN(from) || Number.isNaN(to)) return undefined
    for (let value = from; value <= to; value += Number(step)) values.add(value)
  }
  return values
}
