// Sends one HTTP request and makes the response the stage's output.
import { type Dispatcher, request } from 'undici'
import { boundedText } from '../../domain/bounded-text.ts'
import type { Json } from '../../domain/message.ts'
import { resolvedInputs } from '../../domain/workflow/builtin-inputs.ts'
import { type Handler, type StageContext, StageFailure } from '../../ports/handler.ts'
import { parseInput } from '../../sdk/parse-input.ts'
import { nextHop, type Outgoing, redactor } from './http-request.ts'
import { readResponse } from './http-response.ts'
import { createOutbound, type Outbound, type OutboundOptions } from './outbound.ts'
import { stopped } from './stage-error.ts'

const REDIRECT_LIMIT = 5
const EXCERPT_LENGTH = 500

/** The output is `{ status, headers, body }`: a few headers by lower-case name; the body as JSON when its content type says so. */
export function createHttpHandler(options: OutboundOptions): Handler {
  const outbound = createOutbound(options)
  return {
    name: 'http',
    run: (context) => runHttp(outbound, context),
  }
}

function toOutgoing(outbound: Outbound, raw: StageContext['input']): Outgoing {
  const { url, method, headers, body, expect } = parseInput(resolvedInputs.http, raw)
  const typed = Object.keys(headers).some((name) => name.toLowerCase() === 'content-type')
  const type = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json'
  return {
    url: outbound.parseUrl(url),
    method,
    headers: body === undefined || typed ? headers : { ...headers, 'content-type': type },
    body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
    expect: expect === undefined ? [] : [expect].flat(),
  }
}

async function runHttp(outbound: Outbound, context: StageContext): Promise<Json> {
  const outgoing = toOutgoing(outbound, context.input)
  if (context.signal.aborted) throw stopped(context.signal)
  await context.begun()
  const agent = outbound.createAgent()
  try {
    const response = await follow(outbound, agent, outgoing, context)
    const output = await readResponse(response)
    if (!isExpected(outgoing, response.statusCode)) throw unexpected(outgoing, output)
    return output
  } catch (error) {
    throw context.signal.aborted ? stopped(context.signal) : failureOf(outgoing, error)
  } finally {
    await agent.destroy()
  }
}

/** Redirects are followed here and not in the client, because every hop has to pass the same checks. */
async function follow(outbound: Outbound, agent: Dispatcher, first: Outgoing, context: StageContext) {
  let outgoing = first
  for (let hops = 0; ; hops++) {
    const response = await send(agent, outgoing, context)
    const location = response.headers.location
    const isRedirect = [301, 302, 303, 307, 308].includes(response.statusCode) && typeof location === 'string'
    if (!isRedirect || first.expect.includes(response.statusCode)) return response
    if (hops === REDIRECT_LIMIT)
      throw new StageFailure({
        code: 'HTTP_STATUS',
        httpStatus: response.statusCode,
        message: `${first.url.origin} redirected more than ${REDIRECT_LIMIT} times`,
      })
    response.body.on('error', () => {}).destroy()
    outgoing = nextHop(outgoing, response.statusCode, outbound.parseUrl(location, outgoing.url))
  }
}

/** Only the origin is ever named: paths and queries of webhooks are secrets as often as headers are. */
async function send(agent: Dispatcher, { url, method, headers, body }: Outgoing, context: StageContext) {
  const startedAt = performance.now()
  const response = await request(url, {
    dispatcher: agent,
    method,
    headers,
    signal: context.signal,
    ...(body === undefined ? {} : { body }),
  })
  context.log(
    `${method} ${url.origin} answered ${response.statusCode} in ${Math.round(performance.now() - startedAt)} ms`,
  )
  return response
}

const isExpected = ({ expect }: Outgoing, statusCode: number): boolean =>
  expect.length === 0 ? statusCode >= 200 && statusCode < 300 : expect.includes(statusCode)

function unexpected(outgoing: Outgoing, { status, headers, body }: Awaited<ReturnType<typeof readResponse>>) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const retryAfter = headers['retry-after']
  return new StageFailure({
    code: 'HTTP_STATUS',
    httpStatus: status,
    message: `${outgoing.method} ${outgoing.url.origin} answered ${status}`,
    details: {
      body: boundedText(redactor(outgoing)(text), EXCERPT_LENGTH),
      ...(retryAfter === undefined ? {} : { retryAfter }),
    },
  })
}

/** Names what failed by the error's code alone; messages of the network may quote what was sent. */
function failureOf({ url }: Outgoing, error: unknown): StageFailure {
  if (error instanceof StageFailure) return error
  const { code = 'unknown error' } = error as { code?: string }
  if (/TIMEOUT/.test(code) || code === 'ETIMEDOUT')
    return new StageFailure({ code: 'TIMED_OUT', message: `${url.origin} did not answer in time (${code})` })
  if (code === 'UND_ERR_HEADERS_OVERFLOW')
    return new StageFailure({
      code: 'RESPONSE_TOO_LARGE',
      message: `${url.origin} sent too large a head`,
      retryable: false,
    })
  return new StageFailure({ code: 'CONNECTION_FAILED', message: `no usable answer from ${url.origin}: ${code}` })
}
