// A reading of the whole log in a thread of its own, so that runs do not wait in the same line. This file is both ends: what
// starts the thread, and what runs in it.
import { setPriority } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { type EventStoreSettings, openEventStore } from './adapters/open-event-store.ts'
import { type CheckLog, createCheckLog, type Told } from './verification/check-log.ts'
import type { LogFindings } from './verification/report.ts'

type ThreadData = {
  readonly config: EventStoreSettings
  readonly verifies: { readonly databaseUrl: string; readonly readModels: boolean }
}
type Said = { readonly told: Told } | { readonly findings: LogFindings }

/** On Linux this is the niceness of the calling thread alone. */
const NICENESS = 10
/** A check that needs more than this ends, and says so; the program goes on. */
const MOST_MEMORY_MB = 4_096
const TELL_EVERY_MS = 100
const SILENT = { info() {}, warn() {}, error() {} }

export const createThreadedCheck =
  (config: EventStoreSettings, databaseUrl: string): CheckLog =>
  ({ readModels, signal, tell }) =>
    new Promise((resolve, reject) => {
      const { data, archive, eventStore, eventStoreWaitMs } = config
      const given: ThreadData = {
        config: { data, archive, eventStore, eventStoreWaitMs },
        verifies: { databaseUrl, readModels },
      }
      const thread = new Worker(new URL(import.meta.url), {
        workerData: given,
        resourceLimits: { maxOldGenerationSizeMb: MOST_MEMORY_MB },
      })
      const end = (): void => void thread.terminate()
      thread.on('message', (said: Said) => ('told' in said ? tell(said.told) : resolve(said.findings)))
      thread.on('error', reject)
      thread.on('exit', () => {
        signal.removeEventListener('abort', end)
        reject(signal.aborted ? signal.reason : new Error('the thread that checks the log has ended'))
      })
      signal.addEventListener('abort', end, { once: true })
    })

async function run({ config, verifies: { databaseUrl, readModels } }: ThreadData): Promise<void> {
  if (process.platform === 'linux') setPriority(0, NICENESS)
  const say = (said: Said): void => parentPort?.postMessage(said)
  // What goes wrong with the log is what the check ends with, or the process has been told already.
  const { store } = await openEventStore(config, SILENT)
  let toldAt = 0
  const tell = (told: Told): void => {
    if (performance.now() - toldAt < TELL_EVERY_MS && told.phase === 'reading the log') return
    toldAt = performance.now()
    say({ told })
  }
  try {
    say({
      findings: await createCheckLog(store, databaseUrl)({ readModels, signal: new AbortController().signal, tell }),
    })
  } finally {
    await store.close()
  }
}

if (!isMainThread && (workerData as ThreadData | undefined)?.verifies) await run(workerData as ThreadData)
