// A whole installation verified: alone, and while runs go on, which are measured with and without it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { readConfig } from '../src/config.ts'
import { type Running, startMillrace } from '../src/start.ts'
import { flows } from './flows.ts'

const FLOW = 'five-stages'
const TOGETHER = 16

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '20000' }, seconds: { type: 'string', default: '10' } },
})
const data = await mkdtemp(join(tmpdir(), 'millrace-bench-verify-'))
const handlers = join(import.meta.dirname, 'noop.ts')
const config = readConfig({ data, port: '0', handlers, concurrency: '1000', logLevel: 'error' })
const running = await startMillrace(config, pino({ level: 'error' }))
const { app, ports, address } = running
const caller = { namespace: 'default', actor: 'user:bench', nowMs: Date.now() }
try {
  await app.commands.workflows.register(caller, FLOW, flows[FLOW]!.document)
  const ends = followEnds(running)
  const count = Number(values.runs)
  await runs(ends, 256, (done) => done >= count)
  await app.queries.reached(await ports.store.head(), 600_000)
  await timed('verify-alone', () => verify())
  const until = (seconds: number) => {
    const end = performance.now() + seconds * 1_000
    return () => performance.now() > end
  }
  await timed('runs-alone', () => runs(ends, TOGETHER, until(Number(values.seconds))))
  await timed('runs-beside-verify', async () => {
    let over = false
    const verifying = (async () => {
      let times = 0
      for (; !over; times++) await verify()
      return times
    })()
    const figures = await runs(ends, TOGETHER, until(Number(values.seconds)))
    over = true
    return { ...figures, verifications: await verifying }
  })
} finally {
  await running.stop()
  await rm(data, { recursive: true })
}

async function timed(name: string, work: () => Promise<object>): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const memory = { before: rssMb(), most: 0 }
  const looking = setInterval(() => {
    memory.most = Math.max(memory.most, rssMb())
  }, 100)
  const figures = await work()
  clearInterval(looking)
  delay.disable()
  const loopMs = { p50: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), max: ms(delay.max) }
  console.log(JSON.stringify({ name, ...figures, loopMs, rssMb: memory }))
}

function rssMb(): number {
  return Math.round(process.memoryUsage().rss / 1e6)
}

function ms(nanoseconds: number): number {
  return Math.round(nanoseconds / 1e5) / 10
}

async function verify() {
  const response = await fetch(`${address}/v1/admin/verify`, { method: 'POST' })
  const result = JSON.parse((await response.text()).trimEnd().split('\n').at(-1)!)
  if (!result.clean || result.notChecked.length > 0) throw new Error(JSON.stringify(result))
  const { events, seconds, eventsPerSecond } = result
  return { events, seconds, eventsPerSecond }
}

/** Keeps runs under way until `enough` says so of those that are done. */
async function runs(ends: (id: string) => Promise<void>, together: number, enough: (done: number) => boolean) {
  const took: number[] = []
  const began = performance.now()
  const one = async (): Promise<void> => {
    while (!enough(took.length)) {
      const from = performance.now()
      const { id } = await app.commands.startExecution(caller, { workflow: FLOW, input: {} })
      await ends(id)
      took.push(performance.now() - from)
    }
  }
  await Promise.all(Array.from({ length: together }, one))
  took.sort((a, b) => a - b)
  const at = (share: number): number => Math.round((took[Math.floor((took.length - 1) * share)] ?? 0) * 10) / 10
  const runsPerSecond = Math.round((took.length / (performance.now() - began)) * 1_000)
  return { runs: took.length, runsPerSecond, p50Ms: at(0.5), p99Ms: at(0.99) }
}

function followEnds({ ports: { store } }: Running): (id: string) => Promise<void> {
  const waiting = new Map<string, () => void>()
  const over = new Set<string>()
  const follow = async (): Promise<void> => {
    const { signal } = new AbortController()
    for await (const { events } of store.subscribe({ after: -1, prefixes: ['execution-'], signal }))
      for (const { stream } of events.filter(({ type }) => type === 'ExecutionCompleted')) {
        const id = stream.slice('execution-'.length)
        if (!waiting.has(id)) over.add(id)
        waiting.get(id)?.()
        waiting.delete(id)
      }
  }
  // It ends with the store.
  follow().catch(() => {})
  return (id) => (over.delete(id) ? Promise.resolve() : new Promise((resolve) => waiting.set(id, resolve)))
}
