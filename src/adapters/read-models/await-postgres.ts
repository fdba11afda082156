import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import type { Logger } from '../../ports/logger.ts'

const RETRY_MS = 500
const CONNECT_MS = 5_000
/** What PostgreSQL answers while it starts and stops; every other answer stays the same however often it is asked. */
const PASSING = ['57P01', '57P02', '57P03', '53300']

/** PostgreSQL did not answer in time, or will not have us; the message names it without the password. */
export class DatabaseUnreachable extends Error {
  constructor(url: string, reason: string) {
    super(`PostgreSQL at ${redacted(url)} cannot be used: ${reason}`)
    this.name = 'DatabaseUnreachable'
  }
}

/** Only scheme, user, host, port and database; options may hold secrets as well. */
function redacted(url: string): string {
  const { protocol, username, password, host, pathname } = new URL(url)
  const user = username === '' ? '' : `${username}${password === '' ? '' : ':***'}@`
  return `${protocol}//${user}${host}${pathname}`
}

/**
 * Resolves once PostgreSQL takes connections; a database that starts beside this program may come later than it.
 * @throws DatabaseUnreachable after `withinMs`, at once where waiting changes nothing, and when `signal` aborts
 */
export async function awaitPostgres(
  url: string,
  { withinMs, logger, signal }: { withinMs: number; logger: Logger; signal?: AbortSignal | undefined },
): Promise<void> {
  const deadline = performance.now() + withinMs
  for (let tries = 1; ; tries++) {
    const error = await tryOnce(url)
    if (error === undefined) return
    const reason = reasonOf(error)
    const isAnswer = error.code !== undefined && /^[0-9A-Z]{5}$/.test(error.code) && !PASSING.includes(error.code)
    if (isAnswer || performance.now() + RETRY_MS > deadline || signal?.aborted)
      throw new DatabaseUnreachable(url, reason)
    if (tries === 1) logger.warn({ database: redacted(url), withinMs }, `waiting for PostgreSQL: ${reason}`)
    await delay(RETRY_MS, undefined, signal ? { signal } : {}).catch(() => {
      throw new DatabaseUnreachable(url, reason)
    })
  }
}

type ConnectError = Error & { code?: string; errors?: readonly Error[] }

async function tryOnce(url: string): Promise<ConnectError | undefined> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: CONNECT_MS })
  client.on('error', () => {})
  try {
    await client.connect()
    return undefined
  } catch (error) {
    return error as ConnectError
  } finally {
    await client.end().catch(() => {})
  }
}

/** A name with several addresses gives one error for each. */
const reasonOf = ({ message, code, errors }: ConnectError): string =>
  errors?.map((error) => error.message).join(', ') || message || code || 'no connection'
