import { z } from 'zod'
import { failureClass } from '../domain/workflow/failure-schema.ts'
import { stageError, stageSchema, time } from './answers.ts'

export const stageDetailSchema = stageSchema
  .extend({
    attempts: z
      .array(
        z.object({
          attempt: z.int(),
          worker: z.string().optional(),
          scheduledAt: time.optional(),
          startedAt: time.optional().meta({ description: 'Not told of an attempt that reported its outcome alone.' }),
          finishedAt: time.optional(),
          outcome: z.enum(['completed', 'failed', 'cancelled']).optional(),
          error: stageError.optional(),
          class: failureClass.optional(),
          rule: z.string().optional().meta({ description: 'The rule that put the failure into its class.' }),
          recovery: z
            .string()
            .optional()
            .meta({ description: 'What followed.', examples: ['retry'] }),
        }),
      )
      .readonly(),
  })
  .meta({ id: 'Stage', description: 'A stage of a run, with each of its attempts.' })
