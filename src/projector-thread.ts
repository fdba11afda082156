// The projector in a thread of its own: turning events into rows costs as much as deciding them, and must not wait in
// the same line. This file is both ends: what starts the thread, and what runs in it.
import { setPriority } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { pino } from 'pino'
import { ThreadCrashed } from './adapters/event-store/log-thread.ts'
import { type EventStoreSettings, openEventStore } from './adapters/open-event-store.ts'
import { createPool } from './adapters/read-models/pool.ts'
import type { Config } from './config.ts'
import { startProjector } from './projections/start.ts'

type ThreadData = {
  readonly config: EventStoreSettings & Pick<Config, 'logLevel'>
  readonly databaseUrl: string
}

/** Read models may lag; runs may not. On Linux this is the niceness of the calling thread alone. */
const NICENESS = 5
/** An index over all rows of a large table takes its time. */
const REBUILD_STATEMENT_MS = 3_600_000

/** @param failed hears of it when the thread ends without having been asked to */
export function startProjectorThread(
  { config, databaseUrl }: { config: Config; databaseUrl: string },
  failed: (error: Error) => void,
) {
  const { data, archive, eventStore, eventStoreWaitMs, logLevel } = config
  const given: ThreadData = { config: { data, archive, eventStore, eventStoreWaitMs, logLevel }, databaseUrl }
  const thread = new Worker(new URL(import.meta.url), { workerData: given })
  const ended = Promise.withResolvers<void>()
  let stopping = false
  const end = (cause: Error): void => {
    if (!stopping) failed(new ThreadCrashed('the projector', cause))
    ended.resolve()
  }
  thread.on('error', (error) => end(error as Error))
  thread.on('exit', (code) => end(new Error(`exit code ${code}`)))
  return {
    name: 'projector',
    async stop() {
      stopping = true
      thread.postMessage('stop')
      await ended.promise
    },
  }
}

async function run({ config, databaseUrl }: ThreadData): Promise<void> {
  if (process.platform === 'linux') setPriority(0, NICENESS)
  const logger = pino({ level: config.logLevel }, pino.destination({ dest: 2, sync: true }))
  const stop = new AbortController()
  parentPort?.once('message', () => stop.abort())
  const { store, failed } = await openEventStore(config, logger, stop.signal)
  // Uncaught, so that it ends this thread, and with it the process.
  void failed.then((error) => {
    throw error
  })
  const pool = createPool(databaseUrl, { logger })
  const rebuildPool = createPool(databaseUrl, { logger, max: 10, statementMs: REBUILD_STATEMENT_MS })
  await startProjector({ store, pool, rebuildPool, logger, signal: stop.signal }).stopped
  await Promise.all([pool.end(), rebuildPool.end()])
  await store.close()
}

if (!isMainThread && (workerData as ThreadData | undefined)?.databaseUrl) await run(workerData as ThreadData)
