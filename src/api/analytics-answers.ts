// How runs and stages went over time, as HTTP has it.
import { z } from 'zod'
import { time } from './answers.ts'

const spread = z
  .object({ p50Ms: z.int(), p95Ms: z.int(), p99Ms: z.int() })
  .meta({ description: 'Percentiles, off by 5 % at most; those of any stretch are of all that ended in it.' })
const tally = z.object({
  ended: z.int().meta({ description: 'Runs; of a stage the runs that had it.' }),
  completed: z.int(),
  failed: z.int(),
  cancelled: z.int(),
  skipped: z.int(),
  successRate: z
    .number()
    .optional()
    .meta({ description: 'Of those that completed or failed, the share that completed.' }),
  attempts: z.int(),
  retries: z.int(),
  flakiness: z
    .number()
    .optional()
    .meta({ description: 'Of those that completed, the share in which an attempt had failed before.' }),
  averageMs: z.int(),
  duration: spread.optional(),
  wait: spread.optional().meta({ description: 'Of stages: from when an attempt was handed out until it began.' }),
})
const stretch = {
  from: time.meta({ description: 'From this time on: the beginning of an hour or a day.' }),
  to: time.meta({ description: 'Before this time.' }),
  grain: z.enum(['hour', 'day']).meta({ description: 'What was added up.' }),
}

export const analyticsSchema = z
  .object({
    items: z
      .array(
        tally.extend({
          key: z.string().meta({
            description: 'Name of the workflow, `name=value` of the label, `workflow/stage`; empty for the namespace.',
          }),
          bottleneckShare: z.number().optional().meta({
            description: 'Of a stage: the time of its attempts as a share of that of all runs of its workflow.',
          }),
        }),
      )
      .readonly(),
    ...stretch,
  })
  .meta({ id: 'Analytics' })

export const seriesSchema = z
  .object({
    items: z.array(tally.extend({ since: time })).readonly(),
    ...stretch,
    step: z.enum(['hour', 'day', 'week']),
  })
  .meta({ id: 'MetricSeries', description: 'A point for each step in which something ended.' })

const spreads = ['duration', 'wait'].flatMap((of) => ['p50Ms', 'p95Ms', 'p99Ms'].map((name) => `${of}.${name}`))
const tallyColumns = [
  ...['ended', 'completed', 'failed', 'cancelled', 'skipped', 'successRate', 'attempts', 'retries', 'flakiness'],
  ...['averageMs', ...spreads],
]
export const analyticsColumns = ['key', ...tallyColumns, 'bottleneckShare']
export const seriesColumns = ['since', ...tallyColumns]
