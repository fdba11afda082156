// One real PostgreSQL for a test file, and a database of its own for each test.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, type Pool } from 'pg'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/adapters/read-models/embedded-postgres.ts'
import { migrate } from '../../src/adapters/read-models/migrate.ts'
import { createPool } from '../../src/adapters/read-models/pool.ts'
import { type PidFile, readPidFile } from '../../src/adapters/read-models/postmaster.ts'
import type { Logger } from '../../src/ports/logger.ts'
import { until } from './recorded-log.ts'
import type { Server } from './server-process.ts'
import { findOwnServer, findServer } from './servers.ts'

/** Databases on a PostgreSQL for tests; everything of them goes with `stop`. */
export type TestDatabases = {
  readonly url: string
  /** The URL of a new, empty database. */
  createDatabase(): Promise<string>
  /** A database with every migration run, and a pool on it that closes with the server. */
  createReadModels(): Promise<{ url: string; pool: Pool }>
  stop(): Promise<void>
}

export type TestPostgres = TestDatabases & {
  readonly dataDir: string
  /** The process that owns the server. */
  postmaster(): Promise<PidFile>
  /** Ends it at once; resolves when it is there again. */
  crash(): Promise<void>
}

export const silent: Logger = { info: () => {}, warn: () => {}, error: () => {} }

export async function startTestPostgres(logger: Logger = silent): Promise<TestPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'millrace-postgres-'))
  const server: EmbeddedPostgres = await startEmbeddedPostgres(dataDir, logger)
  const databases = databasesOn(server.url)
  const postmaster = async () => {
    const file = await readPidFile(join(dataDir, 'postgres'))
    if (!file?.ready) throw new Error('PostgreSQL is not running')
    return file
  }
  return {
    ...databases,
    dataDir,
    postmaster,
    async crash() {
      const { pid } = await postmaster()
      process.kill(pid, 'SIGQUIT')
      await until('PostgreSQL again', async () => (await postmaster().catch(() => ({ pid }))).pid !== pid)
    },
    async stop() {
      await databases.stop()
      await server.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/**
 * What suites of the read models run on: the embedded PostgreSQL, and one of the kind that is named with `--database`.
 * @example describe.each(await postgresKinds())('on $name', ({ reason, start }) => …)
 */
export async function postgresKinds(): Promise<readonly PostgresKind[]> {
  const [found, own] = await Promise.all([findServer('postgres'), findOwnServer('postgres')])
  return [
    {
      name: 'the embedded PostgreSQL',
      reason: undefined,
      start: startTestPostgres,
      noCrash: undefined,
      startToCrash: startTestPostgres,
    },
    {
      name: 'a PostgreSQL of its own',
      reason: found.reason,
      start: async () => closingWith(await found.start()),
      noCrash: own.reason,
      async startToCrash() {
        const server = await own.start()
        return { ...closingWith(server), crash: () => server.restart() }
      },
    },
  ]
}

type PostgresKind = {
  readonly name: string
  /** Why there is none. */
  readonly reason: string | undefined
  start(): Promise<TestDatabases>
  /** Why there is none that may be harmed. */
  readonly noCrash: string | undefined
  startToCrash(): Promise<TestDatabases & Pick<TestPostgres, 'crash'>>
}

function closingWith(server: Server): TestDatabases {
  const databases = databasesOn(server.url)
  const stop = async () => {
    await databases.stop()
    await server.stop()
  }
  return { ...databases, stop }
}

function databasesOn(server: string): TestDatabases {
  const pools: Pool[] = []
  const names: string[] = []
  // The server may be used by others as well.
  const own = randomBytes(4).toString('hex')
  const createDatabase = async (): Promise<string> => {
    const name = `millrace_test_${own}_${names.length + 1}`
    names.push(name)
    await query(server, `CREATE DATABASE ${name}`)
    const url = new URL(server)
    url.pathname = `/${name}`
    return url.href
  }
  return {
    url: server,
    createDatabase,
    async createReadModels() {
      const url = await createDatabase()
      await migrate(url)
      const pool = createPool(url, { max: 12 })
      pools.push(pool)
      return { url, pool }
    },
    async stop() {
      await Promise.all(pools.filter((pool) => !pool.ended).map((pool) => pool.end()))
      for (const name of names) await query(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    },
  }
}

/** Runs one statement on a connection of its own. */
export async function query(url: string, sql: string): Promise<readonly Record<string, unknown>[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}
