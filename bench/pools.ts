// What a grant costs while many wait for one full pool: the same with 100 and with 10,000. In a process of its own for each.
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { readConfig } from '../src/config.ts'
import type { EventStore } from '../src/ports/event-store.ts'
import { type Running, startMillrace } from '../src/start.ts'

const GRANTS = 2_000
const ROUNDS = 3
const SIZES = [100, 10_000]
const STARTED_TOGETHER = 200

const { values } = parseArgs({ options: { waiting: { type: 'string' } } })
if (values.waiting === undefined) {
  for (let round = 0; round < ROUNDS; round++)
    for (const size of round % 2 === 0 ? SIZES : SIZES.toReversed())
      spawnSync(process.execPath, [import.meta.filename, '--waiting', String(size)], { stdio: 'inherit' })
} else await measure(Number(values.waiting))

async function measure(waiting: number): Promise<void> {
  const data = await mkdtemp(join(tmpdir(), 'millrace-bench-pools-'))
  const handlers = ['noop.ts', 'hold.ts'].map((file) => join(import.meta.dirname, file)).join(',')
  const running = await startMillrace(
    readConfig({ data, port: '0', handlers, logLevel: 'error' }),
    pino({ level: 'error' }),
  )
  try {
    console.log(JSON.stringify(await grants(running, waiting)))
  } finally {
    await running.stop()
    await rm(data, { recursive: true })
  }
}

async function grants({ app, ports }: Running, waiting: number) {
  const caller = () => ({ namespace: 'default', actor: 'user:bench', nowMs: Date.now() })
  const resources = { pool: 'one', slots: 1 }
  await app.commands.definePool(caller(), 'one', { slots: 1 })
  for (const uses of ['noop', 'hold'])
    await app.commands.workflows.register(caller(), uses, { name: uses, stages: { work: { uses, resources } } })
  const start = async (workflow: string) => (await app.commands.startExecution(caller(), { workflow })).id
  const holder = await start('hold')
  const following = new AbortController()
  const log = follow(ports.store, await ports.store.head(), following.signal)
  for (let begun = 0; begun < waiting; begun += STARTED_TOGETHER)
    await Promise.all(Array.from({ length: Math.min(STARTED_TOGETHER, waiting - begun) }, () => start('noop')))
  await log.until(({ told }) => told >= waiting)
  // Once everybody has been told why they wait, and the read models show it, only grants are left to be measured.
  await app.queries.reached(await ports.store.head(), 120_000)
  await app.commands.control.cancel(caller(), holder, {})
  const before = process.cpuUsage()
  const began = performance.now()
  // For each that goes another comes, so that as many wait at the end as at the beginning.
  for (let done = 0; done < GRANTS; done++) {
    await log.until(({ ended }) => ended > done)
    void start('noop')
  }
  const seconds = (performance.now() - began) / 1_000
  const { user, system } = process.cpuUsage(before)
  following.abort()
  return {
    name: 'pool-grants',
    waiting,
    grants: GRANTS,
    grantsPerSecond: Math.round(GRANTS / seconds),
    cpuMicrosecondsPerGrant: Math.round((user + system) / GRANTS),
    rssMb: Math.round(process.memoryUsage().rss / 1e6),
  }
}

type Seen = { told: number; ended: number }

/** Counts, as the log says so, who has been told why they wait, and which runs have completed. */
function follow(store: EventStore, after: number, signal: AbortSignal) {
  const seen: Seen = { told: 0, ended: 0 }
  let look = (): void => {}
  const read = async (): Promise<void> => {
    for await (const { events } of store.subscribe({ after, prefixes: ['execution-'], signal })) {
      for (const { type, data } of events) {
        if (type === 'StageDeferred' && 'reason' in data && data.reason !== 'asked') seen.told++
        if (type === 'ExecutionCompleted') seen.ended++
      }
      look()
    }
  }
  void read()
  return {
    until: (holds: (seen: Seen) => boolean): Promise<void> =>
      new Promise((resolve) => {
        look = () => {
          if (!holds(seen)) return
          look = () => {}
          resolve()
        }
        look()
      }),
  }
}
