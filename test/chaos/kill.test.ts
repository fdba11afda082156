// The whole program is killed at random moments, again and again on one data directory, while clients work with it.
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import { startEmbeddedPostgres } from '../../src/adapters/read-models/embedded-postgres.ts'
import { migrate } from '../../src/adapters/read-models/migrate.ts'
import { createPool } from '../../src/adapters/read-models/pool.ts'
import { violations } from '../../src/checker/violations.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import { hashReadModels } from '../../src/projections/read-models.ts'
import { startProjector } from '../../src/projections/start.ts'
import { createReached } from '../../src/queries/reached.ts'
import { type Chance, chanceOf } from '../support/chance.ts'
import { Load } from '../support/load.ts'
import { query, silent } from '../support/postgres.ts'
import { type Home, makeHome } from '../support/program.ts'
import { faultsOfEffects, faultsOfRuns, readEffects } from '../support/verdict.ts'

/** A slow machine gets less done in a round, so there are more of them until enough was done; but not for ever. */
const LEAST_ROUNDS = 30
const MOST_ROUNDS = 60
const ROUNDS_WITHIN_MS = 300_000
const MOST_DELAY_MS = 1_500
/** A stage that was lost again and again waits 15 s before its next attempt; the rest is for doing the work. */
const HEALED_WITHIN_MS = 60_000
/** Less than this, and the test has shown nothing: of work that was done, and of work that a kill interrupted. */
const LEAST_COMPLETED = 100
const LEAST_LOST = 30

it('what was acknowledged survives every kill, happens once, and ends', { timeout: 480_000 }, async (t) => {
  const seed = Number(process.env.CHAOS_SEED ?? randomInt(2 ** 31))
  console.log(`CHAOS_SEED=${seed}`)
  const chance = chanceOf(seed)
  const home = await makeHome(t)
  const load = new Load(chance, home.effects)

  const first = home.start()
  await load.register(await first.ready)
  await first.kill('SIGKILL')
  const rounds = await killedRounds(home, load, chance)
  const stuck = await healedRound(home, load)
  expect(await home.leftovers()).toEqual([])

  const store = await EmbeddedEventStore.open(join(home.data, 'log'))
  try {
    const events = await eventsOf(store)
    const effects = await readEffects(home.effects)
    console.log(figures(rounds, load, events, effects.length))
    // All of it at once: what is stuck seldom says why, and a broken invariant often does.
    const found = {
      stuck,
      answers: load.faults,
      invariants: violations(events, { healed: true, cancelWithinMs: HEALED_WITHIN_MS }),
      runs: faultsOfRuns(load.runs, events),
      effects: faultsOfEffects(effects, events),
    }
    expect(found).toEqual({ stuck: [], answers: [], invariants: [], runs: [], effects: [] })
    expect(count(events, 'ExecutionCompleted')).toBeGreaterThanOrEqual(LEAST_COMPLETED)
    expect(lostAttempts(events)).toBeGreaterThanOrEqual(LEAST_LOST)
    await expectReadModelsLikeRebuilt(home.data, store)
  } finally {
    await store.close()
  }
})

/** Answers how many rounds it took. */
async function killedRounds(home: Home, load: Load, chance: Chance): Promise<number> {
  const until = Date.now() + ROUNDS_WITHIN_MS
  const isOver = async (done: number): Promise<boolean> =>
    done >= MOST_ROUNDS || Date.now() > until || (done >= LEAST_ROUNDS && (await completed(home)) >= LEAST_COMPLETED)
  let done = 0
  while (!(await isOver(done))) {
    await killedRound(home, load, chance)
    done++
  }
  return done
}

/** How many runs the log has brought to their end; nobody has it open between two rounds. */
async function completed({ data }: Home): Promise<number> {
  const store = await EmbeddedEventStore.open(join(data, 'log'))
  try {
    return count(await eventsOf(store), 'ExecutionCompleted')
  } finally {
    await store.close()
  }
}

async function eventsOf(store: EventStore): Promise<readonly RecordedEvent[]> {
  const events: RecordedEvent[] = []
  for await (const batch of store.readAll()) events.push(...batch)
  return events
}

/** Kills the program while it starts or while clients work with it, whichever the dice say. */
async function killedRound(home: Home, load: Load, chance: Chance): Promise<void> {
  const duringStart = chance.next() < 0.25
  const delayMs = chance.below(MOST_DELAY_MS)
  const program = home.start()
  const killing = async (): Promise<void> => {
    await delay(delayMs)
    await program.kill('SIGKILL')
  }
  if (duringStart) {
    // Only the kill may end it, also before it is ready.
    program.ready.then((url) => load.round(url)).catch(() => {})
    await killing()
    expect((await program.ended).signal, program.stderr()).toBe('SIGKILL')
  } else {
    const url = await program.ready
    await Promise.all([load.round(url), killing()])
  }
}

/** No more faults: work goes on, everything comes to its end, and then the program is asked to stop. Answers what is stuck. */
async function healedRound(home: Home, load: Load): Promise<readonly string[]> {
  const program = home.start()
  const url = await program.ready
  await load.round(url)
  const from = performance.now()
  let open = await openRuns(url)
  for (const deadline = Date.now() + HEALED_WITHIN_MS; open.length > 0 && Date.now() < deadline; ) {
    await delay(100)
    open = await openRuns(url)
  }
  console.log(`everything had ended ${Math.round(performance.now() - from)} ms after the last request`)
  const stuck = await Promise.all(open.map((id) => describe(url, id)))
  expect(await program.kill('SIGTERM'), program.stderr()).toEqual({ code: 0, signal: null })
  return stuck
}

/** Runs that have not ended, as the read models have it once they have caught up; a lag counts as a run, too. */
async function openRuns(url: string): Promise<readonly string[]> {
  const read = async <T>(path: string) => ((await (await fetch(`${url}${path}`)).json()) as { items: T[] }).items
  const lagging = (await read<{ name: string; lagEvents: number }>('/v1/admin/projections'))
    .filter(({ lagEvents }) => lagEvents > 0)
    .map(({ name }) => `projection ${name}`)
  if (lagging.length > 0) return lagging
  const pages = ['running', 'cancelling'].map((status) =>
    read<{ id: string }>(`/v1/default/executions?limit=200&status=${status}`),
  )
  return (await Promise.all(pages)).flat().map(({ id }) => id)
}

async function describe(url: string, run: string): Promise<string> {
  const response = await fetch(`${url}/v1/default/executions/${encodeURIComponent(run)}/history?limit=200`)
  const { items = [] } = (await response.json()) as { items?: { type: string; at: string; data: object }[] }
  return [run, ...items.slice(1).map(({ type, at, data }) => `  ${at} ${type} ${JSON.stringify(data)}`)].join('\n')
}

/**
 * Rows that grew through every kill equal those of one reading of the log into an empty database. What was written last is
 * the end of the worker, which comes after the projector's.
 */
async function expectReadModelsLikeRebuilt(data: string, store: EventStore): Promise<void> {
  const postgres = await startEmbeddedPostgres(data, silent)
  const grown = createPool(postgres.url)
  await query(postgres.url, 'CREATE DATABASE rebuilt')
  const url = new URL(postgres.url)
  url.pathname = '/rebuilt'
  await migrate(url.href)
  const rebuilt = createPool(url.href)
  const stop = new AbortController()
  const projecting = [grown, rebuilt].map((pool) =>
    startProjector({ store, pool, logger: silent, signal: stop.signal }),
  )
  try {
    for (const pool of [grown, rebuilt]) expect(await createReached(pool)(await store.head(), 30_000)).toBe(true)
    expect(await hashReadModels(grown)).toEqual(await hashReadModels(rebuilt))
  } finally {
    stop.abort()
    await Promise.all(projecting.map(({ stopped }) => stopped))
    await Promise.all([grown.end(), rebuilt.end()])
    await postgres.stop()
  }
}

const count = (events: readonly RecordedEvent[], wanted: string): number =>
  events.filter(({ type }) => type === wanted).length

const lostAttempts = (events: readonly RecordedEvent[]): number =>
  events.filter(({ type, data }) => type === 'StageRetried' && 'reason' in data && data.reason === 'lost').length

function figures(rounds: number, { runs }: Load, events: readonly RecordedEvent[], effects: number): string {
  const answered = (answer: string) => runs.filter(({ started }) => started === answer).length
  const ends = ['ExecutionCompleted', 'ExecutionFailed', 'ExecutionCancelled'].map(
    (type) => `${count(events, type)} ${type}`,
  )
  const attempts = events.map(({ data }) => ('attempt' in data ? Number(data.attempt) : 0))
  const most = attempts.reduce((a, b) => Math.max(a, b), 0)
  return `${rounds} rounds; runs: ${answered('ok')} ok, ${answered('unknown')} unknown, ${answered('failed')} failed; ${events.length} events: ${ends.join(', ')}; ${lostAttempts(events)} attempts lost; the highest attempt is ${most}; ${effects} side effects`
}
