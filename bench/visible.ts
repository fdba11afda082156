// From the acknowledgement of a command until its row can be read, at a steady rate of runs: what read-your-writes costs who asks at once.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { readConfig } from '../src/config.ts'
import { startMillrace } from '../src/start.ts'
import { flows } from './flows.ts'

const FLOW = 'five-stages'
const WARM_UP_MS = 5_000
const WITHIN_MS = 30_000

const { values } = parseArgs({
  options: { rate: { type: 'string', default: '300' }, seconds: { type: 'string', default: '20' } },
})
const data = await mkdtemp(join(tmpdir(), 'millrace-bench-visible-'))
const handlers = join(import.meta.dirname, 'noop.ts')
const config = readConfig({ data, port: '0', handlers, concurrency: '1000', logLevel: 'error' })
const { app, ports, stop } = await startMillrace(config, pino({ level: 'error' }))
try {
  const caller = () => ({ namespace: 'default', actor: 'user:bench', nowMs: Date.now() })
  await app.commands.workflows.register(caller(), FLOW, flows[FLOW]!.document)
  const took: number[] = []
  const waiting = new Set<Promise<void>>()
  const begun = performance.now()
  const until = begun + WARM_UP_MS + Number(values.seconds) * 1_000
  let runs = 0
  for (let next = begun; next < until; next += 1_000 / Number(values.rate)) {
    await delay(Math.max(0, next - performance.now()))
    const isMeasured = next > begun + WARM_UP_MS
    const one = (async () => {
      const { id, position } = await app.commands.startExecution(caller(), { workflow: FLOW, input: {} })
      const acknowledged = performance.now()
      // As `GET …/executions/{id}?minPosition=` does.
      if (!(await app.queries.reached(position, WITHIN_MS, ['executions']))) throw new Error('the row did not come')
      if ((await app.queries.execution('default', id)) === undefined) throw new Error('there is no row')
      if (!isMeasured) return
      took.push(performance.now() - acknowledged)
      runs++
    })()
    waiting.add(one)
    void one.finally(() => waiting.delete(one))
  }
  await Promise.all(waiting)
  await app.queries.reached(await ports.store.head(), WITHIN_MS)
  took.sort((a, b) => a - b)
  const at = (share: number) => Math.round((took[Math.ceil(took.length * share) - 1] ?? 0) * 10) / 10
  const runsPerSecond = Math.round(runs / Number(values.seconds))
  console.log(
    JSON.stringify({ name: 'visible', runsPerSecond, p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99), maxMs: at(1) }),
  )
} finally {
  await stop()
  await rm(data, { recursive: true })
}
