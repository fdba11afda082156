import { Pool } from 'pg'
import type { Logger } from '../../ports/logger.ts'

const STATEMENT_MS = 30_000
const CONNECT_MS = 5_000

/** Connections to the read models. `max` is how many at once; a statement may take 30 s. */
export function createPool(url: string, options: { max?: number; logger?: Logger } = {}): Pool {
  const pool = new Pool({
    connectionString: url,
    max: options.max ?? 8,
    connectionTimeoutMillis: CONNECT_MS,
    idleTimeoutMillis: 30_000,
    statement_timeout: STATEMENT_MS,
    lock_timeout: STATEMENT_MS,
    idle_in_transaction_session_timeout: 2 * STATEMENT_MS,
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
