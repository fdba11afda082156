// A simulated world from its beginning to its end: processes, clients and what goes wrong, under one clock and one seed. First
// everything may fail; then faults stop, and every run has to come to its end.
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import { createHandle } from '../../src/commands/handle.ts'
import { isOpen } from '../../src/domain/execution/state.ts'
import { NOTHING } from '../../src/domain/pool/amounts.ts'
import { poolDecider } from '../../src/domain/pool/decide.ts'
import { poolStream } from '../../src/domain/pool/events.ts'
import { workflowDecider } from '../../src/domain/workflow/decide.ts'
import { workflowStream } from '../../src/domain/workflow/events.ts'
import { chanceOf } from '../support/chance.ts'
import { createBroker, SESSION_MS } from './broker.ts'
import { type Clients, createClients, POOL } from './clients.ts'
import { listen } from './decisions.ts'
import { createFaults } from './faults.ts'
import { EPOCH_MS, type Network } from './gates.ts'
import { MemoryLog } from './memory-log.ts'
import { createObserver } from './observer.ts'
import { answerEverything } from './people.ts'
import type { MishapPlan, Plan } from './plan.ts'
import { type Process, type Role, type Surroundings, startProcess } from './processes.ts'
import { createReportTopic } from './report-topic.ts'
import { createScheduler } from './scheduler.ts'
import type { Effect, Ledger } from './scripts.ts'
import { definitionOf, workflowName } from './workflows.ts'

/** From the end of faults to the end of every run, milliseconds of the world: the slowest plans need about one hour. */
const LIVELY_WITHIN_MS = 6 * 3_600_000
/** What was still on its way when the last run ended has arrived by then. */
const SETTLED_AFTER_MS = 150_000
/** A hundred times what most plans need: what takes more does the same thing over and over. */
const MOST_STEPS = 100_000
const STOPPED_WITHIN_MS = 60_000
const HOUR_MS = 3_600_000

export type World = Surroundings & {
  readonly clients: Clients
  readonly effects: readonly Effect[]
  /** It was ended for the number of its steps. */
  readonly hasNoEnd: boolean
  /** Those that are alive at the end. */
  readonly processes: readonly Process[]
}

/** One place in the world, and the processes that were there one after another. */
type Slot = { readonly name: string; readonly roles: readonly Role[]; process: Process; born: number }

/** Runs the plan to its end. */
export async function runWorld(plan: Plan): Promise<World> {
  const slots: Slot[] = []
  const around = surround(plan, () => peersOf(slots))
  const { network, observer } = around
  const { scheduler, faults } = network
  await register(around)
  fill(slots, around)
  const processes = () => slots.map(({ process }) => process)
  const clients = createClients(around, processes)
  for (const mishap of plan.mishaps) scheduler.schedule(undefined, mishap.atMs, () => befall(around, slots, mishap))
  scheduler.schedule(undefined, plan.healAtMs, () => {
    faults.heal()
    void answerEverything(around, clients)
    clients.endSchedule()
  })

  const isOver = () =>
    scheduler.nowMs > plan.healAtMs + LIVELY_WITHIN_MS ||
    scheduler.steps > MOST_STEPS ||
    (scheduler.nowMs > plan.healAtMs && clients.busy === 0 && ![...observer.runs.values()].some(isOpen))
  await scheduler.run(isOver)
  await pass(around, SETTLED_AFTER_MS)
  await scheduler.run(isOver)
  const ending = processes().filter(({ alive }) => alive)
  for (const process of ending) process.stop()
  await pass(around, STOPPED_WITHIN_MS)
  const hasNoEnd = scheduler.steps > MOST_STEPS
  return { ...around, hasNoEnd, clients, effects: (around.ledger as Ledger).effects, processes: ending }
}

/** Lets time go by. */
async function pass({ network: { scheduler } }: Surroundings, ms: number): Promise<void> {
  const untilMs = scheduler.nowMs + ms
  scheduler.schedule(undefined, ms, () => {})
  await scheduler.run(() => scheduler.nowMs >= untilMs || scheduler.steps > MOST_STEPS)
}

function surround(plan: Plan, processes: () => readonly Process[]): Surroundings {
  const { seed, latencyMs, profile } = plan
  const chance = chanceOf(seed ^ 0x5eed)
  const scheduler = createScheduler(chanceOf(seed ^ 0x0bde))
  const faults = createFaults(plan.rates, chanceOf(seed ^ 0xfa17))
  const network: Network = { scheduler, faults, chance, latencyMs }
  const wall = { aheadMs: 0 }
  const observer = createObserver(() => EPOCH_MS + scheduler.nowMs + wall.aheadMs)
  listen((command, state) => observer.decides(command, state, scheduler))
  const log = new MemoryLog(observer.appended)
  const effects: Effect[] = []
  const ledger: Ledger = { effects, act: (effect) => void effects.push({ ...effect, head: log.events.length - 1 }) }
  const shared =
    profile === 'embedded'
      ? undefined
      : {
          broker: createBroker(network),
          reports: createReportTopic(network, processes),
          leases: createMemoryLeases(timeOf(network)),
        }
  return { plan, network, log, shared, observer, ledger, wall }
}

const timeOf = ({ scheduler }: Network) => ({ monotonicMs: () => scheduler.nowMs })

/** Puts the workflows, as they are compiled, and the pool into the log before anything begins. */
async function register({ plan, log }: Surroundings): Promise<void> {
  const handle = createHandle(log)
  const at = new Date(EPOCH_MS).toISOString()
  for (const [index, workflow] of plan.workflows.entries()) {
    const name = workflowName(index)
    const data = {
      ...{ namespace: 'default', name, source: {}, definition: definitionOf(workflow, index) },
      fingerprint: String(index),
    }
    const context = { namespace: 'default', correlationId: name, actor: 'user:author', at }
    await handle(workflowDecider, workflowStream('default', name), { type: 'RegisterWorkflow', data }, context)
  }
  const capacity = { ...NOTHING, slots: plan.poolSlots }
  const context = { namespace: 'default', correlationId: POOL, actor: 'user:author', at }
  await handle(poolDecider, poolStream('default', POOL), { type: 'DefinePool', name: POOL, capacity }, context)
}

function fill(slots: Slot[], around: Surroundings): void {
  const { profile, engines, workers } = around.plan
  const named = (count: number, letter: string, roles: readonly Role[]) =>
    Array.from({ length: count }, (_, index) => ({ name: `${letter}${index}`, roles }))
  const wanted =
    profile === 'embedded'
      ? named(1, 'all', ['engine', 'worker'])
      : [...named(engines, 'engine', ['engine']), ...named(workers, 'worker', ['worker'])]
  for (const { name, roles } of wanted)
    slots.push({ name, roles, born: 0, process: startProcess(around, `${name}.0`, roles, () => peersOf(slots)) })
}

const peersOf = (slots: readonly Slot[]): Process[] => slots.map(({ process }) => process)

/** Something happens to one of the processes, or to what they have in common. */
function befall(around: Surroundings, slots: readonly Slot[], { kind, pick, forMs }: MishapPlan): void {
  const { network, wall, shared } = around
  const { faults, scheduler } = network
  const slot = slots[pick % slots.length]!
  const { process } = slot
  const again = () => {
    if (process.alive) process.kill()
    if (slot.process !== process) return
    slot.process = startProcess(around, `${slot.name}.${++slot.born}`, slot.roles, () => peersOf(slots))
  }
  switch (kind) {
    case 'crash':
    case 'stop':
      if (!process.alive) return
      if (kind === 'crash') process.kill()
      else process.stop()
      scheduler.schedule(undefined, kind === 'crash' ? forMs : forMs + STOPPED_WITHIN_MS, again)
      break
    case 'pause':
      if (!process.alive) return
      process.stoppedUntilMs = scheduler.nowMs + forMs
      if (forMs > SESSION_MS) shared?.broker.unheard(process)
      break
    case 'clock-jump':
      wall.aheadMs += ((pick % 3) - 1) * HOUR_MS + (pick % 1_000) - 500
      break
    case 'drop-leases':
      if (!shared) return
      shared.leases = createMemoryLeases(timeOf(network))
  }
  faults.count(kind)
}
