// Harm to the distributed profile while clients work with it: each process killed, stopped and continued or asked to end, each server
// killed and started again, in turn as the dice say. Then the judgement that every profile gets.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { FileArchive } from '../../src/adapters/event-store/archive-files.ts'
import { ArchivedEventStore } from '../../src/adapters/event-store/archived.ts'
import { EventStoreDb } from '../../src/adapters/event-store/eventstoredb.ts'
import { violations } from '../../src/checker/violations.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import type { Chance } from './chance.ts'
import { type Distributed, processes, startDistributed } from './distributed.ts'
import { archivedIn } from './judge.ts'
import { Load } from './load.ts'
import { keepFew } from './scene.ts'
import { faultsOfEffects, faultsOfRuns, readEffects } from './verdict.ts'

const LEASE_MS = 3_000
const MOST_DELAY_MS = 2_000
const HEALED_WITHIN_MS = 120_000

type Scope = Parameters<typeof startDistributed>[0]
export type Harm = readonly [what: string, does: (profile: Distributed, chance: Chance) => Promise<void>]

const named = (name: string) => processes.filter((one) => one.startsWith(name))

/** One of the role ends in this way, and another takes its place. */
const ends = (role: string, signal: NodeJS.Signals): Harm => [
  `${signal === 'SIGKILL' ? 'kill' : 'terminate'} ${role}`,
  async (profile, chance) => {
    const name = chance.pick(named(role))
    await profile.end(name, signal)
    profile.start(name)
  },
]

/** For longer than its leases last. */
const stops = (role: string): Harm => [
  `stop and continue ${role}`,
  async (profile, chance) => {
    const { child } = profile.start(chance.pick(named(role)))
    child.kill('SIGSTOP')
    await delay(LEASE_MS * (1.2 + chance.next()))
    child.kill('SIGCONT')
  },
]

export const harms: readonly Harm[] = [
  ...['api', 'engine', 'reactors', 'projector', 'worker'].flatMap((role) => [
    ends(role, 'SIGKILL'),
    ends(role, 'SIGTERM'),
  ]),
  ...['engine', 'reactors', 'worker'].map(stops),
  ['kill Kafka', async ({ kafka }) => kafka.kill().then(() => kafka.restart())],
  ['kill Redis', async ({ redis }) => redis.kill().then(() => redis.restart())],
  ['lose Redis', async ({ redis }) => redis.kill().then(() => redis.restart({ emptied: true }))],
  ['kill EventStoreDB', (profile) => profile.restartStore()],
  [
    'restart PostgreSQL',
    async ({ postgres }) => {
      const { pid } = await postgres.postmaster()
      process.kill(pid, 'SIGQUIT')
    },
  ],
]

export type Told = {
  readonly faults: readonly string[]
  readonly figures: { readonly [name: string]: number | Readonly<Record<string, number>> }
}

/** @param isEnough is asked after each harm */
export async function tormentDistributed(
  scope: Scope,
  chance: Chance,
  deck: readonly Harm[],
  isEnough: (done: number) => boolean,
  tell: (line: string) => void,
): Promise<Told> {
  const effects = await mkdtemp(join(tmpdir(), 'millrace-effects-'))
  scope.onTestFinished(() => rm(effects, { recursive: true, force: true }))
  const archive = await mkdtemp(join(tmpdir(), 'millrace-archived-'))
  scope.onTestFinished(() => rm(archive, { recursive: true, force: true }))
  const profile = await startDistributed(scope, {
    settings: {
      MILLRACE_ARCHIVE: archive,
      MILLRACE_LEASE_MS: String(LEASE_MS),
      MILLRACE_HEARTBEAT_MS: '200',
      MILLRACE_HANDLERS: join(import.meta.dirname, '../../bench/noop.ts'),
    },
  })
  const load = new Load(chance, effects)
  await load.register(await profile.url())
  await keepFew(await profile.url())
  const struck: Record<string, number> = {}
  const began = Date.now()
  let rest: Harm[] = []
  for (let done = 0; !isEnough(done); done++) {
    if (rest.length === 0) rest = [...deck]
    const [what, does] = rest.splice(chance.below(rest.length), 1)[0]!
    const url = await profile.url()
    const asking = askForWork(url, delay(chance.below(MOST_DELAY_MS / 2)))
    await Promise.all([delay(chance.below(MOST_DELAY_MS)).then(() => does(profile, chance)), load.round(url), asking])
    struck[what] = (struck[what] ?? 0) + 1
    tell(`${Math.round((Date.now() - began) / 1_000)} s, ${load.runs.length} runs; after: ${what}`)
  }
  const stuck = await heal(profile, load, archive)
  const verified = await verdictOf(await profile.url())
  for (const name of processes) await profile.end(name, 'SIGTERM')
  const events = await everything(profile.environment.MILLRACE_EVENT_STORE!, archive)
  const found = {
    ...{ stuck, verified },
    answers: load.faults,
    invariants: violations(events, { healed: true, cancelWithinMs: HEALED_WITHIN_MS }),
    runs: faultsOfRuns(load.runs, events),
    effects: faultsOfEffects(await readEffects(effects), events),
  }
  const faults = Object.entries(found).flatMap(([name, lines]) => lines.map((line) => `${name}: ${line}`))
  const count = (type: string) => events.filter((event) => event.type === type).length
  const answered = (wanted: string) => load.runs.filter(({ started }) => started === wanted).length
  const figures = {
    ...{ ok: answered('ok'), unknown: answered('unknown'), refused: answered('refused'), events: events.length },
    ...{
      completed: count('ExecutionCompleted'),
      failed: count('ExecutionFailed'),
      cancelled: count('ExecutionCancelled'),
    },
    archived: archivedIn(events),
    ...{ attemptsLost: lostIn(events), violations: faults.length, harm: struck },
  }
  if (faults.length > 0) tell(profile.said())
  return { faults, figures }
}

const lostIn = (events: readonly RecordedEvent[]): number =>
  events.filter(({ type, data }) => type === 'StageRetried' && (data as { reason?: string }).reason === 'lost').length

/** No more harm: every run comes to its end. Answers those that do not. */
async function heal(profile: Distributed, load: Load, archive: string): Promise<readonly string[]> {
  const url = await profile.url()
  await load.round(url)
  for (const deadline = Date.now() + HEALED_WITHIN_MS; ; await delay(250)) {
    const events = await everything(profile.environment.MILLRACE_EVENT_STORE!, archive)
    const open = new Set<string>()
    for (const { stream, type } of events) {
      if (type === 'ExecutionStarted') open.add(stream)
      if (/^Execution(Completed|Failed|Cancelled)$/.test(type)) open.delete(stream)
    }
    if (open.size === 0) return []
    if (Date.now() > deadline)
      return [...open].map(
        (stream) => `${stream}: ${events.filter((one) => one.stream === stream).map(({ type }) => type)}`,
      )
    await load.answerAll(url)
  }
}

/** The largest read models built again, and streams taken out of the log, as far as that gets. */
async function askForWork(url: string, at: Promise<void>): Promise<void> {
  await at
  const paths = [
    'admin/projections/executions/rebuild',
    'admin/projections/events/rebuild',
    'default/retention/clean-up',
  ]
  await Promise.all(paths.map((path) => fetch(`${url}/v1/${path}`, { method: 'POST' }).catch(() => {})))
}

/** What the installation finds about itself once no rebuild is under way. */
async function verdictOf(url: string): Promise<readonly string[]> {
  for (const deadline = Date.now() + HEALED_WITHIN_MS; ; await delay(250)) {
    const { items } = (await (await fetch(`${url}/v1/admin/projections`)).json()) as { items: readonly Shown[] }
    const late = items.filter(({ lagEvents, rebuild }) => lagEvents > 0 || rebuild?.status === 'running')
    if (late.length === 0) break
    if (Date.now() > deadline) return late.map((one) => `not caught up: ${JSON.stringify(one)}`)
  }
  const answer = await fetch(`${url}/v1/admin/verify`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' },
  })
  const result = JSON.parse((await answer.text()).trimEnd().split('\n').at(-1)!)
  // What runs in other processes it cannot ask; the log and the read models it can.
  const unread = (result.notChecked as readonly string[]).filter((what) => what.startsWith('the read model'))
  return result.clean === true && unread.length === 0 ? [] : [JSON.stringify(result)]
}

type Shown = { readonly name: string; readonly lagEvents: number; readonly rebuild?: { readonly status: string } }

async function everything(url: string, archive: string): Promise<readonly RecordedEvent[]> {
  const store = new ArchivedEventStore(new EventStoreDb(url), new FileArchive(archive))
  try {
    const events: RecordedEvent[] = []
    for await (const batch of store.readAll()) events.push(...batch)
    return events
  } finally {
    await store.close()
  }
}
