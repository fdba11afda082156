// What a failed attempt says of itself: whatever was thrown, bounded and plain, so that it can stand in the log.
import { boundedText } from '../../domain/bounded-text.ts'
import type { StageError } from '../../domain/execution/events.ts'
import type { Json } from '../../domain/message.ts'
import { StageFailure, type StopReason } from '../../ports/handler.ts'
import { parseJsonDocument } from './json-document.ts'

const MESSAGE_LIMIT = 4_096
const DETAILS_LIMIT_BYTES = 16 * 1024

/**
 * Keeps `code`, `retryable`, `exitCode`, `signal`, `httpStatus` and `details` of what was thrown; without a usable
 * `code` it is `HANDLER_FAILED`. Never throws, whatever it is given.
 */
export function toStageError(thrown: unknown): StageError {
  const inner = peek(thrown, 'error')
  const source = isStageFailure(thrown) && typeof inner === 'object' ? inner : thrown
  const retryable = peek(source, 'retryable')
  const exitCode = peek(source, 'exitCode')
  const signal = peek(source, 'signal')
  const httpStatus = peek(source, 'httpStatus')
  const details = plainDetails(peek(source, 'details'))
  return {
    code: codeOf(peek(source, 'code')),
    message: boundedText(messageOf(source), MESSAGE_LIMIT),
    ...(typeof retryable === 'boolean' ? { retryable } : {}),
    ...(Number.isSafeInteger(exitCode) ? { exitCode: exitCode as number } : {}),
    ...(typeof signal === 'string' ? { signal: boundedText(signal, 64) } : {}),
    ...(Number.isSafeInteger(httpStatus) ? { httpStatus: httpStatus as number } : {}),
    ...(details === undefined ? {} : { details }),
  }
}

const stops: { readonly [R in StopReason]: StageError } = {
  cancelled: { code: 'CANCELLED', message: 'the stage was cancelled' },
  timeout: { code: 'TIMED_OUT', message: 'the stage ran longer than its timeout' },
  'lease-lost': { code: 'LEASE_LOST', message: 'the worker lost its lease on the attempt' },
  shutdown: { code: 'SHUTDOWN', message: 'the worker was shut down' },
}

/** The failure that an aborted `signal` stands for; an abort without a known reason counts as a cancellation. */
export function stopped(signal: AbortSignal): StageFailure {
  return new StageFailure(stops[signal.reason as StopReason] ?? stops.cancelled)
}

/** By name, because a handler may come with a copy of the package of its own. */
const isStageFailure = (thrown: unknown): boolean => peek(thrown, 'name') === StageFailure.name

/** A member of anything; a getter or a proxy that throws counts as absent. */
function peek(from: unknown, key: string): unknown {
  if (from === null || (typeof from !== 'object' && typeof from !== 'function')) return undefined
  try {
    return (from as Record<string, unknown>)[key]
  } catch {
    return undefined
  }
}

function codeOf(code: unknown): string {
  if (typeof code !== 'string') return 'HANDLER_FAILED'
  const snake = code
    .slice(0, 64)
    .toUpperCase()
    .replace(/[^A-Z0-9]+/g, '_')
    .replace(/^[_0-9]+|_+$/g, '')
  return snake === '' ? 'HANDLER_FAILED' : snake
}

function messageOf(source: unknown): string {
  const message = peek(source, 'message')
  if (typeof message === 'string' && message !== '') return message
  if (typeof source === 'string' && source !== '') return source
  const name = peek(source, 'name')
  const what = typeof name === 'string' && name !== '' ? name : source === null ? 'null' : typeof source
  return `the handler threw ${what} without a message`
}

function plainDetails(details: unknown): Json | undefined {
  if (details === undefined) return undefined
  try {
    const text = JSON.stringify(details)
    if (text === undefined) return undefined
    if (Buffer.byteLength(text) > DETAILS_LIMIT_BYTES) return 'left out: larger than 16 KiB'
    return parseJsonDocument(text)
  } catch {
    return 'left out: not plain JSON'
  }
}
