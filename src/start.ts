// Runs the roles of one process from ready to drained.
import { hostname } from 'node:os'
import { join } from 'node:path'
import closeWithGrace from 'close-with-grace'
import { pino } from 'pino'
import packageFile from '../package.json' with { type: 'json' }
import { type Connected, connect } from './adapters/connect.ts'
import { type DataDirectory, takeDataDirectory } from './adapters/data-directory.ts'
import { measureLeases, measureStore } from './adapters/measured.ts'
import { awaitPostgres } from './adapters/read-models/await-postgres.ts'
import { startEmbeddedPostgres } from './adapters/read-models/embedded-postgres.ts'
import { migrate } from './adapters/read-models/migrate.ts'
import { createPool, isHealthy } from './adapters/read-models/pool.ts'
import { createOpenTelemetry } from './adapters/tracing/opentelemetry.ts'
import { traceQueue, traceStore } from './adapters/tracing/traced.ts'
import { defaultRegistry } from './api/metrics.ts'
import { createServer, createWatchingServer, type ServerOptions } from './api/server.ts'
import { type App, createApp, type Ports } from './app.ts'
import { newId } from './commands/new-id.ts'
import { type Config, type Role, scriptEnvironment } from './config.ts'
import type { Handler } from './ports/handler.ts'
import type { Logger } from './ports/logger.ts'
import type { Tracing } from './ports/tracing.ts'
import { resetReadModels } from './projections/read-models.ts'
import { startProjectorThread } from './projector-thread.ts'
import { createQueries } from './queries/create-queries.ts'
import { type Part, runSingleton } from './singleton.ts'
import { createThreadedCheck } from './verifier-thread.ts'
import { createHttpHandler } from './workers/handlers/http.ts'
import { loadHandlers } from './workers/handlers/load.ts'
import { reapLeftovers } from './workers/handlers/processes.ts'
import { removeLeftoverFiles } from './workers/handlers/script-files.ts'
import { createShellHandler } from './workers/handlers/shell.ts'
import { tidyWorkspaces } from './workers/handlers/workspaces.ts'

/** How long running attempts may take to finish after SIGTERM. */
const DRAIN_GRACE_MS = 10_000
/** How often leases that nobody holds are looked for. */
const LEASE_CHECK_MS = 2_000
/** After this the process ends, whatever still hangs. */
const CLOSE_WITHIN_MS = 30_000

/** The address is not to be had: `message` says why. */
export class CannotListen extends Error {
  constructor(host: string, port: number, cause: NodeJS.ErrnoException) {
    const why = cause.code === 'EADDRINUSE' ? 'another program listens there' : cause.message
    super(`cannot listen on ${host}, port ${port}: ${why}; choose another with --port, or 0 for any free one`, {
      cause,
    })
    this.name = 'CannotListen'
  }
}

/** What was started, newest last; it is stopped in the opposite order. */
type Stoppable = { readonly name: string; stop(): Promise<unknown> }

/** `failed` hears of what the process cannot go on after, also while it still starts. */
type Control = { readonly signal?: AbortSignal; readonly failed?: (error: Error) => void }

/** A running process: `address` is where its API listens, empty without one. */
export type Running = { readonly app: App; readonly ports: Ports; readonly address: string; stop(): Promise<void> }

/**
 * The `start` command: runs until SIGTERM or SIGINT, also while it still starts, then drains and ends with 0.
 * @throws what the process cannot go on after. Then nothing is drained: it is left as a kill would leave it, which the
 * next start knows how to take up, since draining would write to a log that cannot be written to.
 */
export async function start(config: Config): Promise<void> {
  const logger = pino({ level: config.logLevel }, pino.destination({ dest: 2, sync: true }))
  const ending = new AbortController()
  const failure = Promise.withResolvers<never>()
  let fatal: Error | undefined
  const starting = startMillrace(config, logger, {
    signal: ending.signal,
    failed(error) {
      fatal ??= error
      // Its message is for whoever runs the program; where it happened, for whoever mends it.
      if (error.cause) logger.error({ err: error.cause }, 'ending')
      failure.reject(error)
    },
  })
  const { uninstall } = closeWithGrace({ delay: CLOSE_WITHIN_MS, logger: false }, async ({ signal, err }) => {
    if (err) logger.error({ err }, 'ending after an error that nobody caught')
    else logger.info({ signal }, 'draining')
    ending.abort()
    // What cannot be started any more has stopped what it had started.
    await starting.then(
      (running) => running.stop(),
      () => {},
    )
  })
  try {
    const { address } = await Promise.race([starting, failure.promise])
    const where = saidOf(config.roles, address)
    if (!ending.signal.aborted) console.log(`Millrace ${where} (data in ${config.data})`)
    await failure.promise
  } catch (error) {
    // What cannot be started because the program is to end has not failed.
    if (ending.signal.aborted && error !== fatal) return
    uninstall()
    throw error
  }
}

function saidOf(roles: readonly Role[], address: string): string {
  if (roles.includes('api')) return `listens on ${address}`
  return `runs ${roles.join(', ')}${address === '' ? '' : `, answers /health at ${address}`}`
}

/** Starts everything the settings ask for; whatever was started is stopped again when something cannot be. */
export async function startMillrace(config: Config, logger: Logger, control: Control = {}): Promise<Running> {
  const started: Stoppable[] = []
  const stop = async (): Promise<void> => {
    for (const part of started.splice(0).reverse()) await part.stop()
  }
  try {
    return { ...(await startRoles(config, logger, started, control)), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startRoles(
  config: Config,
  logger: Logger,
  started: Stoppable[],
  { signal, failed = () => {} }: Control,
): Promise<Omit<Running, 'stop'>> {
  const handlers = await loadHandlers(config.handlers)
  const directory = takeDataDirectory(config.data)
  started.push({ name: 'data directory', stop: async () => directory.release() })
  // Before anything runs: scripts of a process that was killed must not go on beside their next attempt.
  const reaped = await reapLeftovers(directory.instance)
  if (reaped > 0) logger.warn({ processes: reaped }, 'ended what an earlier process had left running')

  const registry = defaultRegistry()
  const { ports, databaseUrl } = await openStores(config, logger, started, signal)
  void ports.failed.then(failed)
  measureStore(ports.store, registry)
  measureLeases(ports.leases, registry)
  const tracing = config.traces === undefined ? undefined : startTracing(config.traces, config.roles, ports, started)
  const pool = createPool(databaseUrl, { logger })
  started.push({ name: 'read models', stop: () => pool.end() })
  const queries = createQueries({ url: databaseUrl, pool, head: () => ports.store.head() })
  started.push({ name: 'queries', stop: () => queries.close() })

  const settings = { ...config, leaseCheckMs: Math.min(config.leaseMs / 3, LEASE_CHECK_MS) }
  const app = createApp(ports, queries, logger, settings, {
    checkLog: createThreadedCheck(config, databaseUrl),
    reset: (names) => resetReadModels(pool, names),
  })
  const roles = new Set(config.roles)
  const id = newId()
  const once = (role: Role, start: () => Part) => {
    const part = runSingleton({ role, id, leases: ports.leases, clock: ports.clock, logger, start })
    started.push({ name: role, stop: () => part.stop() })
    return part.ready
  }
  if (roles.has('projector')) await once('projector', () => startProjectorThread({ config, databaseUrl }, failed))
  if (roles.has('reactors')) await once('reactors', () => app.startReactors())
  if (roles.has('worker')) await startWorker(app, config, directory, handlers, started, logger)
  const ready = readiness(ports, () => isHealthy(pool))
  const around = { host: config.host, logger, ready, registry, ...(tracing ? { tracing } : {}) }
  const listening = roles.has('api')
    ? { name: 'api', server: createServer(app, around), port: config.port }
    : { name: 'health', server: createWatchingServer(app, around), port: config.healthPort }
  const address = await listen(listening, config.host, started)
  // Before the API, which waits for its answers to end.
  started.push({ name: 'verification', stop: async () => app.verification.stop() })
  return { app, ports, address }
}

function startTracing(url: string, roles: readonly Role[], ports: Ports, started: Stoppable[]): Tracing {
  const about = { 'service.version': packageFile.version, 'host.name': hostname(), 'millrace.roles': roles.join(',') }
  const tracing = createOpenTelemetry(url, about)
  started.push({ name: 'traces', stop: () => tracing.close() })
  traceStore(ports.store, tracing)
  traceQueue(ports.queue, tracing)
  return tracing
}

/** Opens the log and the database at once. Both are waited for also where one fails: the other must be stopped then. */
async function openStores(config: Config, logger: Logger, started: Stoppable[], signal?: AbortSignal) {
  const [connected, database] = await Promise.allSettled([
    connect(config, logger),
    startDatabase(config, logger, started, signal),
  ])
  if (connected.status === 'rejected') throw connected.reason
  const ports = connected.value
  started.push({ name: 'adapters', stop: () => ports.close() })
  if (database.status === 'rejected') throw database.reason
  return { ports, databaseUrl: database.value }
}

async function startDatabase(
  config: Config,
  logger: Logger,
  started: Stoppable[],
  signal?: AbortSignal,
): Promise<string> {
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

async function startWorker(
  app: App,
  config: Config,
  directory: DataDirectory,
  loaded: readonly Handler[],
  started: Stoppable[],
  logger: Logger,
): Promise<void> {
  const workDir = join(config.data, 'work')
  // What a script has locked away is in nobody's way.
  await removeLeftoverFiles(workDir).catch((err) => logger.warn({ err }, 'cannot remove the files of old attempts'))
  const shell = createShellHandler({ workDir, instance: directory.instance, environment: scriptEnvironment() })
  const all = [shell, createHttpHandler({ allowPrivate: config.allowOutbound }), ...loaded]
  const limits = config.queues.flatMap(({ name, limit }) => (limit === undefined ? [] : [[name, limit] as const]))
  const worker = app.startWorker({
    id: newId(),
    handlers: new Map(all.map((handler) => [handler.name, handler])),
    queues: config.queues.map(({ name }) => name),
    concurrency: config.concurrency,
    perQueue: Object.fromEntries(limits),
    labels: config.labels,
    about: { host: hostname(), pid: process.pid, version: packageFile.version },
  })
  started.push({ name: 'worker', stop: () => worker.drain(DRAIN_GRACE_MS) })
  const keepMs = config.keepWorkHours * 3_600_000
  const tidying = tidyWorkspaces({ workDir, keepMs, endedAt: app.history.endedAt, clock: app.clock, logger })
  started.push({ name: 'working directories', stop: () => tidying.stop() })
}

async function listen(
  { name, server, port }: { name: string; server: ReturnType<typeof createServer>; port: number | undefined },
  host: string,
  started: Stoppable[],
): Promise<string> {
  if (port === undefined) return ''
  started.push({ name, stop: () => server.close() })
  try {
    return await server.listen({ host, port })
  } catch (error) {
    throw new CannotListen(host, port, error as NodeJS.ErrnoException)
  }
}

/** A log that takes no events is as good as none, though queries still answer. */
function readiness({ refusing }: Connected, isDatabaseUp: () => Promise<boolean>): ServerOptions['ready'] {
  return async () => {
    const readModels = await isDatabaseUp()
    const refused = refusing()
    return {
      ok: readModels && refused === undefined,
      checks: { readModels, eventLog: refused === undefined },
      ...(refused === undefined ? {} : { reasons: { eventLog: `the last write was refused: ${refused}` } }),
    }
  }
}
