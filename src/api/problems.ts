// Every error of the API as RFC 9457 problem details; nothing of the inside gets out but the closed union of codes.
import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import type { Fault, RejectionCode } from '../domain/rejected.ts'
import { Rejected } from '../domain/rejected.ts'
import { ArchiveUnavailable } from '../ports/archive.ts'
import { StoreUnavailable } from '../ports/event-store.ts'
import { ChainNotBuilt } from '../queries/audit.ts'
import { BadCursor } from '../queries/page.ts'
import { CleanUpRunning, CleanUpStalled } from '../retention/clean-up.ts'
import { VerificationRunning } from '../verification/verify.ts'
import { isOutOfReach } from './out-of-reach.ts'

const statusOfRejection = {
  WORKFLOW_UNKNOWN: 404,
  WORKFLOW_RETIRED: 409,
  WORKFLOW_VERSION_UNKNOWN: 404,
  WORKFLOW_VERSION_STALE: 412,
  DEFINITION_INVALID: 422,
  INPUT_INVALID: 422,
  IDEMPOTENCY_KEY_REUSED: 422,
  EXECUTION_UNKNOWN: 404,
  EXECUTION_ALREADY_ENDED: 409,
  EXECUTION_CANCELLING: 409,
  EXECUTION_QUEUED: 409,
  EXECUTION_PAUSED: 409,
  CONCURRENCY_LIMIT: 409,
  POOL_UNKNOWN: 404,
  POOL_TOO_SMALL: 409,
  POOL_FULL: 409,
  STAGE_UNKNOWN: 404,
  STAGE_NOT_RETRYABLE: 409,
  STAGE_NOT_SKIPPABLE: 409,
  STAGE_NOT_WAITING: 409,
  APPROVER_NOT_ALLOWED: 403,
  SIGNALS_FULL: 409,
  CHECKPOINT_TOO_LARGE: 413,
  RESTORE_IMPOSSIBLE: 422,
  SCHEDULE_UNKNOWN: 404,
  SCHEDULE_INVALID: 422,
  SCHEDULE_OWNED: 409,
  BACKFILL_RUNNING: 409,
  BACKFILL_IMPOSSIBLE: 422,
  ATTEMPT_STALE: 409,
  WORKER_UNKNOWN: 404,
  WORKER_STOPPED: 409,
  EVENT_TOO_LARGE: 413,
  EXECUTION_NOT_ARCHIVED: 409,
  UNARCHIVE_IMPOSSIBLE: 409,
} as const satisfies Record<RejectionCode, number>

export const statusOf = (code: RejectionCode): number => statusOfRejection[code]

/** What goes wrong before a command or a query is reached, or around it. */
const requestProblems = {
  REQUEST_INVALID: 400,
  BODY_MALFORMED: 400,
  CURSOR_INVALID: 400,
  NOT_FOUND: 404,
  REVISION_UNKNOWN: 404,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  BODY_TOO_LARGE: 413,
  CONTENT_TYPE_UNSUPPORTED: 415,
  VERIFICATION_RUNNING: 409,
  CLEAN_UP_RUNNING: 409,
  SEQUENCE_UNKNOWN: 404,
  KEY_UNKNOWN: 404,
  PROJECTION_UNKNOWN: 404,
  PROJECTION_NOT_STOPPED: 409,
  REBUILD_RUNNING: 409,
  REBUILD_NOT_RUNNING: 409,
  REBUILD_NOT_HELD: 409,
  NOTHING_KEPT: 409,
  HOST_UNKNOWN: 421,
  ORIGIN_REFUSED: 403,
  DOCUMENT_MALFORMED: 422,
  RATE_LIMITED: 429,
  HEADERS_TOO_LARGE: 431,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  NOT_READY: 503,
  POSITION_NOT_REACHED: 503,
} as const

type RequestProblemCode = keyof typeof requestProblems
export type ProblemCode = RejectionCode | RequestProblemCode

const faultSchema = z.object({
  pointer: z.string().meta({
    description:
      'JSON pointer (RFC 6901) into the body; faults of a query or a header begin with /query or /headers instead.',
  }),
  message: z.string(),
  line: z.int().optional().meta({ description: 'Line of a YAML body, from 1.' }),
})

/** Members besides these depend on `code`. */
export const problemSchema = z
  .looseObject({
    type: z.string().meta({ description: 'Identifies the kind of problem; one for each `code`.' }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum([...Object.keys(statusOfRejection), ...Object.keys(requestProblems)] as [ProblemCode]),
    errors: z.array(faultSchema).readonly(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details.' })

export type Problem = {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ProblemCode
  readonly errors: readonly Fault[]
  readonly [member: string]: unknown
}

type Extras = {
  readonly faults?: readonly Fault[]
  readonly headers?: Readonly<Record<string, string>>
  /** Further members of the problem, such as how far behind something is. */
  readonly members?: Readonly<Record<string, unknown>>
}

/** Thrown by what stands around commands and queries; its message goes to the client as `detail`. */
export class RequestProblem extends Error {
  readonly code: RequestProblemCode
  readonly extras: Extras
  constructor(code: RequestProblemCode, detail: string, extras: Extras = {}) {
    super(detail)
    this.name = 'RequestProblem'
    this.code = code
    this.extras = extras
  }
}

/** How an error is answered. `cause` says what belongs in the log: a fault of our own, or something that is out of reach. */
export type Answer = {
  readonly problem: Problem
  readonly headers: Readonly<Record<string, string>>
  readonly cause: 'request' | 'out-of-reach' | 'fault'
}

const RETRY_SOON = { 'retry-after': '1' }

export function answerTo(error: unknown): Answer {
  if (error instanceof RequestProblem)
    return answer(error.code, requestProblems[error.code], error.message, error.extras)
  if (error instanceof Rejected)
    return answer(error.code, statusOfRejection[error.code], error.message, { faults: error.faults })
  if (error instanceof BadCursor) return answer('CURSOR_INVALID', 400, error.message)
  if (error instanceof VerificationRunning)
    return answer('VERIFICATION_RUNNING', 409, error.message, { headers: RETRY_SOON })
  if (error instanceof ChainNotBuilt) return answer('UNAVAILABLE', 503, error.message, { headers: RETRY_SOON })
  if (error instanceof StoreUnavailable) return storeUnavailable(error)
  if (error instanceof CleanUpRunning) return answer('CLEAN_UP_RUNNING', 409, error.message, { headers: RETRY_SOON })
  if (error instanceof CleanUpStalled) return answer('UNAVAILABLE', 503, error.message, { headers: RETRY_SOON })
  if (error instanceof ArchiveUnavailable) {
    const which = error.file === undefined ? 'its folder is out of reach' : `${error.file} is missing or not as it was`
    const detail = `a part of the log is in the archive, and ${which}; the log of the server has the details`
    return { ...answer('UNAVAILABLE', 503, detail, { headers: RETRY_SOON }), cause: 'out-of-reach' }
  }
  if (isOutOfReach(error)) {
    const detail = 'the read models are out of reach; runs go on, and the queries over the log still answer'
    return { ...answer('UNAVAILABLE', 503, detail, { headers: RETRY_SOON }), cause: 'out-of-reach' }
  }
  return byStatus(error)
}

function storeUnavailable({ nothingWritten }: StoreUnavailable): Answer {
  const outcome = nothingWritten
    ? 'nothing was written'
    : 'whether this was carried out is not known, and it is safe to send again with the same Idempotency-Key'
  const detail = `the event log is out of reach; ${outcome}`
  return { ...answer('UNAVAILABLE', 503, detail, { headers: RETRY_SOON }), cause: 'out-of-reach' }
}

/** Errors of fastify, its plugins and Node, which carry the status and nothing that a client should build on. */
function byStatus(error: unknown): Answer {
  const { statusCode, message } = error as { statusCode?: number; message?: string }
  switch (statusCode) {
    case 400:
      return answer('REQUEST_INVALID', 400, message ?? 'the request is not valid')
    case 408:
      return answer('REQUEST_TIMEOUT', 408, 'the request did not arrive in time')
    case 413:
      return answer('BODY_TOO_LARGE', 413, 'the body is over the size limit')
    case 414:
      return answer('NOT_FOUND', 404, 'nothing has a name that long')
    case 415:
      return answer('CONTENT_TYPE_UNSUPPORTED', 415, 'the content type is not one that is understood here')
    case 431:
      return answer('HEADERS_TOO_LARGE', 431, 'the headers are over the size limit')
    case 503:
      return answer('UNAVAILABLE', 503, 'the server has more to do than it can; try again', { headers: RETRY_SOON })
    default: {
      const detail = 'something went wrong on our side; the log of the server has the details'
      return { ...answer('INTERNAL', 500, detail), cause: 'fault' }
    }
  }
}

function answer(code: ProblemCode, status: number, detail: string, extras: Extras = {}): Answer {
  const words = code.toLowerCase().replaceAll('_', ' ')
  const problem = {
    type: `urn:millrace:problem:${words.replaceAll(' ', '-')}`,
    title: words.charAt(0).toUpperCase() + words.slice(1),
    status,
    detail,
    code,
    errors: [...(extras.faults ?? [])],
    ...extras.members,
  }
  return { problem, headers: extras.headers ?? {}, cause: 'request' }
}

export function sendProblem(reply: FastifyReply, { problem, headers }: Answer): FastifyReply {
  return reply
    .code(problem.status)
    .headers({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store', ...headers })
    .type('application/problem+json')
    .send(JSON.stringify(problem))
}

/** A JSON pointer (RFC 6901) to what `keys` lead to. */
export const pointerTo = (keys: readonly PropertyKey[]): string =>
  keys.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
