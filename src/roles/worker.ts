// The role of a worker, beside others in a process with the log, or alone in one that has the queue and the leases only.
import { hostname } from 'node:os'
import { join } from 'node:path'
import packageFile from '../../package.json' with { type: 'json' }
import { systemClock } from '../adapters/clock.ts'
import { connectWorker } from '../adapters/connect.ts'
import type { DataDirectory } from '../adapters/data-directory.ts'
import { measureLeases, measureQueue } from '../adapters/measured.ts'
import { defaultRegistry } from '../api/metrics.ts'
import { createWatchingServer } from '../api/server.ts'
import type { App } from '../app.ts'
import { newId } from '../commands/new-id.ts'
import { scriptEnvironment } from '../config.ts'
import type { Handler } from '../ports/handler.ts'
import { createHttpHandler } from '../workers/handlers/http.ts'
import { removeLeftoverFiles } from '../workers/handlers/script-files.ts'
import { createShellHandler } from '../workers/handlers/shell.ts'
import { tidyWorkspaces, watchUse } from '../workers/handlers/workspaces.ts'
import { startWorker } from '../workers/worker.ts'
import { listen, prepare, type Starting, trace } from './starting.ts'

/** How long running attempts may take to finish after SIGTERM. */
const DRAIN_GRACE_MS = 10_000
const HOUR_MS = 3_600_000

type Prepared = { readonly directory: DataDirectory; readonly handlers: readonly Handler[] }

const workFolder = (data: string): string => join(data, 'work')

/** @param start begins with what the settings say of the worker; `endedAt` says when a run ended, where there is a log to tell */
export async function startWorkerRole(
  { config, logger, started }: Starting,
  { directory, handlers: loaded }: Prepared,
  start: App['startWorker'],
  endedAt?: (executionId: string) => Promise<string | undefined>,
): Promise<void> {
  const workDir = workFolder(config.data)
  // What a script has locked away is in nobody's way.
  await removeLeftoverFiles(workDir).catch((err) => logger.warn({ err }, 'cannot remove the files of old attempts'))
  const watched = watchUse(
    createShellHandler({ workDir, instance: directory.instance, environment: scriptEnvironment() }),
    workDir,
  )
  const all = [watched.handler, createHttpHandler({ allowPrivate: config.allowOutbound }), ...loaded]
  const limits = config.queues.flatMap(({ name, limit }) => (limit === undefined ? [] : [[name, limit] as const]))
  const worker = start({
    id: newId(),
    handlers: new Map(all.map((handler) => [handler.name, handler])),
    queues: config.queues.map(({ name }) => name),
    concurrency: config.concurrency,
    perQueue: Object.fromEntries(limits),
    labels: config.labels,
    about: { host: hostname(), pid: process.pid, version: packageFile.version },
  })
  started.push({ name: 'worker', stop: () => worker.drain(DRAIN_GRACE_MS) })
  const tidying = tidyWorkspaces({
    ...{ workDir, clock: systemClock, logger },
    ...(endedAt
      ? { endedAt, keepMs: config.keepWorkHours * HOUR_MS }
      : // Between two stages of a run nobody uses it.
        { endedAt: watched.leftAt, removing: watched.removing, keepMs: Math.max(config.keepWorkHours, 1) * HOUR_MS }),
  })
  started.push({ name: 'working directories', stop: () => tidying.stop() })
}

/** A process that is a worker and nothing else: what it has to say to the log travels as its work does. Answers the address of its health. */
export async function startWorkerProcess(starting: Starting): Promise<string> {
  const { config, logger, started, signal } = starting
  const prepared = await prepare(starting)
  const registry = defaultRegistry()
  const links = await connectWorker(config, logger, signal)
  started.push({ name: 'adapters', stop: () => links.close() })
  measureLeases(links.leases, registry)
  measureQueue(links.queue, links.clock, registry)
  trace(starting, links)
  await startWorkerRole(starting, prepared, (given) => {
    const { perQueue, labels = [], ...options } = given
    const { leaseMs, heartbeatMs } = config
    return startWorker({
      ...options,
      ...links,
      labels,
      leaseMs,
      heartbeatMs,
      logger,
      ...(perQueue ? { perQueue } : {}),
    })
  })
  const ready = async () => {
    const away = links.leasesAway()
    const reasons = away === undefined ? {} : { reasons: { leases: away } }
    return { ok: away === undefined, checks: { leases: away === undefined }, ...reasons }
  }
  const server = createWatchingServer(links, { host: config.host, logger, ready, registry })
  return listen(starting, 'health', server, config.healthPort)
}
