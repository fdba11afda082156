// MikroORM runs the migrations; the lock and the checksums that it lacks are here.
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Migrator } from '@mikro-orm/migrations'
import { MikroORM } from '@mikro-orm/postgresql'
import { Client } from 'pg'
import type { Logger } from '../../ports/logger.ts'

export const FOLDER = join(import.meta.dirname, '../../../migrations')
/** Any number will do that no other program uses as its advisory lock in this database. */
const LOCK = 7_304_613_001
const CLOSE_MS = 2_000

// What stands beside the live tables may lack what they have now, and is made again from the log.
const DROP_SHADOWS = `do $$ declare one record; begin
  for one in select schemaname, tablename from pg_tables
    where schemaname in (current_schema() || '_next', current_schema() || '_previous') loop
    execute format('drop table %I.%I cascade', one.schemaname, one.tablename);
  end loop;
  if to_regclass('projection_previous') is not null then delete from projection_previous; end if;
end $$`

type Applied = { readonly name: string; readonly checksum: string; readonly appliedAt: string }
type Known = { readonly name: string; readonly checksum: string }

export type MigrationStatus = { readonly applied: readonly Applied[]; readonly pending: readonly string[] }

/** The migrations in the database are not those of this program; nothing was changed. */
export class MigrationsDiffer extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'MigrationsDiffer'
  }
}

/**
 * Brings the schema to what this program needs (`up`), or takes the newest migration back (`down`), in one transaction.
 * A second caller waits for the first. Answers the names of what ran.
 * @throws MigrationsDiffer
 */
export async function migrate(
  url: string,
  options: { direction?: 'up' | 'down'; log?: Logger; folder?: string } = {},
): Promise<readonly string[]> {
  const { direction = 'up', log, folder = FOLDER } = options
  return withLock(url, async (client) => {
    const { applied, pending } = await compare(client, folder)
    const names = direction === 'up' ? pending : applied.slice(-1)
    if (names.length === 0) return []
    await run(url, folder, direction, names)
    log?.info({ direction, migrations: names.map(({ name }) => name) }, 'migrated the read models')
    return names.map(({ name }) => name)
  })
}

/** What ran and what is still to run. @throws MigrationsDiffer */
export async function migrationStatus(url: string, options: { folder?: string } = {}): Promise<MigrationStatus> {
  return withClient(url, async (client) => {
    const { applied, pending } = await compare(client, options.folder ?? FOLDER)
    return { applied, pending: pending.map(({ name }) => name) }
  })
}

async function withClient<T>(url: string, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  // The query under way rejects by itself; without a listener the event would end the process.
  client.on('error', () => {})
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

/** The lock belongs to the session, so it goes when the process is killed. */
const withLock = <T>(url: string, use: (client: Client) => Promise<T>): Promise<T> =>
  withClient(url, async (client) => {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK])
    return use(client)
  })

async function compare(client: Client, folder: string): Promise<{ applied: Applied[]; pending: Known[] }> {
  const known = await readMigrations(folder)
  const applied = await readApplied(client)
  assertPrefix(applied, known)
  return { applied, pending: known.slice(applied.length) }
}

async function readMigrations(folder: string): Promise<Known[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.ts')).sort()
  return Promise.all(
    files.map(async (file) => {
      const text = (await readFile(join(folder, file), 'utf8')).replaceAll('\r\n', '\n')
      return { name: file.slice(0, -'.ts'.length), checksum: createHash('sha256').update(text).digest('hex') }
    }),
  )
}

async function readApplied(client: Client): Promise<Applied[]> {
  const { rows: tables } = await client.query(`SELECT to_regclass('migration_checksums') AS found`)
  if (tables[0].found === null) return []
  const { rows } = await client.query('SELECT name, checksum, applied_at FROM migration_checksums ORDER BY ordinal')
  return rows.map((row) => ({ name: row.name, checksum: row.checksum, appliedAt: row.applied_at.toISOString() }))
}

/**
 * Texts of migrations that ran before those were mended, by name. That of 0009 looked at the rows that were there, and so did not let
 * programs start whose rows were wrong; where it ran, the same constraints stand.
 */
const SUPERSEDED: Readonly<Record<string, string>> = {
  '0009-references': 'ba58bc532d9ae65e75dbd967b457c388fc0123f1fb22807fa1445e6dffb14918',
}

/** What ran must be the beginning of what the program brings, file for file. */
function assertPrefix(applied: readonly Applied[], known: readonly Known[]): void {
  const newest = known.at(-1)?.name ?? ''
  for (const [at, { name, checksum }] of applied.entries()) {
    const here = known[at]
    if (here?.name === name && (here.checksum === checksum || SUPERSEDED[name] === checksum)) continue
    if (here?.name === name) throw new MigrationsDiffer(`migration ${name} was edited after it ran`)
    if (known.some((other) => other.name === name))
      throw new MigrationsDiffer(
        `migration ${here?.name} comes before ${name}, which ran without it: the order changed`,
      )
    if (name > newest) throw new MigrationsDiffer(`migration ${name} in the database is newer than this program`)
    throw new MigrationsDiffer(`migration ${name} ran in the database and is missing here`)
  }
}

/** One transaction holds the migrations, MikroORM's record of them and their checksums, so a kill leaves all or none. */
async function run(url: string, folder: string, direction: 'up' | 'down', names: readonly Known[]): Promise<void> {
  const orm = await MikroORM.init({
    clientUrl: url,
    // Of the URL it would take neither sslmode nor any other option.
    driverOptions: { connectionString: url },
    entities: [],
    discovery: { warnWhenNoEntities: false },
    extensions: [Migrator],
    migrations: { path: folder, glob: '*.ts', snapshot: false, silent: true, disableForeignKeys: false },
  })
  try {
    await orm.em.transactional(async (em) => {
      const execute = (sql: string, values: unknown[] = []) => em.execute(sql, values)
      await execute(`CREATE TABLE IF NOT EXISTS migration_checksums
        (ordinal integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE NOT NULL, checksum text NOT NULL,
         applied_at timestamptz NOT NULL DEFAULT now())`)
      await orm.migrator[direction]({
        migrations: names.map(({ name }) => name),
        transaction: em.getTransactionContext(),
      })
      await execute(DROP_SHADOWS)
      for (const { name, checksum } of names)
        if (direction === 'down') await execute('DELETE FROM migration_checksums WHERE name = ?', [name])
        else await execute('INSERT INTO migration_checksums (name, checksum) VALUES (?, ?)', [name, checksum])
    })
  } finally {
    // It waits for ever for a connection that the server cut while a migration ran.
    await Promise.race([orm.close(), delay(CLOSE_MS, undefined, { ref: false })])
  }
}
