import { Pool } from 'pg'
import type { Logger } from '../../ports/logger.ts'

const STATEMENT_MS = 30_000
/** What PostgreSQL has not ended by itself by then never reached it, or its answer never comes. */
const ANSWER_MS = 5_000
const CONNECT_MS = 5_000

/** Connections to the read models. `max` is how many at once; a statement may take 30 s, or `statementMs`. */
export function createPool(url: string, options: { max?: number; statementMs?: number; logger?: Logger } = {}): Pool {
  const { max = 8, statementMs = STATEMENT_MS } = options
  const pool = new Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: CONNECT_MS,
    idleTimeoutMillis: 30_000,
    statement_timeout: statementMs,
    lock_timeout: statementMs,
    idle_in_transaction_session_timeout: 2 * statementMs,
    query_timeout: statementMs + Math.min(statementMs, ANSWER_MS),
    keepAlive: true,
    application_name: 'millrace',
    options: '-c TimeZone=UTC',
  })
  // An idle connection that the server drops is an 'error' event, which without a listener ends the process.
  pool.on('error', (err) => options.logger?.warn({ err }, 'lost an idle connection to PostgreSQL'))
  return pool
}

/** Whether PostgreSQL answers within `withinMs`; never throws. */
export async function isHealthy(pool: Pool, withinMs = 1_000): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), withinMs)
  const answer = pool.query('SELECT 1').then(
    () => true,
    () => false,
  )
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
