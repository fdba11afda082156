// A route as a value: what it takes and answers, and what it does. The table in routes.ts says where each one stands.
import type { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { z } from 'zod'
import type { App } from '../app.ts'
import type { Caller } from '../commands/caller.ts'
import { Rejected, type RejectionCode } from '../domain/rejected.ts'
import type { Tracing } from '../ports/tracing.ts'
import type { PageRequest } from '../queries/page.ts'
import { bodyTypes } from './bodies.ts'
import { actorHeaders } from './parameters.ts'
import { answerTo, problemSchema, RequestProblem, statusOf } from './problems.ts'

export type Shape = {
  readonly summary: string
  readonly description?: string
  readonly tag: 'Workflows' | 'Executions' | 'Schedules' | 'Pools' | 'Analytics' | 'Audit' | 'Retention' | 'Operations'
  readonly params?: z.ZodObject
  readonly query?: z.ZodObject
  readonly headers?: z.ZodObject
  readonly body?: z.ZodType
  /** A missing body then stands for `{}`. */
  readonly bodyOptional?: boolean
  readonly answers: { readonly [status: number]: z.ZodType }
  /** The media type that `Accept` may ask for instead of JSON. */
  readonly alternative?: string
  /** What is answered where it is not JSON. */
  readonly produces?: string
  /** Not counted against the rate limit: what watches the process must get through. */
  readonly unlimited?: boolean
  /** What may be refused, or its status, besides what every route has. */
  readonly errors?: readonly (number | RejectionCode)[]
}

type Output<T> = T extends z.ZodType ? z.output<T> : unknown

export type Call<S extends Shape> = {
  readonly params: Output<S['params']>
  readonly query: Output<S['query']>
  readonly headers: Output<S['headers']>
  readonly body: Output<S['body']>
  readonly caller: Caller
  /** The alternative media type was asked for. */
  readonly alternative: boolean
  readonly reply: FastifyReply
}

type AnswerOf<S extends Shape> = z.input<S['answers'][keyof S['answers'] & number]> | Readable

/** What a route has to know of whom it belongs to. */
export type Around = Pick<App, 'clock'> & Partial<Pick<App, 'audit'>>

/** Where a route stands; `command` names what changes something, for the audit. */
export type Place = { readonly method: string; readonly url: string; readonly command?: string | undefined }

export type Route = {
  readonly shape: Shape
  handle(request: FastifyRequest, reply: FastifyReply, caller: Caller): unknown
}

export function route<const S extends Shape>(
  shape: S,
  answer: (call: Call<S>) => Promise<AnswerOf<S>> | AnswerOf<S>,
): Route {
  const [status] = Object.keys(shape.answers).map(Number)
  return {
    shape,
    handle(request, reply, caller) {
      reply.code(status ?? 200)
      const { params, query, headers, body } = request as unknown as Call<S>
      const alternative = shape.alternative !== undefined && asksFor(request, shape.alternative)
      return answer({ params, query, headers, body, caller, alternative, reply })
    },
  }
}

/** Of a path in the audit. */
const MAX_SUBJECT = 500

const asksFor = ({ headers }: FastifyRequest, type: string): boolean =>
  (headers.accept ?? '').split(',').some((range) => range.split(';')[0]?.trim().toLowerCase() === type)

const traceparent = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

/**
 * Until there is authentication everybody is the local user, or whom they say they are: whoever reaches the loopback address
 * is trusted. W3C: a trace context that is not valid is left out.
 */
function callerOf(
  { clock }: Around,
  { params, headers, ip }: FastifyRequest,
  command: string | undefined,
  trace: string | undefined,
): Caller {
  const { 'millrace-actor': said = 'local', 'millrace-reason': reason } = headers
  const { namespace = '' } = (params ?? {}) as { namespace?: string }
  return {
    namespace,
    actor: `user:${said}`,
    nowMs: clock.now(),
    ...(trace === undefined ? {} : { traceparent: trace }),
    ...(command === undefined ? {} : { command, source: ip }),
    ...(typeof reason === 'string' && command !== undefined ? { reason } : {}),
  }
}

const traceOf = ({ traceparent: given }: FastifyRequest['headers']): string | undefined =>
  typeof given === 'string' && traceparent.test(given) ? given : undefined

/**
 * A command that is refused is on record before it is answered. What the log cannot take is answered all the same: it was refused,
 * and nothing was done.
 */
async function recorded<T>(
  { audit }: Around,
  { url }: FastifyRequest,
  caller: Caller,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { problem, cause } = answerTo(error)
    const { status, code, detail } = problem
    if (cause === 'request' && status < 500 && audit !== undefined)
      await audit.refused(caller, { subject: url.slice(0, MAX_SUBJECT), status, code, detail }).catch(() => {})
    throw error
  }
}

/** The route as fastify takes it. */
export function optionsOf(
  around: Around,
  { method, url, command }: Place,
  { shape, handle }: Route,
  tracing?: Tracing,
): RouteOptions {
  const handled = (request: FastifyRequest, reply: FastifyReply, trace: string | undefined): unknown => {
    const caller = callerOf(around, request, command, trace)
    if (command === undefined) return handle(request, reply, caller)
    return recorded(around, request, caller, async () => handle(request, reply, caller))
  }
  const traced = (request: FastifyRequest, reply: FastifyReply): unknown => {
    const parent = traceOf(request.headers)
    // Whoever watches the process is no part of anybody's trace.
    if (tracing === undefined || shape.unlimited) return handled(request, reply, parent)
    return tracing.span({ name: `${method} ${url}`, kind: 'server', parent }, async (own) =>
      handled(request, reply, own),
    )
  }
  return {
    method,
    url,
    schema: schemaOf(shape),
    ...(shape.unlimited ? { config: { rateLimit: false } } : {}),
    ...(shape.body ? { preValidation: shape.bodyOptional ? emptyBody : requireBody } : {}),
    handler: traced,
  }
}

/** Errors that stand before every route, and those that stand before every body. */
const everywhere = [400, 421, 429, 500, 503]
const withBody = [403, 408, 413, 415, 422]

function schemaOf(shape: Shape) {
  const { summary, description, tag, params, query, headers, body, answers, errors = [] } = shape
  const usual = [...everywhere, ...(body ? withBody : []), ...(params ? [404] : [])]
  const failures = new Set([...usual, ...errors.map((error) => (typeof error === 'number' ? error : statusOf(error)))])
  return {
    summary,
    ...(description ? { description } : {}),
    tags: [tag],
    ...(params ? { params } : {}),
    querystring: query ?? z.strictObject({}),
    ...(body ? { headers: actorHeaders.extend(headers?.shape ?? {}) } : headers ? { headers } : {}),
    ...(body ? { body, consumes: bodyTypes } : {}),
    response: {
      ...Object.fromEntries(Object.entries(answers).map(([status, schema]) => [status, documented(schema, shape)])),
      ...Object.fromEntries([...failures].sort().map((status) => [status, problemOf(status, errors)])),
    },
  }
}

/** The codes that are the route's own stand in the description; those that any request can get stand with the problem. */
function problemOf(status: number, errors: NonNullable<Shape['errors']>) {
  const codes = errors.filter((error) => typeof error !== 'number' && statusOf(error) === status)
  const description = codes.length === 0 ? 'Problem' : `Problem: ${codes.join(', ')}`
  return { description, content: { 'application/problem+json': { schema: problemSchema } } }
}

const documented = (schema: z.ZodType, { alternative, produces = 'application/json' }: Shape) => ({
  description: 'Answer',
  content: { [produces]: { schema }, ...(alternative ? { [alternative]: { schema: z.string() } } : {}) },
})

async function emptyBody(request: FastifyRequest): Promise<void> {
  if (request.body === undefined) request.body = {}
}

async function requireBody(request: FastifyRequest): Promise<void> {
  if (request.body === undefined) throw new RequestProblem('BODY_MALFORMED', 'the body is empty')
}

/** What a query answered, or 404: another namespace's things are as unknown as those that are not there. */
export function found<T>(answer: T | undefined, code: RejectionCode, what: string): T {
  if (answer === undefined) throw new Rejected(code, `there is no ${what} in this namespace`)
  return answer
}

export const pageOf = ({ limit, cursor }: { limit: number; cursor?: string | undefined }): PageRequest =>
  cursor === undefined ? { limit } : { limit, cursor }
