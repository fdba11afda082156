import * as z from 'zod'
import type { Json } from '../message.ts'
import { type BuiltinHandler, signalNamePattern, signalNameRule, workflowNamePattern } from './handler-names.ts'
import { duration, instant, instantExample } from './quantities.ts'

/**
 * What `with` holds for the handlers that come with Millrace. Each schema is made twice from one text: for values as they
 * are written, where an expression may stand for any part, and for values as they are resolved, which the handler runs on.
 */
type Part = <T extends z.ZodType>(schema: T) => T

const asResolved: Part = (schema) => schema

// Aborting keeps this alternative from being taken for the one that nearly fits.
const expression = z.string().regex(/\$\{\{/, { error: 'expected an expression in ${{ }}', abort: true })

/** Only whether something fits is asked of values as they are written, so the type may stay that of the value to come. */
export const asWritten: Part = <T extends z.ZodType>(schema: T) => z.union([schema, expression]) as unknown as T

// Whatever comes here was read as JSON.
const json = z.unknown() as z.ZodType<Json>

const variableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'a variable is named in letters, digits and underscores, at most 128')
  .regex(/^(?!MILLRACE_)/, 'the name of a variable must not start with MILLRACE_')
const variableValue = json.refine(
  (value) => typeof value !== 'string' || !value.includes('\0'),
  "a variable can't hold the character U+0000",
)
export const environment = z
  .record(variableName, variableValue)
  .meta({ description: 'Variables of the environment; what is not text arrives as JSON.' })

/** The engine ends from outside what its worker has not ended by its timeout and this. */
export const MAX_GRACE_MS = 10 * 60_000

const shellInput = (part: Part) =>
  z.strictObject({
    run: z
      .string()
      .min(1)
      .max(65_536)
      .regex(
        /^(?![\s\S]*\$\{\{)/,
        'a script gets values through its environment alone: put the expression into `env`, and use the variable here',
      )
      .meta({ description: 'A bash script; it gets values through `env` and no other way.' }),
    env: part(environment).default({}),
    cwd: part(
      z
        .string()
        .min(1)
        .max(1_024)
        .refine((path) => !path.includes('\0'), "a path can't hold the character U+0000")
        .refine(staysInside, 'is outside the working directory of the run')
        .meta({ description: "A folder inside the run's working directory." }),
    ).default('.'),
    grace: part(duration.refine((ms) => ms <= MAX_GRACE_MS, 'at most 10m'))
      .optional()
      .meta({ description: 'From SIGTERM to SIGKILL, at most 10m; 10s by default.' }),
  })

/** Whether a relative path leads nowhere above where it starts; what links do to it shows only where it is entered. */
function staysInside(path: string): boolean {
  if (path.startsWith('/')) return false
  let depth = 0
  for (const segment of path.split('/')) {
    if (segment === '..') depth--
    else if (segment !== '' && segment !== '.') depth++
    if (depth < 0) return false
  }
  return true
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

/** They belong to the connection or follow from the request itself. */
const ownHeaders =
  'host|connection|content-length|transfer-encoding|upgrade|te|trailer|keep-alive|expect|proxy-.*'.replace(
    /[a-z]/g,
    // A JSON Schema has no flags, so that case does not matter has to stand in the pattern.
    (letter) => `[${letter}${letter.toUpperCase()}]`,
  )
const headerName = z
  .string()
  .regex(/^[\w!#$%&'*+.^`|~-]{1,256}$/, 'not the name of a header')
  .regex(new RegExp(`^(?!(?:${ownHeaders})$)`), 'this header is set by the connection itself')
const headerValue = z
  .string()
  .max(8_192)
  .regex(/^[\t\x20-\x7e]*$/, 'the value of a header is printable ASCII')

const address = z
  .url({ protocol: /^https?$/, error: 'expected an address with http or https' })
  .max(8_192, 'an address has at most 8,192 characters')
  .refine((text) => {
    const url = URL.parse(text)
    return url === null || (url.username === '' && url.password === '')
  }, 'an address must not hold a user name or a password; send them in a header')

const status = z
  .number({ error: 'an HTTP status is 100 to 599' })
  .int('an HTTP status is 100 to 599')
  .min(100, 'an HTTP status is 100 to 599')
  .max(599, 'an HTTP status is 100 to 599')

const httpInput = (part: Part) =>
  z.strictObject({
    url: part(address),
    method: part(z.enum(methods, `expected one of ${methods.join(', ')}`)).default('GET'),
    headers: part(z.record(headerName, part(headerValue))).default({}),
    body: json.optional().meta({ description: 'Text is sent as it is, anything else as JSON.' }),
    expect: part(
      z.union([status, z.array(part(status)).min(1).max(50)], 'expected an HTTP status or a list of 1 to 50'),
    )
      .optional()
      .meta({ description: 'The status, or the statuses, that are a success; any 2xx by default.' }),
  })

const waitInput = (part: Part) =>
  z
    .strictObject({ duration: part(duration).optional(), until: part(instant).optional() })
    .refine(({ duration, until }) => (duration === undefined) !== (until === undefined), {
      error: `wait takes either \`duration\`, such as 10s, or \`until\`, ${instantExample}`,
    })
    .meta({ oneOf: [{ required: ['duration'] }, { required: ['until'] }] })

const who = z.string().min(1).max(255)
const patience = duration.refine((ms) => ms > 0, 'a timeout is longer than nothing')

const approvalInput = (part: Part) =>
  z.strictObject({
    approvers: part(z.union([z.array(part(who)).min(1).max(100), who.transform((one) => [one])]))
      .default([])
      .meta({ description: 'Names of people or of groups who may answer; anybody without it.' }),
    required: part(z.int().min(1).max(100))
      .default(1)
      .meta({ description: 'How many different people have to agree.' }),
    selfApproval: part(z.boolean())
      .default(true)
      .meta({ description: 'Whether who started the run may be one of them.' }),
    message: z.string().max(4_096).optional().meta({ description: 'What they are asked.' }),
    timeout: part(patience).optional().meta({ description: 'How long to wait; until the run times out without it.' }),
  })

const signalInput = (part: Part) =>
  z.strictObject({
    name: part(z.string().regex(signalNamePattern, signalNameRule)),
    timeout: part(patience).optional().meta({ description: 'How long to wait; until the run times out without it.' }),
  })

const workflowInput = (part: Part) =>
  z.strictObject({
    workflow: part(z.string().regex(workflowNamePattern, 'not the name of a workflow')),
    version: part(z.int().min(1)).optional().meta({ description: 'The newest without it.' }),
    input: json.optional().meta({ description: 'What the other run is started with.' }),
    onCancel: z
      .enum(['cancel', 'abandon'])
      .default('cancel')
      .meta({ description: 'What becomes of the other run when this stage is asked to stop.' }),
  })

/** For values as they stand in a workflow. */
export const writtenInputs = {
  shell: shellInput(asWritten),
  http: httpInput(asWritten),
  wait: waitInput(asWritten),
  approval: approvalInput(asWritten),
  signal: signalInput(asWritten),
  workflow: workflowInput(asWritten),
} as const satisfies { readonly [name in BuiltinHandler]: z.ZodType }

/** For values in which every expression has been resolved. */
export const resolvedInputs = {
  shell: shellInput(asResolved),
  http: httpInput(asResolved),
  wait: waitInput(asResolved),
  approval: approvalInput(asResolved),
  signal: signalInput(asResolved),
  workflow: workflowInput(asResolved),
} as const satisfies { readonly [name in BuiltinHandler]: z.ZodType }
