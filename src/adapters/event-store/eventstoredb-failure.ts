// What a failed call means: whether trying again may help, and whether it may have done something all the same.
import { setTimeout as delay } from 'node:timers/promises'
import { StoreUnavailable } from '../../ports/event-store.ts'
import { ForeignEvent } from './eventstoredb-codec.ts'

/** An answer that did not come in time; what was asked may still happen. */
export class NoAnswer extends Error {
  constructor(what: string, ms: number) {
    super(`${what} was not answered within ${ms} ms`)
    this.name = 'NoAnswer'
  }
}

export type Failure = {
  readonly passing: boolean
  readonly nothingDone: boolean
  readonly denied: boolean
  readonly message: string
}

/** gRPC codes of answers that stay the same however often one asks: what was sent is wrong, too large, or not allowed. */
const LASTING = new Set([3, 7, 8, 9, 12, 16])
/** The server does not know who asks, or does not let them. */
const DENIED = new Set([7, 16])
const UNAVAILABLE = 14
/** A call that never got to the server, or one that the server says it has not looked at. */
const NOT_SENT =
  /No connection established|Name resolution|Failed to discover|Server Is (Not Ready|Too Busy)|Leader info/

type ClientError = Error & { readonly code?: number; readonly type?: string; readonly details?: string }

export function failureOf(error: unknown): Failure {
  const { code, type, message = '', details = '' } = error as ClientError
  const isOurs = error instanceof ForeignEvent || error instanceof TypeError || error instanceof RangeError
  const lasting = isOurs || (code !== undefined && LASTING.has(code))
  const notSent =
    type === 'not-leader' || ((code ?? UNAVAILABLE) === UNAVAILABLE && NOT_SENT.test(`${message} ${details}`))
  const denied = DENIED.has(code ?? 0)
  return { passing: !lasting, nothingDone: lasting || notSent, denied, message: saidBy(error as ClientError) }
}

/** Some errors of the client come without a message. */
const saidBy = ({ message, details, type, name }: ClientError): string => message || details || type || name

/** Rejects where the answer does not come: a deadline is only a request to the server. */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new NoAnswer(what, ms)), ms)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

const FIRST_WAIT_MS = 50
const LONGEST_WAIT_MS = 2_000

/** How long something is tried again, with pauses that grow. */
export class Patience {
  readonly #forMs: number
  readonly #signal: AbortSignal
  #until: number
  #waitMs = FIRST_WAIT_MS
  /** Whether an earlier try may have done it. */
  maybeDone = false

  constructor(forMs: number, signal: AbortSignal) {
    this.#forMs = forMs
    this.#signal = signal
    this.#until = performance.now() + forMs
  }

  /** Something has succeeded: what fails from now on is another failure. */
  renew(): void {
    this.#until = performance.now() + this.#forMs
    this.#waitMs = FIRST_WAIT_MS
  }

  /** Whether this is the first failure since something succeeded. */
  get isFresh(): boolean {
    return this.#waitMs === FIRST_WAIT_MS
  }

  /** Resolves when it is time to try again. @throws StoreUnavailable where that would not help, or was done long enough */
  async after(error: unknown, what: string): Promise<void> {
    const { passing, nothingDone, message } = failureOf(error)
    this.maybeDone ||= !nothingDone
    const isOver = !passing || performance.now() + this.#waitMs > this.#until || this.#signal.aborted
    if (isOver) throw new StoreUnavailable(`${what} failed: ${message}`, !this.maybeDone, error)
    await delay(this.#waitMs, undefined, { signal: this.#signal }).catch(() => {})
    this.#waitMs = Math.min(2 * this.#waitMs, LONGEST_WAIT_MS)
  }
}
