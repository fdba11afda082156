// The composition root: every use case, reactor and worker on one screen. It knows the ports, never an adapter.
import { createIssue, createStageReports } from './commands/advance-execution.ts'
import { createAllocation } from './commands/allocation.ts'
import { createAuditRecords } from './commands/audit-records.ts'
import { createClassifyFailure } from './commands/classify-failure.ts'
import { createControlExecution } from './commands/control-execution.ts'
import { createDefinePool } from './commands/define-pool.ts'
import { createHandle } from './commands/handle.ts'
import { createScheduleCommands } from './commands/manage-schedules.ts'
import { createWorkflowCommands } from './commands/register-workflow.ts'
import { createReportIntake } from './commands/report-intake.ts'
import { createRestoreExecution } from './commands/restore-execution.ts'
import { createRetentionCommands } from './commands/retention.ts'
import { createScheduledRuns } from './commands/scheduled-runs.ts'
import { createSkipEvent } from './commands/skip-event.ts'
import { createStartExecution } from './commands/start-execution.ts'
import { createSubWorkflows } from './commands/sub-workflows.ts'
import { createLoseWorker, createWorkerRegistry } from './commands/worker-life.ts'
import type { Archive } from './ports/archive.ts'
import { type Cache, noCache } from './ports/cache.ts'
import type { Clock } from './ports/clock.ts'
import type { EventStore } from './ports/event-store.ts'
import type { Handler } from './ports/handler.ts'
import type { Leases } from './ports/leases.ts'
import type { Logger } from './ports/logger.ts'
import type { Signer } from './ports/signer.ts'
import type { StageLogs } from './ports/stage-logs.ts'
import type { StageReports } from './ports/stage-reports.ts'
import type { WorkQueue } from './ports/work-queue.ts'
import type { ProjectionKeeper } from './projections/keeper.ts'
import { createBacktest } from './queries/backtest.ts'
import { createHistory } from './queries/history.ts'
import type { Queries } from './queries/queries.ts'
import { replayOf } from './queries/replay.ts'
import { createWhatIf } from './queries/what-if.ts'
import { createAllocator } from './reactors/allocator.ts'
import { createDispatcher } from './reactors/dispatcher.ts'
import { runReactor } from './reactors/reactor.ts'
import { createScheduler } from './reactors/scheduler.ts'
import { createSubWorkflowReactor } from './reactors/sub-workflows.ts'
import { createTimekeeper } from './reactors/timekeeper.ts'
import { createWorkerWatch } from './reactors/worker-watch.ts'
import { createRetention, type RetentionOptions } from './retention/retention.ts'
import { type CheckLog, createCheckLog } from './verification/check-log.ts'
import type { Engine } from './verification/open-checks.ts'
import { createVerification } from './verification/verify.ts'
import { startWorker, type WorkerOptions } from './workers/worker.ts'

export type Ports = {
  readonly store: EventStore
  readonly queue: WorkQueue
  readonly leases: Leases
  readonly logs: StageLogs
  readonly clock: Clock
  /** Of answers; without one nothing is kept. */
  readonly cache?: Cache
  /** Signs exports of the audit; without one they are not signed. */
  readonly signer?: Signer
  /** Takes streams out of the log; without one they stay there. */
  readonly archive?: Archive
}

export type App = ReturnType<typeof createApp>

/** Durations in milliseconds; `snapshotEvery` is how many events are between two snapshots of a reactor. */
export type Settings = {
  readonly leaseMs: number
  readonly heartbeatMs: number
  readonly leaseCheckMs: number
  readonly snapshotEvery?: number
}

/** What a process with a database has besides: the database, who keeps the read models, and how the log is read when the installation is verified. */
export type Keeping = {
  readonly pool: RetentionOptions['pool']
  readonly checkLog: CheckLog
  readonly keeper: ProjectionKeeper
}

const defaultSettings: Settings = { leaseMs: 30_000, heartbeatMs: 500, leaseCheckMs: 2_000 }

export function createApp(
  ports: Ports,
  queries: Queries,
  logger: Logger,
  settings: Settings = defaultSettings,
  keeping?: Keeping,
) {
  const { store, queue, leases, logs, clock } = ports
  const handle = createHandle(store)
  const reports = createStageReports(handle)
  const registry = createWorkerRegistry(handle)
  const commands = {
    workflows: createWorkflowCommands(handle),
    startExecution: createStartExecution({ handle, store }),
    restoreExecution: createRestoreExecution({ handle, store }),
    control: createControlExecution({ handle, store }),
    classifyFailure: createClassifyFailure(handle),
    definePool: createDefinePool(handle),
    schedules: createScheduleCommands(handle),
    skipEvent: createSkipEvent(handle),
    retention: createRetentionCommands(handle),
  }

  const { archive } = ports
  const retention =
    keeping &&
    archive &&
    createRetention({
      ...{ store, archive, logs, clock, logger, pool: keeping.pool, commands: commands.retention },
      reached: (...asked) => queries.reached(...asked),
    })
  const history = createHistory(store)
  const audit = createAuditRecords(handle)
  const whatIf = createWhatIf(history, queries)
  let engine: Engine | undefined
  return {
    commands,
    audit,
    queries,
    history,
    whatIf,
    /** A run event by event, in words. */
    replay: (...asked: [namespace: string, id: string, from: number, limit: number]) => replayOf(history, ...asked),
    backtest: createBacktest(history, whatIf),
    stageLogs: logs,
    /** What can be done about the read models; undefined in a process that has none. */
    keeper: keeping?.keeper,
    /** What is kept for how long; undefined in a process that has no read models. */
    retention,
    /** What takes the reports of workers, also of those in other processes. */
    reports,
    /** Takes a report that a worker has sent without waiting for the answer. */
    takeReport: createReportIntake({ reports, leases, logger }),
    /** Takes what a worker has sent of itself. What the log refuses it has no use for. */
    takeNews: async (...news: Parameters<typeof registry.report>): Promise<void> =>
      void (await registry.report(...news)),
    /** How things stand with the work that waits. */
    queues: () => queue.stats(),
    verification: createVerification({
      ...{ store, queue, leases, clock, logger },
      checkLog: keeping?.checkLog ?? createCheckLog(store, undefined),
      readModels: { rebuild: async (names, signal) => keeping?.keeper.rebuild(names, signal) },
      engine: () => engine,
    }),
    clock,
    cache: ports.cache ?? noCache,
    signer: ports.signer,

    /** Starts what follows the log and causes the next thing; `ready` resolves once all have caught up. */
    startReactors() {
      const stop = new AbortController()
      const dispatcher = createDispatcher({ store, queue, leases, clock, logger })
      const timekeeper = createTimekeeper({
        issue: createIssue(handle),
        leases,
        clock,
        logger,
        leaseCheckMs: settings.leaseCheckMs,
      })
      const subWorkflows = createSubWorkflowReactor(createSubWorkflows({ handle, store, clock }))
      const allocator = createAllocator(createAllocation({ handle, clock }), clock)
      const scheduler = createScheduler({ commands: createScheduledRuns({ handle, clock }), clock, logger })
      const workerWatch = createWorkerWatch({
        lose: createLoseWorker(handle),
        leases,
        clock,
        logger,
        checkMs: settings.leaseCheckMs,
      })
      const { snapshotEvery } = settings
      const following = { store, clock, logger, signal: stop.signal, ...(snapshotEvery ? { snapshotEvery } : {}) }
      const running = [dispatcher, timekeeper, subWorkflows, allocator, scheduler, workerWatch].map((reactor) =>
        runReactor(reactor, following),
      )
      const acted = () => Math.min(...running.map((one) => one.acted()))
      engine = { dispatcher, timekeeper, subWorkflows, allocator, acted }
      return {
        ready: Promise.all(running.map(({ ready }) => ready)),
        async stop() {
          engine = undefined
          dispatcher.stop()
          timekeeper.stop()
          workerWatch.stop()
          scheduler.stop()
          stop.abort()
          await Promise.all(running.map(({ stopped }) => stopped))
        },
      }
    },

    /** Starts a worker in this process, which reports to this app unless it is told of another that takes `reports`. */
    startWorker(options: {
      id: string
      handlers: ReadonlyMap<string, Handler>
      queues: readonly string[]
      labels?: readonly string[]
      concurrency: number
      perQueue?: WorkerOptions['perQueue']
      about: WorkerOptions['about']
      reports?: StageReports
    }) {
      const { perQueue, labels = [], ...rest } = { reports, ...options }
      const { leaseMs, heartbeatMs } = settings
      const limits = { labels, leaseMs, heartbeatMs, ...(perQueue ? { perQueue } : {}) }
      return startWorker({ ...rest, ...limits, queue, leases, registry, logs, clock, logger })
    },
  }
}
