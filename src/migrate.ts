import { pino } from 'pino'
import { awaitPostgres } from './adapters/read-models/await-postgres.ts'
import { schemaFaults } from './adapters/read-models/check-schema.ts'
import { startEmbeddedPostgres } from './adapters/read-models/embedded-postgres.ts'
import { FOLDER, migrate, migrationStatus } from './adapters/read-models/migrate.ts'
import { readStatements } from './adapters/read-models/migration-statements.ts'
import type { Config } from './config.ts'
import { entities } from './projections/entities.ts'

/** The tables of the read models are not those that the migrations make. */
export class SchemaDiffers extends Error {}

export type MigrateHow = 'up' | 'down' | 'status' | 'dry-run' | 'validate'

/** The `migrate` command: up, down by one, what has run and what has not, what would run, or whether the schema is as it should be. */
export async function migrateReadModels(config: Config, what: MigrateHow): Promise<void> {
  const logger = pino({ level: config.logLevel }, pino.destination({ dest: 2, sync: true }))
  const external = config.database !== undefined && !config.database.startsWith('embedded:')
  const postgres = external
    ? { url: config.database as string, stop: async () => {} }
    : await startEmbeddedPostgres(config.database?.slice('embedded:'.length) || config.data)
  try {
    if (external) await awaitPostgres(postgres.url, { withinMs: config.databaseWaitMs, logger })
    if (what === 'up' || what === 'down') await migrate(postgres.url, { direction: what })
    const { applied, pending } = await migrationStatus(postgres.url)
    if (what === 'dry-run') return await printStatements(postgres.url, pending)
    if (what === 'validate') await validate(postgres.url, applied)
    for (const { name } of applied) console.log(`applied  ${name}`)
    for (const name of pending) console.log(`pending  ${name}`)
  } finally {
    await postgres.stop()
  }
}

async function printStatements(url: string, pending: readonly string[]): Promise<void> {
  if (pending.length === 0) console.log('-- nothing is pending')
  for (const { name, sql } of await readStatements(url, FOLDER, pending))
    console.log([`-- ${name}`, ...sql.map((statement) => `${statement.replace(/;$/, '')};`)].join('\n'))
}

/** @throws SchemaDiffers with a line for each difference */
async function validate(url: string, applied: readonly { readonly name: string }[]): Promise<void> {
  const names = applied.map(({ name }) => name)
  const faults = await schemaFaults(url, { folder: FOLDER, names, entities })
  if (faults.length > 0) throw new SchemaDiffers(faults.join('\n'))
  console.log('the schema is as the migrations make it, and has what the entities say')
}
