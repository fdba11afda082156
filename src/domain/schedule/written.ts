import type { Json } from '../message.ts'
import type { ScheduleSpec, Timing } from './events.ts'

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const

/** `90m` and the like: the largest unit of which it is a whole number. */
function durationText(ms: number): string {
  const [unit, size] = units.find(([, unitMs]) => ms > 0 && ms % unitMs === 0) ?? ['ms', 1]
  return `${ms / size}${unit}`
}

/** The schedule as it could be written, with its defaults and without what would have no effect. */
export function writtenSchedule(spec: ScheduleSpec): { readonly [member: string]: Json } {
  const { workflow, version, input, labels, priority, timing, overlap, misfire, catchUp, jitterMs, queueLimit } = spec
  const within = durationText(catchUp.withinMs)
  return {
    workflow,
    ...(version === undefined ? {} : { version }),
    ...writtenTiming(timing),
    ...(input === undefined ? {} : { input }),
    ...(labels === undefined ? {} : { labels }),
    priority,
    overlap,
    ...(overlap === 'queue' ? { queueLimit } : {}),
    misfire,
    ...(misfire === 'once' ? { catchUp: { within } } : {}),
    ...(misfire === 'all' ? { catchUp: { max: catchUp.max, within } } : {}),
    jitter: durationText(jitterMs),
  }
}

function writtenTiming(timing: Timing): { readonly [member: string]: Json } {
  switch (timing.kind) {
    case 'cron':
      return { cron: timing.expression, timezone: timing.timezone }
    case 'every':
      return { every: durationText(timing.everyMs), from: timing.from }
    case 'at':
      return { at: timing.at }
  }
}
