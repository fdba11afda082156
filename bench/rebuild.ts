// Read models built again over a log of a million events while runs go on: how fast, how far off the ETA was, and whether the rows are
// the same. The live side is a whole installation; so many runs a second are started meanwhile. With --archived the streams of what has
// ended are in the archive before that.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { EmbeddedEventStore } from '../src/adapters/event-store/embedded.ts'
import { readConfig } from '../src/config.ts'
import { projections } from '../src/projections/all.ts'
import { startMillrace } from '../src/start.ts'
import { flows } from './flows.ts'
import { seedLog } from './seeded-log.ts'

const FLOW = 'five-stages'
const WITHIN_MS = 1_200_000
const LOOK_EVERY_MS = 200
/** How much of the way is done when the ETA is held against what came of it. */
const JUDGED_AT = [0.25, 0.5, 0.75]

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '50' },
    only: { type: 'string' },
    archived: { type: 'boolean', default: false },
    log: { type: 'string', default: 'error' },
    times: { type: 'string', default: '1' },
  },
})

type Sample = { readonly ms: number; readonly progress: number; readonly etaSeconds: number | undefined }

const data = await mkdtemp(join(tmpdir(), 'millrace-bench-rebuild-'))
const log = await EmbeddedEventStore.open(join(data, 'log'))
const seeding = {
  events: Number(values.events),
  from: Date.now() - 86_400_000,
  everyMs: 5,
  workflows: ['release', 'nightly'],
}
await timed('seed', async () => ({ runs: await seedLog(log, seeding) }))
await log.close()

const handlers = join(import.meta.dirname, 'noop.ts')
const config = readConfig({ data, port: '0', handlers, concurrency: '1000', logLevel: values.log })
const running = await startMillrace(config, pino({ level: values.log }))
const { app, ports } = running
const caller = () => ({ namespace: 'default', actor: 'user:bench', nowMs: Date.now() })
let started = 0
const over = new AbortController()
try {
  await app.commands.workflows.register(caller(), FLOW, flows[FLOW]!.document)
  await timed('catch-up', async () => {
    await caughtUp()
    return { events: await ports.store.head() }
  })
  if (values.archived) await timed('archive', archive)
  const loading = load(Number(values.rate))
  const names = projections
    .map(({ name }) => name)
    .filter((name) => values.only === undefined || values.only === 'all' || name === values.only)
  for (const name of names) if (values.only !== 'all') await timed(`rebuild-${name}`, () => rebuild([name]))
  if (names.length > 1)
    for (let times = 0; times < Number(values.times); times++) await timed('rebuild-all', () => rebuild(names))
  over.abort()
  await loading
  await caughtUp()
} finally {
  await running.stop()
  await rm(data, { recursive: true })
}

async function timed(name: string, work: () => Promise<object>): Promise<void> {
  const began = performance.now()
  const figures = await work()
  console.log(JSON.stringify({ name, seconds: round((performance.now() - began) / 1_000), ...figures }))
}

async function caughtUp(): Promise<void> {
  if (!(await app.queries.reached(await ports.store.head(), WITHIN_MS)))
    throw new Error('the read models did not catch up')
}

async function load(rate: number, signal = over.signal): Promise<void> {
  for (let next = performance.now(); rate > 0 && !signal.aborted; next += 1_000 / rate) {
    await delay(Math.max(0, next - performance.now()))
    await app.commands.startExecution(caller(), { workflow: FLOW, input: {} })
    started++
  }
}

/** Archives the streams of all runs that have ended, while as many runs are started as during a rebuild. */
async function archive(): Promise<object> {
  const policy = { streams: [{ olderThan: 3_600_000 }] }
  await app.commands.retention.setPolicy(caller(), policy)
  const ended = new AbortController()
  const loading = load(Number(values.rate), ended.signal)
  const began = performance.now()
  let runs = 0
  for (let done = false; !done; ) {
    const answer = await app.retention!.cleanUp(caller(), 5_000)
    runs += answer.removed.streams ?? 0
    done = answer.done || (answer.removed.streams ?? 0) < 5_000
  }
  const seconds = (performance.now() - began) / 1_000
  ended.abort()
  await loading
  const { archive: kept } = await app.retention!.storage()
  return { runs, runsPerSecond: Math.round(runs / seconds), files: kept.files, mebibytes: round(kept.bytes / 2 ** 20) }
}

/** Asks for them at once, and answers once all are swapped in. */
async function rebuild(names: readonly string[]): Promise<object> {
  const began = performance.now()
  const before = { started, head: await ports.store.head() }
  for (const name of names) await app.keeper!.request(name, { by: 'user:bench', reason: 'bench', hold: false })
  const samples = new Map<string, Sample[]>(names.map((name) => [name, []]))
  const replayed = new Map<string, number>()
  const lags: number[] = []
  for (;;) {
    const views = (await app.queries.projections()).filter(({ name }) => names.includes(name))
    const ms = performance.now() - began
    lags.push(Math.max(...views.map(({ lagSeconds }) => lagSeconds)))
    for (const { name, rebuild: now } of views) {
      if (now === undefined || now.status === 'failed') throw new Error(`${name}: ${now?.error}`)
      if (now.phase === 'replaying') samples.get(name)!.push({ ms, progress: now.progress, etaSeconds: now.etaSeconds })
      else if (now.phase !== 'queued' && !replayed.has(name)) replayed.set(name, ms)
    }
    if (views.every(({ rebuild: now }) => now?.status === 'swapped')) {
      const seconds = ms / 1_000
      const head = await ports.store.head()
      const events = names.length * (before.head + 1)
      const differences = views.map(({ rebuild: now }) => now?.difference)
      return {
        events,
        eventsPerSecond: Math.round(events / seconds),
        replaySeconds: round(Math.max(...replayed.values()) / 1_000),
        liveRunsPerSecond: round((started - before.started) / seconds),
        liveEventsPerSecond: Math.round((head - before.head) / seconds),
        liveLagSecondsMost: round(Math.max(...lags)),
        differing: differences.map((one) => (one && 'total' in one ? one.total : one)),
        ...(names.length === 1 ? { etaErrors: etaErrors(samples.get(names[0]!)!, ms) } : {}),
      }
    }
    await delay(LOOK_EVERY_MS)
  }
}

/** Of the whole time that it took until it was swapped in: how much the ETA was off at each of the marks, in percent. */
function etaErrors(samples: readonly Sample[], endMs: number): readonly (number | null)[] {
  return JUDGED_AT.map((mark) => {
    const sample = samples.find(({ progress, etaSeconds }) => progress >= mark && etaSeconds !== undefined)
    if (sample === undefined) return null
    return round(((sample.etaSeconds! * 1_000 - (endMs - sample.ms)) / endMs) * 100)
  })
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
