// One real PostgreSQL for a test file, and a database of its own for each test.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, type Pool } from 'pg'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/adapters/read-models/embedded-postgres.ts'
import { migrate } from '../../src/adapters/read-models/migrate.ts'
import { createPool } from '../../src/adapters/read-models/pool.ts'
import { type PidFile, readPidFile } from '../../src/adapters/read-models/postmaster.ts'
import type { Logger } from '../../src/ports/logger.ts'

export type TestPostgres = {
  readonly url: string
  readonly dataDir: string
  /** The URL of a new, empty database. */
  createDatabase(): Promise<string>
  /** A database with every migration run, and a pool on it that closes with the server. */
  createReadModels(): Promise<{ url: string; pool: Pool }>
  /** The process that owns the server. */
  postmaster(): Promise<PidFile>
  stop(): Promise<void>
}

export const silent: Logger = { info: () => {}, warn: () => {}, error: () => {} }

export async function startTestPostgres(logger: Logger = silent): Promise<TestPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'millrace-postgres-'))
  const server: EmbeddedPostgres = await startEmbeddedPostgres(dataDir, logger)
  const pools: Pool[] = []
  let count = 0

  const createDatabase = async (): Promise<string> => {
    const name = `test_${++count}`
    await query(server.url, `CREATE DATABASE ${name}`)
    const url = new URL(server.url)
    url.pathname = `/${name}`
    return url.href
  }
  return {
    url: server.url,
    dataDir,
    createDatabase,
    async createReadModels() {
      const url = await createDatabase()
      await migrate(url)
      const pool = createPool(url, { max: 5 })
      pools.push(pool)
      return { url, pool }
    },
    async postmaster() {
      const file = await readPidFile(join(dataDir, 'postgres'))
      if (!file?.ready) throw new Error('PostgreSQL is not running')
      return file
    },
    async stop() {
      await Promise.all(pools.filter((pool) => !pool.ended).map((pool) => pool.end()))
      await server.stop()
      await rm(dataDir, { recursive: true, force: true })
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
