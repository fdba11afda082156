// What every process begins with, whatever its roles are.
import { hostname } from 'node:os'
import packageFile from '../../package.json' with { type: 'json' }
import { type DataDirectory, takeDataDirectory } from '../adapters/data-directory.ts'
import { createOpenTelemetry } from '../adapters/tracing/opentelemetry.ts'
import { traceQueue, traceStore } from '../adapters/tracing/traced.ts'
import type { createServer } from '../api/server.ts'
import type { Ports } from '../app.ts'
import type { Config } from '../config.ts'
import type { Handler } from '../ports/handler.ts'
import type { Logger } from '../ports/logger.ts'
import type { Tracing } from '../ports/tracing.ts'
import { loadHandlers } from '../workers/handlers/load.ts'
import { reapLeftovers } from '../workers/handlers/processes.ts'

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

/** A process that starts: what was started, newest last, is stopped in the opposite order. */
export type Starting = {
  readonly config: Config
  readonly logger: Logger
  readonly started: { readonly name: string; stop(): Promise<unknown> }[]
  readonly signal?: AbortSignal | undefined
  /** Hears of what the process cannot go on after, also while it still starts. */
  failed(error: Error): void
}

/** Its own folder, and the handlers that users have written. */
export async function prepare({ config, logger, started }: Starting): Promise<{
  readonly directory: DataDirectory
  readonly handlers: readonly Handler[]
}> {
  const handlers = await loadHandlers(config.handlers)
  const directory = takeDataDirectory(config.data)
  started.push({ name: 'data directory', stop: async () => directory.release() })
  // Before anything runs: scripts of a process that was killed must not go on beside their next attempt.
  const reaped = await reapLeftovers(directory.instance)
  if (reaped > 0) logger.warn({ processes: reaped }, 'ended what an earlier process had left running')
  return { directory, handlers }
}

/** Has the ports leave spans where somebody collects them. */
export function trace(
  { config, started }: Starting,
  ports: Pick<Ports, 'queue'> & Partial<Ports>,
): Tracing | undefined {
  if (config.traces === undefined) return undefined
  const roles = config.roles.join(',')
  const about = { 'service.version': packageFile.version, 'host.name': hostname(), 'millrace.roles': roles }
  const tracing = createOpenTelemetry(config.traces, about)
  started.push({ name: 'traces', stop: () => tracing.close() })
  if (ports.store) traceStore(ports.store, tracing)
  traceQueue(ports.queue, tracing)
  return tracing
}

/** Answers the address, which is empty where there is no port to listen on. */
export async function listen(
  { config: { host }, started }: Starting,
  name: string,
  server: ReturnType<typeof createServer>,
  port: number | undefined,
): Promise<string> {
  if (port === undefined) return ''
  started.push({ name, stop: () => server.close() })
  try {
    return await server.listen({ host, port })
  } catch (error) {
    throw new CannotListen(host, port, error as NodeJS.ErrnoException)
  }
}
