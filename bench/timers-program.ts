// The program of timers.ts: Millrace in a process that can be killed, which starts runs and tells what they cost.
import { pino } from 'pino'
import { readConfig } from '../src/config.ts'
import { type Running, startMillrace } from '../src/start.ts'

export type Asked =
  | { readonly kind: 'start'; readonly runs: number; readonly firstDueMs: number; readonly spreadMs: number }
  | { readonly kind: 'stop' }

type Memory = { readonly rssMb: number; readonly heapMb: number }
/** What the program tells, by the name it tells it under. */
export type Figures = {
  readonly ready: Memory & { readonly readyMs: number }
  /** Of the first and of the last runs: the rate, and what one costs the main thread, microseconds of CPU. */
  readonly started: Memory & {
    readonly runs: number
    readonly firstPerSecond: number
    readonly lastPerSecond: number
    readonly firstCpuUs: number
    readonly lastCpuUs: number
  }
  readonly stopped: { readonly stopMs: number }
}

const TOGETHER = 64
/** Runs of which the rate is told, at the beginning and at the end. */
const RATED = 10_000
const WORKFLOW = { name: 'sleeper', stages: { sleep: { uses: 'wait', with: { until: '${{ input.until }}' } } } }

const began = performance.timeOrigin
const config = readConfig({ data: process.argv[2], port: '0', logLevel: 'warn' })
const running = await startMillrace(config, pino({ level: 'warn' }))
tell('ready', { readyMs: Math.round(Date.now() - began), ...memory() })

process.on('message', async (asked: Asked) => {
  if (asked.kind === 'start') tell('started', { ...(await startRuns(running, asked)), ...memory() })
  else {
    const from = performance.now()
    await running.stop()
    tell('stopped', { stopMs: Math.round(performance.now() - from) })
    process.disconnect()
  }
})

/** Due times in no order, as those of a real day: what is started next to one another is not due next to one another. */
async function startRuns({ app }: Running, { runs, firstDueMs, spreadMs }: Extract<Asked, { kind: 'start' }>) {
  const caller = () => ({ namespace: 'default', actor: 'user:bench', nowMs: Date.now() })
  await app.commands.workflows.register(caller(), WORKFLOW.name, WORKFLOW)
  const at: { readonly ms: number; readonly cpuUs: number }[] = []
  const now = () => {
    const { user, system } = process.threadCpuUsage()
    return { ms: performance.now(), cpuUs: user + system }
  }
  let next = 0
  const one = async (): Promise<void> => {
    while (next < runs) {
      const dueMs = firstDueMs + (((next++ * 7_919) % runs) / runs) * spreadMs
      const input = { until: new Date(dueMs).toISOString() }
      await app.commands.startExecution(caller(), { workflow: WORKFLOW.name, input })
      at.push(now())
    }
  }
  const from = now()
  await Promise.all(Array.from({ length: TOGETHER }, one))
  const rated = Math.min(RATED, runs >> 1)
  const [first, last, end] = [at[rated - 1]!, at[runs - rated - 1]!, at[runs - 1]!]
  return {
    runs,
    firstPerSecond: Math.round((rated / (first.ms - from.ms)) * 1_000),
    lastPerSecond: Math.round((rated / (end.ms - last.ms)) * 1_000),
    firstCpuUs: Math.round((first.cpuUs - from.cpuUs) / rated),
    lastCpuUs: Math.round((end.cpuUs - last.cpuUs) / rated),
  }
}

function memory(): Memory {
  const { rss, heapUsed } = process.memoryUsage()
  return { rssMb: Math.round(rss / 1e6), heapMb: Math.round(heapUsed / 1e6) }
}

function tell<K extends keyof Figures>(kind: K, figures: Figures[K]): void {
  process.send!({ kind, figures })
}
