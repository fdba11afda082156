import * as z from 'zod'
import { MAX_PATTERN_LENGTH } from '../execution/pattern.ts'
import { backoff, name, resources } from './schema-parts.ts'

/** The syntax of `failures`: the kinds of failure that a workflow knows, and what each leads to. */

export const MAX_RULES = 100
const MAX_VALUES = 50

/** One value or a list of them; a list comes out. */
const oneOrMore = <T extends z.ZodType>(item: T, what: string) =>
  z
    .union([item, z.array(item).min(1).max(MAX_VALUES)], { error: `expected ${what}, or a list of them` })
    .transform((value): z.output<T>[] => (Array.isArray(value) ? value : [value as z.output<T>]))

const code = 'a code in upper snake case, such as EXIT_NONZERO'
const signal = 'the name of a signal, such as SIGKILL'
const exitCode = 'an exit code, 1 to 255'
const status = 'an HTTP status, 4xx or 5xx'

const match = z
  .strictObject({
    code: oneOrMore(z.string().regex(/^[A-Z][A-Z0-9_]{0,63}$/, `expected ${code}`), code).optional(),
    exitCode: oneOrMore(z.int().min(1).max(255), exitCode).optional(),
    signal: oneOrMore(z.string().regex(/^SIG[A-Z0-9]{1,12}$/, `expected ${signal}`), signal).optional(),
    httpStatus: oneOrMore(
      z.union([z.int().min(100).max(599), z.enum(['4xx', '5xx'])], { error: `expected ${status}` }),
      status,
    ).optional(),
    message: oneOrMore(z.string().min(1).meta({ maxLength: MAX_PATTERN_LENGTH }), 'a pattern')
      .optional()
      .meta({ description: 'RE2 patterns that are looked for in the message, in any line.' }),
    stage: oneOrMore(z.string(), 'the name of a stage').optional(),
  })
  .refine((given) => Object.values(given).some((value) => value !== undefined), 'a rule matches by at least one member')
  .meta({ description: 'Every member has to hold, and of each any one of its values.', minProperties: 1 })

const actions = ['skip', 'fallback', 'fail-fast', 'continue', 'compensate', 'ask'] as const
const anAction = `\`action\` is one of retry, ${actions.join(', ')}`

const recover = z
  .union(
    [
      z.enum(['retry', ...actions]),
      z.discriminatedUnion(
        'action',
        [
          z.strictObject({
            action: z.literal('retry'),
            maxAttempts: z.int().min(1).max(100).optional(),
            backoff: backoff.optional(),
            queue: name('a queue').optional(),
            resources: resources.omit({ pool: true }).optional(),
          }),
          z.strictObject({ action: z.enum(actions) }),
        ],
        { error: anAction },
      ),
    ],
    { error: `expected retry, ${actions.join(', ')}, or an object with an \`action\`` },
  )
  .transform((given) => (typeof given === 'string' ? { action: given } : given))

export const failureClass = z.enum([
  ...(['network', 'timeout', 'rate-limit', 'resource-exhausted', 'authentication', 'configuration'] as const),
  ...(['dependency', 'test-failure', 'infrastructure', 'cancelled', 'unknown'] as const),
])

const failureRule = z.strictObject({
  name: name('a rule'),
  match,
  class: failureClass.optional(),
  recover: recover.optional().meta({ description: 'What follows; what the class says where it is left out.' }),
})

export const failureRules = z
  .array(failureRule)
  .max(MAX_RULES)
  .meta({ description: 'Kinds of failure, tried in order before the built-in ones; the first that matches counts.' })

export type FailureRuleDocument = z.output<typeof failureRule>
