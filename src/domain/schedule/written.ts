import type { Json } from '../message.ts'
import { durationText } from '../workflow/units.ts'
import type { ScheduleSpec, Timing } from './events.ts'

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
