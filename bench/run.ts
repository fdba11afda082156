// `npm run bench`: every flow at every concurrency, each in a fresh process; with --peers the peers in between, turn by turn.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '1' },
    peers: { type: 'boolean', default: false },
    log: { type: 'boolean', default: false },
    restore: { type: 'boolean', default: false },
    pools: { type: 'boolean', default: false },
    timers: { type: 'boolean', default: false },
    verify: { type: 'boolean', default: false },
    rebuild: { type: 'boolean', default: false },
    archived: { type: 'boolean', default: false },
    visible: { type: 'boolean', default: false },
    dashboards: { type: 'boolean', default: false },
    distributed: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
})
const here = import.meta.dirname
const PEERS = ['bullmq', 'dbos', 'restate']

const ours = (concurrency: number, ...more: string[]): string[] => [
  join(here, 'measure.ts'),
  ...['--concurrency', String(concurrency), '--seconds', values.seconds],
  ...more,
]
const theirs = (system: string, concurrency: number): string[] => [
  join(here, 'peers/run.ts'),
  ...['--system', system, '--concurrency', String(concurrency), '--seconds', values.seconds],
]

const measurements: string[][] = []
for (let round = 0; round < Number(values.rounds); round++)
  for (const concurrency of [1, 64, 256]) {
    measurements.push(ours(concurrency))
    if (values.peers) measurements.push(...PEERS.map((system) => theirs(system, concurrency)))
    else measurements.push(ours(concurrency, '--flow', 'fan-out'), ours(concurrency, '--http'))
  }
const files = {
  log: ['log'],
  restore: ['restore'],
  pools: ['pools'],
  timers: ['timers'],
  verify: ['verify', 'verify-live'],
  rebuild: ['rebuild'],
  visible: ['visible'],
  dashboards: ['dashboards'],
  distributed: ['distributed'],
} as const
const alone = (Object.keys(files) as (keyof typeof files)[])
  .filter((name) => values[name])
  .flatMap((name) => files[name])
const more = (name: string): string[] => (name === 'rebuild' && values.archived ? ['--archived'] : [])
if (alone.length > 0)
  measurements.splice(0, measurements.length, ...alone.map((name) => [join(here, `${name}.ts`), ...more(name)]))

const chosen = measurements.filter((args) => values.only === undefined || args.join(' ').includes(values.only))
let failed = 0
for (const args of chosen) failed += (await run(args)) === 0 ? 0 : 1
process.exitCode = failed === 0 ? 0 : 1

function run(args: string[]): Promise<number | null> {
  const child = spawn(process.execPath, args, { stdio: 'inherit' })
  return new Promise((resolve) => child.once('exit', resolve))
}
