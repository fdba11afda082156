// The distributed profile on one machine: runs of five stages that do nothing, started over HTTP, on a real Kafka, Redis and PostgreSQL
// and on the test server of EventStoreDB. Prints what was done, and which process the machine's time went to.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { EventStoreDb } from '../src/adapters/event-store/eventstoredb.ts'
import type { Json } from '../src/domain/message.ts'
import { type Distributed, distributedObstacle, startDistributed } from '../test/support/distributed.ts'
import { flows } from './flows.ts'

const WARM_UP_MS = 5_000
const PROCESSES = ['api', 'engine-1', 'reactors-1', 'projector', 'worker-1']
/** Of `/proc/<pid>/stat`: a hundredth of a second each. */
const TICKS_PER_SECOND = 100

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '10' }, concurrency: { type: 'string', default: '64' } },
})
const concurrency = Number(values.concurrency)
const flow = flows['five-stages']!

const why = await distributedObstacle()
if (why !== undefined) throw new Error(`the distributed profile cannot be had here: ${why}`)
const closing: (() => Promise<void>)[] = []
const profile = await startDistributed({ onTestFinished: (close) => void closing.unshift(close) }, PROCESSES, {
  MILLRACE_HANDLERS: join(import.meta.dirname, 'noop.ts'),
  MILLRACE_CONCURRENCY: '1000',
  MILLRACE_LOG_LEVEL: 'error',
})
try {
  console.log(JSON.stringify(await measure(profile)))
} finally {
  for (const close of closing) await close()
}

async function measure({ url, environment, start }: Distributed) {
  const api = `${await url()}/v1/default`
  await send(`${api}/workflows/five-stages`, 'PUT', flow.document)
  const store = new EventStoreDb(environment.MILLRACE_EVENT_STORE!)
  const ends = await followEnds(store)
  const seconds = Number(values.seconds)
  await load(api, ends, performance.now() + WARM_UP_MS)
  const before = times(start)
  const began = performance.now()
  const latencies = (await load(api, ends, began + seconds * 1_000)).sort((a, b) => a - b)
  const took = (performance.now() - began) / 1_000
  const after = times(start)
  await store.close()
  const at = (share: number) => Math.round(latencies[Math.floor((latencies.length - 1) * share)] ?? 0)
  const spent = Object.fromEntries(PROCESSES.map((name) => [name, round((after[name]! - before[name]!) / took)]))
  return {
    ...{ name: 'five-stages-distributed', concurrency, runs: latencies.length },
    ...{ runsPerSecond: round(latencies.length / took), p50Ms: at(0.5), p99Ms: at(0.99), coresByProcess: spent },
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

/** Processor time of each process so far, seconds. */
function times(start: Distributed['start']): Readonly<Record<string, number>> {
  return Object.fromEntries(
    PROCESSES.map((name) => {
      const stat = readFileSync(`/proc/${start(name).child.pid}/stat`, 'latin1')
      const [user, system] = stat.slice(stat.lastIndexOf(')')).split(' ').slice(12, 14).map(Number)
      return [name, (user! + system!) / TICKS_PER_SECOND]
    }),
  )
}

async function send(url: string, method: string, body: Json): Promise<{ id: string }> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method, headers, body: JSON.stringify(body) })
  if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}: ${await response.text()}`)
  return (await response.json()) as { id: string }
}

/** When a run has ended, for whoever waits for it. */
async function followEnds(store: EventStoreDb): Promise<{ ended(id: string): Promise<void> }> {
  const waiting = new Map<string, () => void>()
  const early = new Set<string>()
  const follow = async (after: number) => {
    for await (const { events } of store.subscribe({
      after,
      prefixes: ['execution-'],
      signal: new AbortController().signal,
    }))
      for (const { stream, type } of events) {
        if (!/^Execution(Completed|Failed)$/.test(type)) continue
        const id = stream.slice('execution-'.length)
        if (!waiting.has(id)) early.add(id)
        waiting.get(id)?.()
        waiting.delete(id)
      }
  }
  void follow(await store.head())
  return {
    ended: (id) => (early.delete(id) ? Promise.resolve() : new Promise((resolve) => waiting.set(id, resolve))),
  }
}

/** So many at a time until then; how long each took from its request to its end, milliseconds. */
async function load(api: string, { ended }: { ended(id: string): Promise<void> }, until: number): Promise<number[]> {
  const latencies: number[] = []
  const one = async () => {
    while (performance.now() < until) {
      const began = performance.now()
      const { id } = await send(`${api}/executions`, 'POST', { workflow: 'five-stages' })
      await ended(id)
      latencies.push(performance.now() - began)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, one))
  return latencies
}
