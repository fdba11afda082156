import * as z from 'zod'
import type { Json } from '../message.ts'
import { duration, instant } from '../workflow/quantities.ts'
import { name } from '../workflow/schema-parts.ts'
import type { AskedSpec, AskedTiming } from './commands.ts'
import { cronFault, isTimezone } from './nominal-times.ts'

/** A schedule as people write it: in a workflow, whose name it then need not say, or by itself. */

const MAX_CATCH_UP = 100
const DAY_MS = 86_400_000

const cron = z
  .string()
  .superRefine((expression, context) => {
    const fault = cronFault(expression)
    if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
  })
  .meta({
    description: 'Minute, hour, day, month, day of the week; six fields begin with seconds. Or @daily and the like.',
    examples: ['0 2 * * *', '*/15 8-18 * * mon-fri'],
  })

const labels = z
  .record(z.string().regex(/^[a-zA-Z][a-zA-Z0-9._-]{0,62}$/, 'not the name of a label'), z.string().max(256))
  .refine((labels) => Object.keys(labels).length <= 31, 'at most 31 labels')

const members = {
  cron: cron.optional(),
  timezone: z
    .string()
    .refine(isTimezone, 'expected the name of a time zone such as Europe/Berlin')
    .optional()
    .meta({ description: 'Of the cron expression; UTC without it.', examples: ['Europe/Berlin'] }),
  every: duration
    .refine((ms) => ms >= 1_000, 'an interval is 1s or longer')
    .optional()
    .meta({ description: 'The time between two runs, whatever the clocks do.' }),
  from: instant.optional().meta({ description: 'What `every` counts from; without it, the time of the definition.' }),
  at: instant.optional().meta({ description: 'The one time to run at.' }),
  input: (z.unknown() as z.ZodType<Json>).optional().meta({ description: 'What every run is given.' }),
  labels: labels.optional().meta({ description: 'Of every run, besides `schedule`, which names the schedule.' }),
  priority: z.int().min(-100).max(100).optional(),
  overlap: z
    .enum(['skip', 'queue', 'cancel-running', 'allow'])
    .optional()
    .meta({ description: 'What happens at a time at which the run before has not ended; `skip` without it.' }),
  queueLimit: z.int().min(1).max(100).optional().meta({ description: 'How many times wait at most; 10 without it.' }),
  misfire: z
    .enum(['once', 'all', 'none'])
    .optional()
    .meta({ description: 'Which times are made up for that nobody was there for; `once` without it.' }),
  catchUp: z
    .strictObject({
      max: z.int().min(1).max(MAX_CATCH_UP).optional(),
      within: duration.refine((ms) => ms >= 60_000 && ms <= 30 * DAY_MS, 'from 1m to 30d').optional(),
    })
    .optional()
    .meta({ description: 'At most how many, 10 without it, and how long ago at most, 1d without it.' }),
  jitter: duration
    .refine((ms) => ms <= DAY_MS, 'at most 1d')
    .optional()
    .meta({ description: 'Each run starts up to this much later, so that not all start at once.' }),
}

type Written = z.output<z.ZodObject<typeof members>>
type Fault = readonly [member: string, message: string]

/** What has no effect is refused: who writes a member counts on it. */
function faultsOf(written: Written): readonly Fault[] {
  const { cron, every, at, overlap = 'skip', misfire = 'once' } = written
  const without: readonly (readonly [member: keyof Written, needed: boolean, what: string])[] = [
    ['timezone', cron !== undefined, 'where there is no `cron`'],
    ['from', every !== undefined, 'where there is no `every`'],
    ['queueLimit', overlap === 'queue', 'unless `overlap` is queue'],
    ['catchUp', misfire !== 'none', 'where `misfire` is none'],
  ]
  const faults: Fault[] = without
    .filter(([member, needed]) => written[member] !== undefined && !needed)
    .map(([member, _, what]) => [member, `\`${member}\` has no effect ${what}`])
  if ([cron, every, at].filter((timing) => timing !== undefined).length !== 1)
    faults.push(['', 'a schedule has one of `cron`, `every` and `at`'])
  if (written.catchUp?.max !== undefined && misfire === 'once')
    faults.push(['catchUp', '`max` has no effect where `misfire` is once; say `misfire: all`'])
  if (misfire === 'all' && overlap !== 'queue' && overlap !== 'allow')
    faults.push(['misfire', 'all has no effect unless `overlap` is queue or allow: only one of them would run'])
  return faults
}

function refuseIneffective(written: Written, context: z.RefinementCtx): void {
  for (const [member, message] of faultsOf(written))
    context.addIssue({ code: 'custom', message, path: member === '' ? [] : [member] })
}

const oneTiming = ['cron', 'every', 'at'].map((member) => ({ required: [member] }))

/** The schedule of a workflow's definition. */
export const workflowSchedule = z.strictObject(members).superRefine(refuseIneffective).meta({ oneOf: oneTiming })

/** A schedule by itself. */
export const scheduleSchema = z
  .strictObject({ workflow: name('a workflow'), version: z.int().min(1).optional(), ...members })
  .superRefine(refuseIneffective)
  .meta({ oneOf: oneTiming })

/** The schedule with every default filled in. */
export function compileSchedule(
  written: Written & { readonly version?: number | undefined },
  workflow: string,
): AskedSpec {
  const { version, input, labels, priority = 0, overlap = 'skip', misfire = 'once' } = written
  return {
    workflow,
    ...(version === undefined ? {} : { version }),
    ...(input === undefined ? {} : { input }),
    ...(labels === undefined ? {} : { labels }),
    priority,
    timing: timingOf(written),
    overlap,
    misfire,
    catchUp: { max: written.catchUp?.max ?? 10, withinMs: written.catchUp?.within ?? DAY_MS },
    jitterMs: written.jitter ?? 0,
    queueLimit: written.queueLimit ?? 10,
  }
}

function timingOf({ cron, timezone = 'UTC', every, from, at }: Written): AskedTiming {
  if (cron !== undefined) return { kind: 'cron', expression: cron, timezone }
  if (at !== undefined) return { kind: 'at', at: new Date(at).toISOString() }
  const counted = from === undefined ? {} : { from: new Date(from).toISOString() }
  return { kind: 'every', everyMs: every!, ...counted }
}
