// Reports that outlive the worker that has sent them, as a topic keeps them: of one run one after another, each until an engine has
// taken it. A delivery whose engine is not heard of again is made again, though it may only have been stopped.
import type { Work } from '../../src/domain/execution/work.ts'
import type { StageReports, WorkerReport } from '../../src/ports/stage-reports.ts'
import { SESSION_MS } from './broker.ts'
import { Injected } from './faults.ts'
import { gate, latencyOf, type Network } from './gates.ts'
import type { Process } from './processes.ts'
import type { Owner } from './scheduler.ts'

const DELAYED_MS = 60_000
const AGAIN_MS = 1_000

/** Of one run. */
type Line = { readonly waiting: string[]; underWay: boolean }

export type ReportTopic = {
  /** The topic as a worker sees it. */
  connect(owner: Owner): StageReports
  /** How many have not been taken. */
  readonly size: number
}

export function createReportTopic(network: Network, processes: () => readonly Process[]): ReportTopic {
  const { scheduler, faults, chance } = network
  const lines = new Map<string, Line>()

  function put(executionId: string, message: string): void {
    const line = lines.get(executionId) ?? { waiting: [], underWay: false }
    lines.set(executionId, line)
    line.waiting.push(message)
    deliver(line)
  }

  function deliver(line: Line): void {
    const message = line.waiting[0]
    if (message === undefined || line.underWay) return
    line.underWay = true
    let isOver = false
    const end = (taken: boolean): void => {
      if (isOver) return
      isOver = true
      line.underWay = false
      if (taken) line.waiting.shift()
      deliver(line)
    }
    const again = (): void => void scheduler.schedule(undefined, AGAIN_MS, () => end(false))
    const engines = processes().filter(({ up, roles }) => up && roles.includes('engine'))
    if (engines.length === 0) {
      again()
      return
    }
    const engine = chance.pick(engines)
    const { work, report } = JSON.parse(message) as { work: Work; report: WorkerReport }
    const delayMs = faults.befalls('report-delayed') ? chance.below(DELAYED_MS) : latencyOf(network)
    scheduler.schedule(engine, delayMs, () => void engine.app.takeReport(work, report).then(() => end(true), again))
    scheduler.schedule(undefined, delayMs + SESSION_MS, () => end(false))
  }

  return {
    connect: (owner) => ({
      async report(work, report) {
        await gate(network, owner)
        const message = JSON.stringify({ work, report })
        const isLost = faults.befalls('report-lost')
        // Whether it was kept before the answer got lost nobody knows.
        if (!isLost || chance.next() < 0.5) put(work.executionId, message)
        if (isLost) throw new Injected('no answer to a report')
        if (faults.befalls('report-doubled')) put(work.executionId, message)
        await gate(network, owner)
        return 'sent'
      },
    }),
    get size() {
      return [...lines.values()].reduce((sum, { waiting }) => sum + waiting.length, 0)
    },
  }
}
