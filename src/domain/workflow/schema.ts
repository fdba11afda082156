import * as z from 'zod'
import { workflowSchedule } from '../schedule/schema.ts'
import { asWritten, environment } from './builtin-inputs.ts'
import { failureRules } from './failure-schema.ts'
import { handlerNamePattern, handlerNameRule } from './handler-names.ts'
import { duration } from './quantities.ts'
import { backoff, name, namePattern, resources, runsOn } from './schema-parts.ts'

/** The syntax of a workflow: every member there is, with its unit. What it means, and what can run yet, `compile.ts` says. */

export { namePattern }

const timeout = duration.refine((ms) => ms > 0, 'a timeout is longer than nothing')

const values = z.record(z.string(), z.unknown())

const retry = z
  .strictObject({ maxAttempts: z.number().int().min(1).max(100).optional(), backoff: backoff.optional() })
  .meta({
    description:
      'How often a stage is tried, the first time included; what a stage leaves out comes from the workflow.',
  })

const concurrency = z.strictObject({
  group: z.string().min(1).max(255),
  limit: z.number().int().min(1).max(1_000).optional(),
  onConflict: z.enum(['queue', 'cancel-running', 'reject']).optional(),
})

const handlerName = z.string().regex(handlerNamePattern, handlerNameRule)

const step = z.strictObject({
  uses: handlerName,
  queue: name('a queue').optional(),
  runsOn: runsOn(0).optional(),
  with: values.optional(),
  env: environment.optional(),
  timeout: timeout.optional(),
  retry: retry.optional(),
})

/** The two settings stand beside the axes, and so no axis can be called as they are. */
const matrix = z
  .object({
    maxParallel: z.int().min(1).max(1_000).optional().meta({ description: 'How many run at once; all without it.' }),
    failFast: z.boolean().optional().meta({ description: 'Whether one that fails ends the others; true without it.' }),
  })
  .catchall(asWritten(z.array(z.unknown()).max(1_000)))
  .superRefine((matrix, context) => {
    const axes = Object.keys(matrix).filter((axis) => axis !== 'maxParallel' && axis !== 'failFast')
    if (axes.length === 0) context.addIssue({ code: 'custom', message: 'a matrix has at least one axis' })
    for (const axis of axes)
      if (!/^[a-zA-Z][a-zA-Z0-9_]{0,31}$/.test(axis))
        context.addIssue({
          code: 'custom',
          path: [axis],
          message: 'an axis is named in letters, digits and underscores',
        })
  })
  .meta({
    description: 'One stage for each combination of the values of its axes: lists, or an expression that yields one.',
  })

const labels = z
  .record(z.string().regex(/^[a-zA-Z][a-zA-Z0-9._-]{0,62}$/, 'not the name of a label'), z.string().max(256))
  .refine((labels) => Object.keys(labels).length <= 32, 'at most 32 labels')

const schedules = z
  .record(name('a schedule'), workflowSchedule)
  .refine((schedules) => Object.keys(schedules).length <= 100, 'at most 100 schedules')

export const stageSchema = z.strictObject({
  uses: handlerName.meta({ description: 'The handler that does the work: shell, http, wait, or one of your own.' }),
  description: z.string().max(4_096).optional(),
  needs: z
    .union([z.array(z.string()), z.string()], { error: 'expected the name of a stage or a list of them' })
    .optional()
    .meta({ description: 'The stages that have to end before this one.' }),
  when: z
    .union([z.string(), z.boolean()], { error: 'expected an expression that is true or false' })
    .optional()
    .meta({ description: 'An expression; where it is false the stage is skipped.' }),
  trigger: z.enum(['all-success', 'all-done', 'any-success', 'any-failure']).optional(),
  matrix: matrix.optional(),
  with: values.optional().meta({ description: 'What the handler is given.' }),
  env: environment.optional().meta({ description: 'Variables of a script, besides those in `with`.' }),
  timeout: timeout.optional(),
  retry: retry.optional(),
  resources: resources.optional(),
  runsOn: runsOn(1).optional(),
  queue: name('a queue').optional(),
  compensate: step.optional().meta({ description: 'Undoes the stage, where the run fails after it.' }),
  continueOnError: z
    .boolean()
    .optional()
    .meta({ description: 'Whether a failure of the stage skips it, and neither holds up nor fails the rest.' }),
  fallback: step.optional().meta({ description: 'Takes the place of the stage once that has failed for good.' }),
})

/** A workflow as people write it. Its output has durations in milliseconds and amounts of memory in bytes. */
export const workflowSchema = z
  .strictObject({
    name: name('a workflow'),
    description: z.string().max(4_096).optional(),
    input: values.optional().meta({ description: 'A JSON Schema of what a run is given.' }),
    concurrency: concurrency.optional(),
    timeout: timeout.optional(),
    retry: retry.optional(),
    onFailure: z.enum(['fail-fast', 'continue', 'compensate']).optional(),
    labels: labels.optional().meta({ description: 'Of every run, besides those that it is started with.' }),
    env: environment.optional().meta({ description: 'Variables of every script.' }),
    outputs: values.optional().meta({ description: 'What a run answers, from the outputs of its stages.' }),
    failures: failureRules.optional(),
    schedules: schedules.optional().meta({ description: 'When runs start by themselves.' }),
    stages: z
      .record(name('a stage'), stageSchema)
      .refine((stages) => Object.keys(stages).length > 0, 'a workflow has at least one stage'),
  })
  .meta({ title: 'Millrace workflow' })

export type WorkflowDocument = z.output<typeof workflowSchema>
export type StageDocument = WorkflowDocument['stages'][string]
