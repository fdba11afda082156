// The HTTP server: its limits, what every request passes, and the routes. Listening is for the caller.
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import fastify, { type FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import type { App } from '../app.ts'
import { withLine } from '../commands/parse-document.ts'
import type { Logger } from '../ports/logger.ts'
import type { Tracing } from '../ports/tracing.ts'
import { readBodies } from './bodies.ts'
import { endConnections } from './closing.ts'
import { describeRoutes, withSlash } from './documentation.ts'
import { tagAnswers } from './etags.ts'
import { guardRequests } from './gate.ts'
import { defaultRegistry, measureProjections, measureQueues, measureRequests } from './metrics.ts'
import { answerTo, RequestProblem, sendProblem } from './problems.ts'
import { type Around, optionsOf } from './route.ts'
import type { Readiness } from './routes/watching.ts'
import { type RouteTable, routeTable, watchingTable } from './routes.ts'
import { answerBrokenRequest } from './sockets.ts'
import { createUnknownRoute } from './unknown-routes.ts'
import { validateWithZod } from './validation.ts'

export type ServerOptions = {
  readonly logger: Logger
  /** Whether everything that a request needs is there. */
  readonly ready: () => Promise<Readiness>
  /** The name that the server is reached by, where it is not one of the loopback interface. */
  readonly host?: string
  readonly registry?: Registry
  readonly limits?: Partial<Limits>
  readonly tracing?: Tracing
}

export type Limits = {
  readonly bodyBytes: number
  readonly headerBytes: number
  /** For the whole of a request to arrive. */
  readonly requestMs: number
  readonly headersMs: number
  /** How often requests that are late are looked for. */
  readonly checkMs: number
  /** Without a byte in either direction; longer than a query may wait. */
  readonly idleMs: number
  /** Between two requests of one connection. */
  readonly keepAliveMs: number
  /** From when the server is to close until what it has not answered is cut off. */
  readonly closeMs: number
  /** Of one address. */
  readonly requestsPerSecond: number
  /** How late timers may be on average over a second before requests are turned away. */
  readonly eventLoopDelayMs: number
}

const defaultLimits: Limits = {
  bodyBytes: 1_048_576,
  headerBytes: 16_384,
  requestMs: 15_000,
  headersMs: 10_000,
  checkMs: 1_000,
  idleMs: 60_000,
  keepAliveMs: 72_000,
  closeMs: 5_000,
  requestsPerSecond: 20_000,
  eventLoopDelayMs: 1_000,
}

/** Longer than any name or id; a longer one is found nowhere. */
const MAX_PARAM_LENGTH = 128

export function createServer(app: App, options: ServerOptions): FastifyInstance {
  const registry = options.registry ?? defaultRegistry()
  measureQueues(app.queues, () => app.clock.now(), registry)
  measureProjections(app.queries.projections, registry)
  const watched = { ready: options.ready, registry }
  const table = (server: FastifyInstance) => routeTable(app, watched, () => server.swagger())
  return build(app, options, registry, { table, prepare: describeRoutes })
}

/** What a process without the API answers: that it is there, whether it can work, and its metrics. */
export function createWatchingServer(around: Around, options: ServerOptions): FastifyInstance {
  const registry = options.registry ?? defaultRegistry()
  return build(around, options, registry, { table: () => watchingTable({ ready: options.ready, registry }) })
}

function build(
  around: Around,
  options: ServerOptions,
  registry: Registry,
  routes: { table(server: FastifyInstance): RouteTable; prepare?(server: FastifyInstance): void },
): FastifyInstance {
  const limits = { ...defaultLimits, ...options.limits }
  const server = fastify({
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestMs,
    connectionTimeout: limits.idleMs,
    keepAliveTimeout: limits.keepAliveMs,
    http: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      connectionsCheckingInterval: limits.checkMs,
      requireHostHeader: false,
    },
    rewriteUrl: ({ url }) => withSlash(url),
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    forceCloseConnections: 'idle',
    // A request that comes while the server closes is answered by the gate, as a problem.
    return503OnClosing: false,
    requestIdHeader: false,
    trustProxy: false,
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (error, _request, reply) => sendProblem(reply, answerTo(error)),
  })
  server.setValidatorCompiler(validateWithZod)
  // Answers have the types of their schemas already; the tests hold the answers to them.
  server.setSerializerCompiler(() => JSON.stringify)
  answerErrors(server, options.logger)
  guardRequests(server, options.host)
  endConnections(server, limits.closeMs)
  measureRequests(server, registry)
  readBodies(server)
  const unknownRoute = createUnknownRoute(server)
  protect(server, limits)
  tagAnswers(server)
  routes.prepare?.(server)
  server.register((inner, _options, done) => {
    for (const [method, path, route, command] of routes.table(inner))
      inner.route(optionsOf(around, { method, url: path, command }, route, options.tracing))
    inner.setNotFoundHandler({ preHandler: inner.rateLimit() }, unknownRoute)
    done()
  })
  return server
}

function answerErrors(server: FastifyInstance, logger: Logger): void {
  server.setErrorHandler((error, request, reply) => {
    const answer = answerTo(error)
    const { lineOf } = request
    const errors = lineOf ? answer.problem.errors.map((fault) => withLine(fault, lineOf)) : answer.problem.errors
    const details = { err: error, method: request.method, route: request.routeOptions.url, params: request.params }
    if (answer.cause === 'fault') logger.error(details, 'a request failed')
    if (answer.cause === 'out-of-reach') logger.warn(details, 'a request met something out of reach')
    return sendProblem(reply, { ...answer, problem: { ...answer.problem, errors } })
  })
}

function protect(server: FastifyInstance, limits: Limits): void {
  server.register(underPressure, { maxEventLoopDelay: limits.eventLoopDelayMs, retryAfter: 1 })
  server.register(rateLimit, {
    max: limits.requestsPerSecond,
    timeWindow: 1_000,
    addHeadersOnExceeding: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false },
    errorResponseBuilder: (_request, { max }) =>
      new RequestProblem('RATE_LIMITED', `more than ${max} requests came from this address within a second`),
  })
  server.register(helmet, {
    // Plain HTTP on the loopback interface: what stands in front of it terminates TLS and says so.
    hsts: false,
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'self'"], objectSrc: ["'none'"], baseUri: ["'none'"], frameAncestors: ["'none'"] },
    },
  })
}
