// The processes of a simulated world. Each is the program's own composition, `createApp`, on simulated ports, and lives until
// it is stopped or killed; the next one of its name begins with nothing in memory.
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import { createMemoryQueue } from '../../src/adapters/work-queue/memory.ts'
import { type App, createApp, type Ports, type Settings } from '../../src/app.ts'
import { type Leases, leaseKey } from '../../src/ports/leases.ts'
import type { Logger } from '../../src/ports/logger.ts'
import type { StageLogs } from '../../src/ports/stage-logs.ts'
import type { StageReports } from '../../src/ports/stage-reports.ts'
import type { Queries } from '../../src/queries/queries.ts'
import type { Broker } from './broker.ts'
import { Injected } from './faults.ts'
import { clockOf, gate, latencyOf, leasesThrough, type Network, queueThrough, storeThrough } from './gates.ts'
import type { MemoryLog } from './memory-log.ts'
import type { Observer } from './observer.ts'
import type { Plan } from './plan.ts'
import type { ReportTopic } from './report-topic.ts'
import type { Owner } from './scheduler.ts'
import { handlersOf, type Ledger } from './scripts.ts'

export type Role = 'engine' | 'worker'

/** What outlives every process: the log, and in a distributed world the broker and what keeps the leases. */
export type Surroundings = {
  readonly plan: Plan
  readonly network: Network
  readonly log: MemoryLog
  readonly shared: { readonly broker: Broker; readonly reports: ReportTopic; leases: Leases } | undefined
  readonly observer: Observer
  readonly ledger: Ledger
  readonly wall: { aheadMs: number }
}

export type Process = Owner & {
  readonly roles: readonly Role[]
  /** Has caught up, and takes commands. */
  up: boolean
  readonly app: App
  /** Ends it as SIGKILL does. */
  kill(): void
  /** Ends it as SIGTERM does. */
  stop(): void
}

const LEASE_MS = 30_000
const GRACE_MS = 10_000
const ABOUT = { host: 'simulated', pid: 1, version: '0.0.0' }
/** A process that has not ended by then is killed, as in `start`. */
const CLOSE_WITHIN_MS = 30_000
const REPORT_TIMEOUT_MS = 15_000
const DELAYED_MS = 60_000

const noLogs: StageLogs = {
  open: () => ({ write: () => {}, close: async () => {} }),
  read: async () => [],
  remove: async () => {},
}
export const noQueries = new Proxy({} as Queries, {
  get: (_, name) => () => {
    throw new Error(`nothing in a simulation reads tables: ${String(name)}`)
  },
})

/** @param peers the processes that take the reports of this one, where it has no engine */
export function startProcess(
  around: Surroundings,
  name: string,
  roles: readonly Role[],
  peers: () => readonly Process[],
) {
  const { network, plan, observer, ledger } = around
  const owner: Owner & { up: boolean } = { name, alive: true, stoppedUntilMs: 0, up: false }
  const ports = portsOf(around, owner)
  const settings: Settings = {
    leaseMs: LEASE_MS,
    heartbeatMs: 10_000,
    leaseCheckMs: 10_000,
    snapshotEvery: plan.snapshotEvery,
  }
  const app = createApp(ports, noQueries, loggerOf(observer, name), settings)
  let reactors: ReturnType<App['startReactors']> | undefined
  let worker: ReturnType<App['startWorker']> | undefined

  // In the order of `start.ts`, and stopped in the opposite one.
  async function boot(): Promise<void> {
    if (roles.includes('engine')) {
      reactors = app.startReactors()
      await reactors.ready
    }
    if (roles.includes('worker')) {
      const handlers = handlersOf({ network, owner, worker: name, ledger, seed: plan.seed })
      const over =
        plan.sends && around.shared ? around.shared.reports.connect(owner) : reportsOver(network, owner, peers)
      const elsewhere = roles.includes('engine') ? {} : { reports: over }
      worker = app.startWorker({
        id: name,
        handlers,
        queues: ['default', 'big'],
        concurrency: 4,
        about: ABOUT,
        ...elsewhere,
      })
    }
    owner.up = true
  }

  async function drain(): Promise<void> {
    await worker?.drain(GRACE_MS)
    await reactors?.stop()
    kill()
  }

  function kill(): void {
    owner.alive = false
    owner.up = false
    around.shared?.broker.unheard(owner)
  }

  network.scheduler.schedule(owner, latencyOf(network), () => void boot())
  return Object.assign(owner, {
    roles,
    app,
    kill,
    stop() {
      owner.up = false
      network.scheduler.schedule(owner, 0, () => void drain())
      network.scheduler.schedule(owner, CLOSE_WITHIN_MS, kill)
    },
  }) satisfies Process
}

function portsOf(around: Surroundings, owner: Owner): Ports {
  const { network, plan, log, shared, observer, wall } = around
  const clock = clockOf(network, owner, wall)
  const own = shared ? undefined : createMemoryLeases(clock)
  const queue = shared?.broker.connect(owner) ?? createMemoryQueue(clock)
  // Asked for at each call, since what keeps the leases may have been replaced.
  const leases: Leases = {
    claim: (...given) => (own ?? shared!.leases).claim(...given),
    renew: (...given) => (own ?? shared!.leases).renew(...given),
    release: (...given) => (own ?? shared!.leases).release(...given),
    confirm: (...given) => (own ?? shared!.leases).confirm(...given),
    revoke: (...given) => (own ?? shared!.leases).revoke(...given),
    unheld: (...given) => (own ?? shared!.leases).unheld(...given),
    held: () => (own ?? shared!.leases).held(),
    close: async () => {},
  }
  const reached = leasesThrough(network, owner, leases)
  /** What it knows to be its own, and has not tried to release. */
  const claimed = new Set<string>()
  return {
    store: storeThrough(network, owner, log),
    queue: queueThrough(network, owner, queue, {
      published: observer.handsOut,
      done({ executionId, stage, attempt }) {
        const key = leaseKey(executionId, stage, attempt)
        // What was sent keeps its lease until it is taken.
        if (claimed.has(key) && !plan.sends)
          observer.accuse(`invariant 18: ${owner.name} is done with ${key} and keeps its lease`)
      },
    }),
    leases: {
      ...reached,
      async claim(...given) {
        const isMine = await reached.claim(...given)
        if (isMine) claimed.add(given[0])
        return isMine
      },
      release(key, of) {
        claimed.delete(key)
        return reached.release(key, of)
      },
    },
    logs: noLogs,
    clock,
  }
}

/** Failures that were made are no news; anything else that is logged is a mistake. */
function loggerOf({ accuse }: Observer, name: string): Logger {
  const hear = (details: object, message: string): void => {
    const { err } = details as { err?: Error }
    if (err && !isInjected(err)) accuse(`unexpected: ${name} logs "${message}": ${err.stack ?? err}`)
  }
  return { info: hear, warn: hear, error: hear }
}

export const isInjected = (error: unknown): boolean =>
  error instanceof Injected || (error instanceof Error && error.name === 'StoreUnavailable')

/** Reports of a worker that is a process of its own: messages that may get lost, come twice, late and in another order. */
function reportsOver(network: Network, owner: Owner, peers: () => readonly Process[]): StageReports {
  const { scheduler, faults, chance } = network
  return {
    async report(work, report) {
      await gate(network, owner)
      const engines = peers().filter(({ up, roles }) => up && roles.includes('engine'))
      const sent = JSON.stringify({ work, report })
      const deliver = (): ReturnType<StageReports['report']> =>
        new Promise((resolve, reject) => {
          if (engines.length === 0 || faults.befalls('report-lost')) return
          const engine = chance.pick(engines)
          const delayMs = faults.befalls('report-delayed') ? chance.below(DELAYED_MS) : latencyOf(network)
          scheduler.schedule(engine, delayMs, () => {
            const { work: of, report: said } = JSON.parse(sent) as { work: typeof work; report: typeof report }
            engine.app.reports.report(of, said).then(resolve, reject)
          })
        })
      if (faults.befalls('report-doubled')) void deliver().catch(() => {})
      const late = gate(network, owner, REPORT_TIMEOUT_MS).then(() => {
        throw new Injected('no answer to a report')
      })
      const answer = await Promise.race([deliver(), late])
      await gate(network, owner)
      return answer
    },
  }
}
