// One measurement in a process of its own, on a data folder of its own: prints one line of JSON.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { readConfig } from '../src/config.ts'
import type { EventStore } from '../src/ports/event-store.ts'
import { type Running, startMillrace } from '../src/start.ts'
import { flows } from './flows.ts'

const WARM_UP_MS = 3_000
const MAX_RUNS = 200_000
const CATCH_UP_WITHIN_MS = 300_000

type Start = (workflow: string) => Promise<string>

const { values } = parseArgs({
  options: {
    flow: { type: 'string', default: 'five-stages' },
    concurrency: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '5' },
    http: { type: 'boolean', default: false },
  },
})
const flow = flows[values.flow]
if (flow === undefined) throw new Error(`no flow ${values.flow}; there are ${Object.keys(flows).join(', ')}`)
const concurrency = Number(values.concurrency)

const data = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
const config = readConfig({
  data,
  port: '0',
  handlers: join(import.meta.dirname, 'noop.ts'),
  concurrency: '1000',
  logLevel: 'error',
})
const running = await startMillrace(config, pino({ level: 'error' }))
const following = new AbortController()
try {
  const caller = { namespace: 'default', actor: 'user:bench', nowMs: Date.now() }
  await running.app.commands.workflows.register(caller, values.flow, flow.document)
  const ended = followEnds(running.ports.store, following.signal)
  const start = values.http ? overHttp(running.address) : inProcess(running)
  await load(start, ended, performance.now() + WARM_UP_MS)
  await caughtUp(running)
  console.log(JSON.stringify(await measure(running, start, ended)))
} finally {
  following.abort()
  await running.stop()
  await rm(data, { recursive: true })
}

async function measure({ app, ports }: Running, start: Start, ended: Ends) {
  const before = await ports.store.head()
  const began = performance.now()
  const latencies = await load(start, ended, began + Number(values.seconds) * 1000)
  const seconds = (performance.now() - began) / 1000
  const events = (await ports.store.head()) - before
  const rss = process.memoryUsage().rss
  const lag = Math.max(...(await app.queries.projections()).map(({ lagSeconds }) => lagSeconds))
  const endedAt = performance.now()
  await caughtUp({ app, ports })
  latencies.sort((a, b) => a - b)
  const at = (share: number) =>
    round(latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0)
  const runs = latencies.length
  return {
    name: values.http ? `${values.flow}-http` : values.flow,
    concurrency,
    runs,
    runsPerSecond: round(runs / seconds),
    stagesPerSecond: round((runs * flow!.stages) / seconds),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    eventsPerSecond: round(events / seconds),
    rssMb: round(rss / 1e6),
    projectionLagMsAtEnd: round(lag * 1000),
    secondsUntilReadModelsCaughtUp: round((performance.now() - endedAt) / 1000),
  }
}

/** Keeps `concurrency` runs under way until the time is over, awaits the last ones, and answers how long each took. */
async function load(start: Start, ended: Ends, until: number): Promise<number[]> {
  const latencies: number[] = []
  const one = async (): Promise<void> => {
    while (performance.now() < until && latencies.length < MAX_RUNS) {
      const began = performance.now()
      await ended(await start(values.flow))
      latencies.push(performance.now() - began)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, one))
  return latencies
}

/** The command itself, as the route calls it. */
function inProcess({ app }: Running): Start {
  return async (workflow) => {
    const caller = { namespace: 'default', actor: 'user:bench', nowMs: Date.now() }
    return (await app.commands.startExecution(caller, { workflow, input: {} })).id
  }
}

function overHttp(address: string): Start {
  const request = { method: 'POST', headers: { 'content-type': 'application/json' } }
  return async (workflow) => {
    const response = await fetch(`${address}/v1/default/executions`, {
      ...request,
      body: JSON.stringify({ workflow, input: {} }),
    })
    const answer = (await response.json()) as { id: string }
    if (response.status !== 202) throw new Error(`${response.status} ${JSON.stringify(answer)}`)
    return answer.id
  }
}

type Ends = (executionId: string) => Promise<void>

/** Knows of the end of a run when the log says so; a run that ends otherwise than completed fails the measurement. */
function followEnds(store: EventStore, signal: AbortSignal): Ends {
  const waiting = new Map<string, () => void>()
  const over = new Set<string>()
  const follow = async () => {
    for await (const { events } of store.subscribe({ after: await store.head(), prefixes: ['execution-'], signal })) {
      for (const { type, stream } of events) {
        if (type === 'ExecutionFailed' || type === 'ExecutionCancelled') throw new Error(`${stream} ended with ${type}`)
        if (type !== 'ExecutionCompleted') continue
        const id = stream.slice('execution-'.length)
        const resolve = waiting.get(id)
        if (resolve === undefined) over.add(id)
        else resolve()
        waiting.delete(id)
      }
    }
  }
  void follow().catch((error) => {
    console.error(error)
    process.exit(1)
  })
  return (id) => (over.delete(id) ? Promise.resolve() : new Promise((resolve) => waiting.set(id, resolve)))
}

async function caughtUp({ app, ports }: Pick<Running, 'app' | 'ports'>): Promise<void> {
  const head = await ports.store.head()
  if (await app.queries.reached(head, CATCH_UP_WITHIN_MS)) return
  throw new Error(`the read models did not catch up within ${CATCH_UP_WITHIN_MS / 1000} s`)
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
