// The database of the read models, for processes that write or ask them.
import type { Pool } from 'pg'
import { awaitPostgres } from '../adapters/read-models/await-postgres.ts'
import { startEmbeddedPostgres } from '../adapters/read-models/embedded-postgres.ts'
import { migrate } from '../adapters/read-models/migrate.ts'
import { createPool, isHealthy } from '../adapters/read-models/pool.ts'
import type { EventStore } from '../ports/event-store.ts'
import { createQueries } from '../queries/create-queries.ts'
import type { Queries } from '../queries/queries.ts'
import type { Starting } from './starting.ts'

/** Resolves with its URL once its tables are as this program wants them. */
export async function startDatabase({ config, logger, started, signal }: Starting): Promise<string> {
  const embedded = config.database === undefined || config.database.startsWith('embedded:')
  let url = config.database ?? ''
  if (embedded) {
    const postgres = await startEmbeddedPostgres(config.database?.slice('embedded:'.length) || config.data, logger)
    started.push({ name: 'PostgreSQL', stop: () => postgres.stop() })
    url = postgres.url
  } else await awaitPostgres(url, { withinMs: config.databaseWaitMs, logger, signal })
  await migrate(url)
  return url
}

/**
 * What is asked of the read models goes to the replica where there is one, and to nothing else: whether a position has been reached
 * as well, so that nobody is answered with less. It is a copy of the tables and of how far they are, and may lag.
 */
export async function openQueries(
  { config: { databaseReplica, databaseWaitMs }, logger, started, signal }: Starting,
  databaseUrl: string,
  store: Pick<EventStore, 'head' | 'spacing'>,
): Promise<{ readonly pool: Pool; readonly queries: Queries; isUp(): Promise<boolean> }> {
  const primary = createPool(databaseUrl, { logger })
  started.push({ name: 'read models', stop: () => primary.end() })
  let [url, pool] = [databaseUrl, primary]
  if (databaseReplica !== undefined) {
    url = databaseReplica
    await awaitPostgres(url, { withinMs: databaseWaitMs, logger, signal })
    const replica = createPool(url, { logger })
    started.push({ name: 'read models’ replica', stop: () => replica.end() })
    pool = replica
  }
  const queries = createQueries({ url, pool, head: () => store.head(), spacing: store.spacing })
  started.push({ name: 'queries', stop: () => queries.close() })
  const isUp = async () =>
    (await Promise.all([...new Set([pool, primary])].map((one) => isHealthy(one)))).every(Boolean)
  return { pool: primary, queries, isUp }
}

/** Of a process that asks nothing: its roles need no database. */
export const noQueries = new Proxy({} as Queries, {
  get: (_, name) => () => Promise.reject(new Error(`this process has no read models: ${String(name)}`)),
})
