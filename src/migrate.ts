import { pino } from 'pino'
import { awaitPostgres } from './adapters/read-models/await-postgres.ts'
import { startEmbeddedPostgres } from './adapters/read-models/embedded-postgres.ts'
import { migrate, migrationStatus } from './adapters/read-models/migrate.ts'
import type { Config } from './config.ts'

/** The `migrate` command: up, down by one, or what has run and what has not. */
export async function migrateReadModels(config: Config, what: 'up' | 'down' | 'status'): Promise<void> {
  const logger = pino({ level: config.logLevel }, pino.destination({ dest: 2, sync: true }))
  const external = config.database !== undefined && !config.database.startsWith('embedded:')
  const postgres = external
    ? { url: config.database as string, stop: async () => {} }
    : await startEmbeddedPostgres(config.database?.slice('embedded:'.length) || config.data)
  try {
    if (external) await awaitPostgres(postgres.url, { withinMs: config.databaseWaitMs, logger })
    if (what !== 'status') await migrate(postgres.url, { direction: what })
    const { applied, pending } = await migrationStatus(postgres.url)
    for (const { name } of applied) console.log(`applied  ${name}`)
    for (const name of pending) console.log(`pending  ${name}`)
  } finally {
    await postgres.stop()
  }
}
