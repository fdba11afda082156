// The roles of a process that has the log: all of them on one screen.
import { join } from 'node:path'
import { openSigner } from '../adapters/audit-key.ts'
import { type Connected, connect, connectLogTaking, connectReportTaking } from '../adapters/connect.ts'
import { measureLeases, measureQueue, measureReports, measureStore } from '../adapters/measured.ts'
import { putLines, withTable } from '../adapters/stage-logs/table.ts'
import { defaultRegistry } from '../api/metrics.ts'
import { createServer, createWatchingServer, type ServerOptions } from '../api/server.ts'
import { type App, createApp, type Ports } from '../app.ts'
import { newId } from '../commands/new-id.ts'
import type { Role } from '../config.ts'
import { createProjectionKeeper } from '../projections/keeper.ts'
import { startProjectorThread } from '../projector-thread.ts'
import { type Part, runSingleton } from '../singleton.ts'
import { createThreadedCheck } from '../verifier-thread.ts'
import { noQueries, openQueries, startDatabase } from './read-models.ts'
import { listen, prepare, type Starting, trace } from './starting.ts'
import { startWorkerRole } from './worker.ts'

/** How often leases that nobody holds are looked for. */
const LEASE_CHECK_MS = 2_000

/** Starts everything the settings ask for, in the order of what needs what. */
export async function startRoles(
  starting: Starting,
): Promise<{ readonly app: App; readonly ports: Ports; readonly address: string }> {
  const { config, logger, started, signal, failed } = starting
  const roles = new Set(config.roles)
  const prepared = await prepare(starting)

  const registry = defaultRegistry()
  const { ports, databaseUrl } = await openStores(starting, roles.has('api') || roles.has('projector'))
  void ports.failed.then(failed)
  measureStore(ports.store, registry)
  measureLeases(ports.leases, registry)
  measureQueue(ports.queue, ports.clock, registry)
  const tracing = trace(starting, ports)
  const tables = databaseUrl === undefined ? undefined : await openQueries(starting, databaseUrl, ports.store)

  const settings = { ...config, leaseCheckMs: Math.min(config.leaseMs / 3, LEASE_CHECK_MS) }
  const keeping =
    databaseUrl === undefined || tables === undefined
      ? undefined
      : {
          pool: tables.pool,
          checkLog: createThreadedCheck(config, databaseUrl),
          keeper: createProjectionKeeper(tables.pool),
        }
  const signer = roles.has('api') ? await openSigner(config.auditKey ?? join(config.data, 'audit-key.pem')) : undefined
  const app = createApp(
    { ...ports, ...(tables && { logs: withTable(ports.logs, tables.pool) }), ...(signer && { signer }) },
    tables?.queries ?? noQueries,
    logger,
    settings,
    keeping,
  )

  const id = newId()
  const once = (role: Role | 'retention', start: () => Part) => {
    const part = runSingleton({ role, id, leases: ports.leases, clock: ports.clock, logger, start })
    started.push({ name: role, stop: () => part.stop() })
    return part.ready
  }
  if (roles.has('projector') && databaseUrl !== undefined)
    await once('projector', () => startProjectorThread({ config, databaseUrl }, failed))
  if (roles.has('projector') && tables) {
    const { pool } = tables
    const taking = await connectLogTaking(config, logger, (lines) => putLines(pool, lines), signal)
    if (taking) started.push({ name: 'stage logs', stop: () => taking.close() })
  }
  const { retention } = app
  if (roles.has('projector') && retention && config.cleanUpMinutes > 0)
    await once('retention', () => retention.start(config.cleanUpMinutes * 60_000))
  if (roles.has('reactors')) await once('reactors', () => app.startReactors())
  if (roles.has('engine')) {
    const takes = { report: measureReports(app.takeReport, app.clock, registry), news: app.takeNews }
    const taking = await connectReportTaking(config, logger, takes, signal)
    if (taking) started.push({ name: 'engine', stop: () => taking.close() })
  }
  if (roles.has('worker')) {
    await startWorkerRole(starting, prepared, app.startWorker, app.history.endedAt)
  }

  const around = {
    host: config.host,
    logger,
    ready: readiness(ports, tables?.isUp),
    registry,
    ...(tracing && { tracing }),
  }
  const address = roles.has('api')
    ? await listen(starting, 'api', createServer(app, around), config.port)
    : await listen(starting, 'health', createWatchingServer(app, around), config.healthPort)
  // Before the API, which waits for its answers to end.
  started.push({ name: 'verification', stop: async () => app.verification.stop() })
  return { app, ports, address }
}

/** Opens the log and the database at once. Both are waited for also where one fails: the other must be stopped then. */
async function openStores(starting: Starting, needsTables: boolean) {
  const { config, logger, started, signal } = starting
  const [connected, database] = await Promise.allSettled([
    connect(config, logger, signal),
    needsTables ? startDatabase(starting) : undefined,
  ])
  if (connected.status === 'rejected') throw connected.reason
  const ports = connected.value
  started.push({ name: 'adapters', stop: () => ports.close() })
  if (database.status === 'rejected') throw database.reason
  return { ports, databaseUrl: database.value }
}

/** A log that takes no events is as good as none, though queries still answer. Without leases requests are answered all the same. */
function readiness(
  { refusing, leasesAway }: Connected,
  isDatabaseUp: (() => Promise<boolean>) | undefined,
): ServerOptions['ready'] {
  return async () => {
    const readModels = (await isDatabaseUp?.()) ?? true
    const refused = refusing()
    return {
      ok: readModels && refused === undefined,
      checks: {
        ...(isDatabaseUp ? { readModels } : {}),
        ...{ eventLog: refused === undefined, leases: leasesAway() === undefined },
      },
      ...(refused === undefined ? {} : { reasons: { eventLog: `the last write was refused: ${refused}` } }),
    }
  }
}
