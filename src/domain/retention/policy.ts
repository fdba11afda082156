import * as z from 'zod'
import { duration } from '../workflow/quantities.ts'

/** How long things are kept, as people write it. What no rule names is kept for ever. */

const MINUTE_MS = 60_000
const age = duration
  .refine((ms) => ms >= MINUTE_MS, 'an age is 1m or longer')
  .meta({ description: 'Goes when it is older than this.', examples: ['90d'] })

const label = z.string().regex(/^[a-zA-Z][a-zA-Z0-9._-]{0,62}(=.{0,256})?$/s, 'expected a label, as name or name=value')

/** Of runs that have ended; the age counts from the end. */
const runRule = z
  .strictObject({
    olderThan: age.optional(),
    atMost: z
      .int()
      .min(0)
      .max(1_000_000)
      .optional()
      .meta({ description: 'Of each workflow only so many stay, those that started last.' }),
    statuses: z
      .array(z.enum(['completed', 'failed', 'cancelled']))
      .min(1, 'expected at least one status')
      .max(3)
      .optional()
      .meta({ description: 'The rule is about runs that ended so; about all of them without it.' }),
  })
  .refine(({ olderThan, atMost }) => olderThan !== undefined || atMost !== undefined, {
    error: 'a rule says `olderThan`, `atMost`, or both, whichever comes first',
  })
const runRules = z.array(runRule).min(1, 'expected at least one rule').max(10)
const rowRule = z.strictObject({ olderThan: age })

const describes = <T extends z.ZodType>(rule: T, description: string) => rule.optional().meta({ description })

export const retentionPolicy = z.strictObject({
  hold: z
    .array(label)
    .max(20)
    .optional()
    .meta({ description: 'Runs with one of these labels stay, whatever the rules say.', examples: [['legal-hold']] }),
  streams: describes(runRules, 'Streams of runs are put into the archive, from where they are still read.'),
  executions: describes(runRules, 'Rows of runs, with their stages and attempts: lists show them no more.'),
  audit: describes(rowRule, 'Rows of the audit. It begins later then, and what is there still verifies.'),
  analyticsByHour: describes(rowRule, 'What runs of an hour came to; that of their day stays.'),
  analyticsByDay: describes(rowRule, 'What runs of a day came to.'),
  pools: describes(rowRule, 'What pools had in use, and who held it.'),
  scheduleRuns: describes(rowRule, 'What became of the times of schedules.'),
})

/** Ages in milliseconds. */
export type RetentionPolicy = z.output<typeof retentionPolicy>
export type RunRule = z.output<typeof runRule>
export type RowRule = z.output<typeof rowRule>

/** Tables that lose rows by their age; those of runs lose them run by run. */
export const agedTables = ['audit', 'analyticsByHour', 'analyticsByDay', 'pools', 'scheduleRuns'] as const
export type AgedTable = (typeof agedTables)[number]
