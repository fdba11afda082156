// The distributed profile on one machine: runs of five stages that do nothing, started over HTTP, on a real Kafka, Redis and PostgreSQL
// and on the test server of EventStoreDB. Prints what was done, on which link a run spends its time, and whom the processors' time went to.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { EventStoreDBClient, eventTypeFilter } from '@eventstore/db-client'
import type { Json } from '../src/domain/message.ts'
import { type Distributed, distributedObstacle, startDistributed } from '../test/support/distributed.ts'
import { flows } from './flows.ts'
import { linksBetween, readLinks } from './links.ts'

const WARM_UP_MS = 30_000
const PROCESSES = ['api', 'engine-1', 'reactors-1', 'projector', 'worker-1']
const SERVERS = {
  kafka: /kafka\.Kafka/,
  redis: /redis-server/,
  postgres: /postgres/,
  eventstoredb: /eventstoredb\/main/,
}
/** Of `/proc/<pid>/stat`: a hundredth of a second each. */
const TICKS_PER_SECOND = 100

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '20' }, concurrency: { type: 'string', default: '64' } },
})
const concurrency = Number(values.concurrency)
const flow = flows['five-stages']!

const why = await distributedObstacle()
if (why !== undefined) throw new Error(`the distributed profile cannot be had here: ${why}`)
const closing: (() => Promise<void>)[] = []
const scope = { onTestFinished: (close: () => Promise<void>) => void closing.unshift(close) }
const profile = await startDistributed(scope, {
  names: PROCESSES,
  settings: {
    MILLRACE_HANDLERS: join(import.meta.dirname, 'noop.ts'),
    MILLRACE_CONCURRENCY: '1000',
    MILLRACE_LOG_LEVEL: 'error',
  },
})
try {
  console.log(JSON.stringify(await measure(profile)))
} finally {
  for (const close of closing) await close()
}

async function measure({ url, environment, start }: Distributed) {
  const api = `${await url()}/v1/default`
  const addresses = await Promise.all(PROCESSES.map((name) => url(name)))
  await send(`${api}/workflows/five-stages`, 'PUT', flow.document)
  const ends = followEnds(environment.MILLRACE_EVENT_STORE!)
  const seconds = Number(values.seconds)
  await load(api, ends, performance.now() + WARM_UP_MS)
  const [timesBefore, linksBefore] = [processorTimes(start), await readLinks(addresses)]
  const began = performance.now()
  const latencies = (await load(api, ends, began + seconds * 1_000)).sort((a, b) => a - b)
  const took = (performance.now() - began) / 1_000
  const [timesAfter, linksAfter] = [processorTimes(start), await readLinks(addresses)]
  await ends.close()
  const at = (share: number) => Math.round(latencies[Math.floor((latencies.length - 1) * share)] ?? 0)
  const cores = Object.entries(timesAfter).map(([name, after]) => [name, (after - (timesBefore[name] ?? 0)) / took])
  const meanMs = latencies.reduce((sum, ms) => sum + ms, 0) / latencies.length
  return {
    ...{ name: 'five-stages-distributed', concurrency, runs: latencies.length },
    ...{ runsPerSecond: round(latencies.length / took), p50Ms: at(0.5), p99Ms: at(0.99) },
    links: linksBetween(linksBefore, linksAfter, latencies.length, meanMs),
    cores: Object.fromEntries(cores.map(([name, used]) => [name, round(used as number)])),
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

/** Processor time so far in seconds: of each process of ours, of every server of these kinds on the machine, and of this one, which makes the load. */
function processorTimes(start: Distributed['start']): Readonly<Record<string, number>> {
  const names = new Map(PROCESSES.map((name) => [String(start(name).child.pid), name]))
  names.set(String(process.pid), 'load')
  const times: Record<string, number> = {}
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const name = names.get(pid) ?? serverOf(pid)
    if (name !== undefined) times[name] = (times[name] ?? 0) + processorTime(pid)
  }
  return times
}

function serverOf(pid: string): string | undefined {
  const command = contentOf(`/proc/${pid}/cmdline`)
  return Object.entries(SERVERS).find(([, pattern]) => pattern.test(command))?.[0]
}

function processorTime(pid: string): number {
  const stat = contentOf(`/proc/${pid}/stat`)
  const [user = 0, system = 0] = stat.slice(stat.lastIndexOf(')')).split(' ').slice(12, 14).map(Number)
  return (user + system) / TICKS_PER_SECOND
}

/** Nothing where the process has ended meanwhile. */
function contentOf(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}

async function send(url: string, method: string, body: Json): Promise<{ id: string }> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method, headers, body: JSON.stringify(body) })
  if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}: ${await response.text()}`)
  return (await response.json()) as { id: string }
}

/** When a run has ended, for whoever waits for it. Only ends are sent here, since whoever makes the load takes part in what it measures. */
function followEnds(store: string): { ended(id: string): Promise<void>; close(): Promise<void> } {
  const waiting = new Map<string, () => void>()
  const early = new Set<string>()
  const filter = eventTypeFilter({ prefixes: ['ExecutionCompleted', 'ExecutionFailed'] })
  const client = EventStoreDBClient.connectionString(store)
  const subscription = client.subscribeToAll({ fromPosition: 'end', filter }).on('data', ({ event }) => {
    const id = String(event?.streamId).slice('execution-'.length)
    if (!waiting.has(id)) early.add(id)
    waiting.get(id)?.()
    waiting.delete(id)
  })
  // The end of the servers, or of what is measured, which then says so by itself.
  subscription.on('error', () => {})
  return {
    ended: (id) => (early.delete(id) ? Promise.resolve() : new Promise((resolve) => waiting.set(id, resolve))),
    async close() {
      await subscription.unsubscribe()
      await client.dispose()
    },
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
