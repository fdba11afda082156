// A real PostgreSQL inside the data directory. Whoever holds the lock owns it and starts it again when it dies; others join.
import type { ChildProcess } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../../ports/logger.ts'
import { type Cluster, prepareCluster } from './postgres-cluster.ts'
import { freePort, readPidFile, startPostmaster, stopLeftover, stopPostmaster } from './postmaster.ts'

export type EmbeddedPostgres = { readonly url: string; stop(): Promise<void> }

const JOIN_MS = 60_000
const START_ATTEMPTS = 5
const RESTART_MS = { first: 50, most: 5_000 }

/**
 * Starts PostgreSQL in `<dataDir>/postgres`, listening on 127.0.0.1 only. A second process on the same directory joins
 * the first one's, whose end it then sees as any other outage.
 * @throws Error saying what stands in the way
 */
export async function startEmbeddedPostgres(dataDir: string, logger?: Logger): Promise<EmbeddedPostgres> {
  const directory = resolve(dataDir)
  await mkdir(directory, { recursive: true })
  const release = lock(join(directory, 'postgres.lock'))
  if (!release) return joinOther(directory, logger)
  try {
    const cluster = await prepareCluster(directory)
    const leftover = await stopLeftover(cluster.folder)
    if (leftover !== undefined)
      logger?.warn({ postmaster: leftover }, 'stopped the PostgreSQL that an earlier process left')
    return await own(cluster, release, logger)
  } catch (error) {
    release()
    throw error
  }
}

/** SQLite holds a lock of the operating system on the file, which ends with the process, however that ends. */
function lock(file: string): (() => void) | undefined {
  const database = new DatabaseSync(file)
  try {
    database.exec('BEGIN EXCLUSIVE')
    return () => database.close()
  } catch (error) {
    database.close()
    if ((error as { errcode?: number }).errcode === 5) return undefined
    throw error
  }
}

async function joinOther(directory: string, logger?: Logger): Promise<EmbeddedPostgres> {
  const folder = join(directory, 'postgres')
  for (const deadline = Date.now() + JOIN_MS; Date.now() < deadline; await delay(20)) {
    const file = await readPidFile(folder)
    if (!file?.ready) continue
    const password = (await readFile(join(directory, 'postgres.password'), 'utf8')).trim()
    logger?.info({ directory }, 'joined the PostgreSQL that another process runs on this data directory')
    return { url: urlOf(file.port, password), stop: async () => {} }
  }
  throw new Error(`Another process holds ${directory}, and its PostgreSQL is not ready after ${JOIN_MS / 1000} s`)
}

async function own(cluster: Cluster, release: () => void, logger?: Logger): Promise<EmbeddedPostgres> {
  const { child: first, port } = await startOnFreePort(cluster)
  const stopping = new AbortController()
  const supervision = supervise(cluster, port, first, stopping.signal, logger)
  const stop = async (): Promise<void> => {
    stopping.abort()
    await supervision
    release()
  }
  let stopped: Promise<void> | undefined
  return { url: urlOf(port, cluster.password), stop: () => (stopped ??= stop()) }
}

async function startOnFreePort(cluster: Cluster): Promise<{ child: ChildProcess; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    try {
      return { child: await startPostmaster(cluster, port), port }
    } catch (error) {
      // Somebody may have taken the port between the look and the start.
      if (attempt === START_ATTEMPTS || !/bind|in use/.test((error as Error).message)) throw error
    }
  }
}

/** Starts PostgreSQL again, on the same port, whenever it ends without having been asked to. */
async function supervise(cluster: Cluster, port: number, first: ChildProcess, stopping: AbortSignal, logger?: Logger) {
  let child: ChildProcess | undefined = first
  for (let waitMs = RESTART_MS.first; ; ) {
    if (child) await ended(child, stopping)
    if (stopping.aborted) break
    if (child) logger?.error({ code: child.exitCode, signal: child.signalCode }, 'PostgreSQL ended; starting it again')
    try {
      child = undefined
      child = await startPostmaster(cluster, port)
      waitMs = RESTART_MS.first
      logger?.info({ port }, 'PostgreSQL is back')
    } catch (error) {
      logger?.error({ err: error, retryMs: waitMs }, 'PostgreSQL does not start')
      await delay(waitMs, undefined, { signal: stopping }).catch(() => {})
      waitMs = Math.min(waitMs * 2, RESTART_MS.most)
    }
  }
  if (child?.pid !== undefined && running(child)) await stopPostmaster(child.pid)
}

const running = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null

/** Resolves when the process ended, or somebody asks for its end. */
function ended(child: ChildProcess, stopping: AbortSignal): Promise<void> {
  if (!running(child) || stopping.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    stopping.addEventListener('abort', () => resolve(), { once: true })
  })
}

const urlOf = (port: number, password: string): string =>
  `postgres://millrace:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`
