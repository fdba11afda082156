// What is answered about failures.
import { z } from 'zod'
import { failureClass } from '../domain/workflow/failure-schema.ts'
import { time } from './answers.ts'

const recovery = z.union([
  z.object({
    action: z.literal('retry'),
    maxAttempts: z.int().optional(),
    backoff: z
      .object({
        type: z.enum(['fixed', 'linear', 'exponential']),
        initialMs: z.number(),
        maxMs: z.number(),
        jitter: z.number(),
      })
      .readonly()
      .optional(),
    queue: z.string().optional(),
  }),
  z.object({ action: z.enum(['skip', 'fallback', 'fail-fast', 'continue', 'compensate', 'ask']) }),
])
export const classifiedSchema = z
  .object({
    class: failureClass,
    rule: z.string().meta({ description: 'The rule that matched, by name; `none` where none did.' }),
    builtIn: z.boolean().meta({ description: 'Whether that is a rule that comes with Millrace.' }),
    recovery: recovery.meta({ description: 'What follows: what the rule says, else what the class does by default.' }),
    retries: z.boolean().meta({ description: 'Whether a failure of this class is tried again by default.' }),
  })
  .meta({ id: 'ClassifiedFailure' })

export const failuresSchema = z
  .object({
    items: z
      .array(
        z.object({
          class: z.string().optional(),
          rule: z.string().optional(),
          workflow: z.string().optional(),
          stage: z.string().optional(),
          failures: z.int().meta({ description: 'Attempts that failed.' }),
          runs: z.int().meta({ description: 'Runs that they were in.' }),
          recovered: z.int().meta({ description: 'Those after which a later attempt of the stage completed.' }),
          byRecovery: z
            .record(z.string(), z.int())
            .meta({ description: 'How many led to what.', examples: [{ retry: 3, 'fail-fast': 1 }] }),
          lastAt: time,
        }),
      )
      .readonly(),
    more: z.boolean().meta({ description: 'There are other groups, which are smaller.' }),
    from: time,
    to: time,
  })
  .meta({ id: 'Failures' })
