// A process from its start to its end: the roles that it has, what it cannot go on after, and how it is drained.
import closeWithGrace from 'close-with-grace'
import { pino } from 'pino'
import type { App, Ports } from './app.ts'
import type { Config, Role } from './config.ts'
import type { Logger } from './ports/logger.ts'
import { startRoles } from './roles/roles.ts'
import type { Starting } from './roles/starting.ts'
import { startWorkerProcess } from './roles/worker.ts'

/** After this the process ends, whatever still hangs. */
const CLOSE_WITHIN_MS = 30_000

type Control = Partial<Pick<Starting, 'signal' | 'failed'>>

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
  const starting = (isWorkerOnly(config) ? startWorkerOnly : startMillrace)(config, logger, {
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

const isWorkerOnly = ({ roles }: Config): boolean => roles.every((role) => role === 'worker')

/** Starts everything the settings ask for; whatever was started is stopped again when something cannot be. */
export const startMillrace = (config: Config, logger: Logger, control: Control = {}): Promise<Running> =>
  startWith(startRoles, config, logger, control)

const startWorkerOnly = (
  config: Config,
  logger: Logger,
  control: Control,
): Promise<Pick<Running, 'address' | 'stop'>> =>
  startWith(async (starting) => ({ address: await startWorkerProcess(starting) }), config, logger, control)

async function startWith<T>(
  start: (starting: Starting) => Promise<T>,
  config: Config,
  logger: Logger,
  { signal, failed = () => {} }: Control,
): Promise<T & { stop(): Promise<void> }> {
  const started: Starting['started'] = []
  const stop = async (): Promise<void> => {
    for (const part of started.splice(0).reverse()) await part.stop()
  }
  try {
    return { ...(await start({ config, logger, started, signal, failed })), stop }
  } catch (error) {
    await stop()
    throw error
  }
}
