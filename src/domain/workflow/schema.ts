import * as z from 'zod'
import { parseDurationMs, parseInstantMs, parseMemoryBytes } from './units.ts'

/** The syntax of a workflow: every member there is, with its unit. What it means, and what can run yet, `compile.ts` says. */

export const namePattern = /^[a-z][a-z0-9_-]{0,62}$/
const nameRule =
  'starts with a lower-case letter and has at most 63 lower-case letters, digits, hyphens and underscores'
const name = (what: string) => z.string().regex(namePattern, `the name of ${what} ${nameRule}`)

const duration = z
  .string()
  .refine((text) => parseDurationMs(text) !== undefined, 'expected a duration such as 500ms, 10s, 5m, 2h or 1d')
  .transform((text) => parseDurationMs(text)!)
  .meta({ description: 'A duration: a number and ms, s, m, h or d.', examples: ['500ms', '10s', '5m', '2h', '1d'] })

const timeout = duration.refine((ms) => ms > 0, 'a timeout is longer than nothing')

const memory = z
  .union([z.number().int().positive().transform(String), z.string()])
  .refine((text) => parseMemoryBytes(text) !== undefined, 'expected an amount of memory such as 512Mi or 2Gi')
  .transform((text) => parseMemoryBytes(text)!)
  .meta({ description: 'Bytes, or a number and Ki, Mi, Gi or Ti.', examples: ['512Mi', '2Gi'] })

const cpu = z
  .number()
  .positive()
  .max(1_024)
  .meta({ description: 'Cores; parts are allowed.', examples: [0.5, 2] })

/** A value that may come from an expression; then only the handler sees it, when an attempt is scheduled. */
function orExpression<T extends z.ZodType>(schema: T, what: string) {
  const error = `expected ${what}, or an expression in \${{ }}`
  return z.union([schema, z.string().regex(/\$\{\{/, error)], { error })
}

const env = z
  .record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'a variable is named in letters, digits and underscores'),
    z.union([z.string(), z.number(), z.boolean()], {
      error: 'the value of a variable is text, a number or true or false',
    }),
  )
  .meta({ description: 'Variables of the environment; scripts get values this way and no other.' })

const values = z.record(z.string(), z.unknown())

const backoff = z
  .strictObject({
    type: z.enum(['fixed', 'linear', 'exponential']).optional(),
    initial: duration.optional(),
    max: duration.optional(),
    jitter: z.number().min(0).max(1).optional(),
  })
  .refine(({ initial, max }) => initial === undefined || max === undefined || initial <= max, {
    error: '`initial` is longer than `max`',
    path: ['max'],
  })
  .meta({ description: 'The pause between attempts; by default exponential from 1s to 1m, give or take a fifth.' })

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

const resources = z.strictObject({
  pool: name('a pool'),
  slots: z.number().int().min(1).max(10_000).optional(),
  cpu: cpu.optional(),
  memory: memory.optional(),
  disk: memory.optional(),
})

const handlerName = z
  .string()
  .regex(
    /^[a-z][a-z0-9-]{0,62}$/,
    'a handler is named in lower-case letters, digits and hyphens, such as migrate-tables',
  )

const step = z.strictObject({
  uses: handlerName,
  with: values.optional(),
  env: env.optional(),
  timeout: timeout.optional(),
  retry: retry.optional(),
})

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
  matrix: z.record(z.string(), orExpression(z.array(z.unknown()), 'a list')).optional(),
  with: values.optional().meta({ description: 'What the handler is given.' }),
  env: env.optional(),
  timeout: timeout.optional(),
  retry: retry.optional(),
  resources: resources.optional(),
  runsOn: z.union([z.string(), z.array(z.string())], { error: 'expected a label or a list of labels' }).optional(),
  queue: name('a queue').optional(),
  compensate: step.optional(),
  continueOnError: z.boolean().optional(),
  fallback: step.optional(),
  outputs: values.optional(),
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
    labels: z.record(z.string(), z.string()).optional(),
    env: env.optional(),
    outputs: values.optional(),
    stages: z
      .record(name('a stage'), stageSchema)
      .refine((stages) => Object.keys(stages).length > 0, 'a workflow has at least one stage'),
  })
  .meta({ title: 'Millrace workflow' })

export type WorkflowDocument = z.output<typeof workflowSchema>
export type StageDocument = WorkflowDocument['stages'][string]

const httpStatus = orExpression(
  z
    .number()
    .refine((status) => Number.isInteger(status) && status >= 100 && status <= 599, 'an HTTP status is 100 to 599'),
  'an HTTP status',
)
const instant = 'a time with its zone, such as 2030-01-31T18:00:00Z'
const time = z
  .string()
  .refine((text) => parseInstantMs(text) !== undefined, `expected ${instant}, or an expression in \${{ }}`)
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

/** What `with` holds for the handlers that come with Millrace; any other handler checks its own when an attempt starts. */
export const handlerSchemas = {
  shell: z.strictObject({
    run: z.string().min(1).max(65_536),
    env: env.optional(),
    cwd: z.string().min(1).max(4_096).optional(),
    grace: duration.optional(),
  }),
  http: z.strictObject({
    url: orExpression(z.url({ protocol: /^https?$/ }), 'an address with http or https'),
    method: orExpression(z.enum(methods), `one of ${methods.join(', ')}`).optional(),
    headers: z
      .record(z.string().regex(/^[\w!#$%&'*+.^`|~-]{1,256}$/, 'not the name of a header'), z.string())
      .optional(),
    body: z.unknown().optional(),
    expect: z
      .union([httpStatus, z.array(httpStatus).min(1)], { error: 'expected an HTTP status or a list of them' })
      .optional(),
  }),
  wait: z
    .strictObject({
      duration: orExpression(duration, 'a duration such as 10s').optional(),
      until: orExpression(time, instant).optional(),
    })
    .refine(({ duration, until }) => (duration === undefined) !== (until === undefined), {
      error: `wait takes either \`duration\`, such as 10s, or \`until\`, ${instant}`,
    })
    .meta({ oneOf: [{ required: ['duration'] }, { required: ['until'] }] }),
} as const
