// `npm run simulate`: simulated runs one after another until one fails or the time is over. A failure prints its seed, is made
// smaller, saved as a regression, and ends the program with 1.
import { parseArgs } from 'node:util'
import { type Plan, type Profile, planOf } from './plan.ts'
import { readRegression, saveRegression } from './regressions.ts'
import { shrink } from './shrink.ts'
import { kindOf, type Outcome, simulate } from './simulate.ts'

const PROGRESS_EVERY_MS = 10_000
const SHRINK_WITHIN_MS = 60_000
const SHOWN = 12
const usage = `usage: npm run simulate -- [--minutes N | --runs N | --seed N | --plan FILE] [--from N] [--profile embedded|distributed] [--no-save]
  --minutes N  run for so long (1)     --runs N  run so many
  --seed N     the run of one seed     --plan F  the run of a saved plan
  --from N     the first seed; a random one without it`

function readSettings() {
  const number = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      ...{ minutes: number, runs: number, seed: number, from: number, plan: number, profile: number },
      'no-save': { type: 'boolean' },
      // For those who plant mistakes: `plant.ts` reads it.
      mutant: { type: 'string' },
    },
  })
  const { plan, profile, minutes, runs, seed, from } = values
  const read = (text: string | undefined, name: string): number | undefined => {
    if (text === undefined) return undefined
    const value = Number(text)
    if (!(value >= 0)) throw new TypeError(`--${name} takes a number, not ${JSON.stringify(text)}`)
    return value
  }
  if (profile !== undefined && profile !== 'embedded' && profile !== 'distributed')
    throw new TypeError(`--profile is embedded or distributed, not ${JSON.stringify(profile)}`)
  const only = read(seed, 'seed')
  const limits = { minutes: read(minutes, 'minutes'), runs: only === undefined ? read(runs, 'runs') : 1 }
  const first = only ?? read(from, 'from') ?? Math.floor(Math.random() * 2 ** 31)
  return { ...limits, plan, profile: profile as Profile | undefined, first, saves: !values['no-save'] }
}

/** What all of them together were worth. */
function createTally() {
  const startedMs = performance.now()
  const counts = new Map<string, number>()
  const sums = { runs: 0, steps: 0, events: 0 }
  return {
    sums,
    add({ steps, events, counts: more }: Outcome): void {
      sums.runs++
      sums.steps += steps
      sums.events += events
      for (const [name, count] of more) counts.set(name, (counts.get(name) ?? 0) + count)
    },
    elapsedMs: (): number => performance.now() - startedMs,
    runsPerMinute: (): number => Math.round((sums.runs / (performance.now() - startedMs)) * 60_000),
    counts: (): object => Object.fromEntries([...counts].sort()),
  }
}

async function main(): Promise<number> {
  const settings = readSettings()
  const tally = createTally()
  if (settings.plan !== undefined) return runOne(readRegression(settings.plan).plan, tally, false)
  const { first, profile, minutes = 1, runs } = settings
  const isOver = () => (runs === undefined ? tally.elapsedMs() >= minutes * 60_000 : tally.sums.runs >= runs)
  let saidMs = 0
  for (let seed = first; !isOver(); seed++) {
    const code = await runOne(planOf(seed, profile), tally, settings.saves)
    if (code !== 0) return code
    if (tally.elapsedMs() - saidMs < PROGRESS_EVERY_MS) continue
    saidMs = tally.elapsedMs()
    const leftMs = runs === undefined ? minutes * 60_000 - saidMs : (runs / tally.sums.runs - 1) * saidMs
    console.log(`${tally.sums.runs} runs, ${tally.runsPerMinute()} a minute, ${Math.ceil(leftMs / 1_000)} s left`)
  }
  const seconds = Math.round(tally.elapsedMs() / 100) / 10
  console.log(
    JSON.stringify({ ...tally.sums, seconds, runsPerMinute: tally.runsPerMinute(), first, ...tally.counts() }),
  )
  return 0
}

/** 0 where nothing was broken, else 1. */
async function runOne(plan: Plan, tally: ReturnType<typeof createTally>, saves: boolean): Promise<number> {
  const outcome = await simulate(plan)
  tally.add(outcome)
  const [worst] = outcome.faults
  if (worst === undefined) return 0
  const { seed, profile } = plan
  const seconds = Math.round(tally.elapsedMs() / 100) / 10
  console.error(`seed ${seed} fails, after ${tally.sums.runs} runs and ${seconds} s:`)
  for (const fault of outcome.faults.slice(0, SHOWN)) console.error(`  ${fault}`)
  console.error(`repeat it: npm run simulate -- --seed ${seed} --profile ${profile}`)
  if (!saves) return 1
  const kind = kindOf(worst)
  console.error('making it smaller …')
  const fails = async (smaller: Plan) => (await simulate(smaller)).faults.some((fault) => kindOf(fault) === kind)
  const smallest = await shrink(plan, fails, SHRINK_WITHIN_MS)
  const { faults } = await simulate(smallest)
  const path = saveRegression({ found: faults.find((fault) => kindOf(fault) === kind) ?? worst, plan: smallest })
  console.error(`saved as ${path}; repeat it: npm run simulate -- --plan ${path}`)
  return 1
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof TypeError ? `${error.message}\n${usage}` : error)
  process.exitCode = 2
}
