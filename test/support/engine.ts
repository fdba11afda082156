import { expect, vi } from 'vitest'
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import { createMemoryQueue } from '../../src/adapters/work-queue/memory.ts'
import { createIssue, createStageReports } from '../../src/commands/advance-execution.ts'
import { createAllocation } from '../../src/commands/allocation.ts'
import { createHandle } from '../../src/commands/handle.ts'
import { newId } from '../../src/commands/new-id.ts'
import { createScheduledRuns } from '../../src/commands/scheduled-runs.ts'
import { createSubWorkflows } from '../../src/commands/sub-workflows.ts'
import { createLoseWorker, createWorkerRegistry } from '../../src/commands/worker-life.ts'
import type { ExecutionCommand, StartExecution } from '../../src/domain/execution/commands.ts'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import { executionStream } from '../../src/domain/execution/events.ts'
import type { Json, RecordedEvent } from '../../src/domain/message.ts'
import type { CompiledWorkflow } from '../../src/domain/workflow/definition.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import type { Handler, StageContext } from '../../src/ports/handler.ts'
import type { StageLogs } from '../../src/ports/stage-logs.ts'
import { createAllocator } from '../../src/reactors/allocator.ts'
import { createDispatcher } from '../../src/reactors/dispatcher.ts'
import { runReactor } from '../../src/reactors/reactor.ts'
import { createScheduler } from '../../src/reactors/scheduler.ts'
import { createSubWorkflowReactor } from '../../src/reactors/sub-workflows.ts'
import { createTimekeeper } from '../../src/reactors/timekeeper.ts'
import { createWorkerWatch } from '../../src/reactors/worker-watch.ts'
import { type StageWorker, startWorker } from '../../src/workers/worker.ts'
import { start } from './executions.ts'
import { ManualClock } from './manual-clock.ts'
import { eventsOf } from './stores.ts'

const noLogs: StageLogs = {
  open: () => ({ write: () => {}, close: async () => {} }),
  read: async () => [],
  remove: async () => {},
}
export const silent = { info: () => {}, warn: () => {}, error: () => {} }

/** Where and what the workers of tests say that they are. */
export const testedAbout = { host: 'test', pid: 1, version: '0.0.0' }

export const handlerOf = (name: string, run: (context: StageContext) => Promise<Json | undefined>): Handler => ({
  name,
  run,
})

export type Engine = Awaited<ReturnType<typeof startEngine>>

/** Engine and worker over a real log, with a clock of the test's own; what is in memory ends with `kill`, as in a crash. */
export async function startEngine(
  store: EventStore,
  options: {
    handlers?: readonly Handler[]
    labels?: readonly string[]
    snapshotEvery?: number
    /** False where the log is not to take the registration of the worker, which is else waited for. */
    registered?: boolean
    clock?: ManualClock
    schedulers?: number
  } = {},
) {
  const clock = options.clock ?? new ManualClock()
  const queue = createMemoryQueue(clock)
  const leases = createMemoryLeases(clock)
  const handle = createHandle(store)
  const reports = createStageReports(handle)
  const issue = createIssue(handle)
  const stop = new AbortController()
  const timekeeper = createTimekeeper({ issue, leases, clock, logger: silent, leaseCheckMs: 1_000 })
  const snapshot = options.snapshotEvery === undefined ? {} : { snapshotEvery: options.snapshotEvery }
  const subWorkflows = createSubWorkflowReactor(createSubWorkflows({ handle, store, clock }))
  const allocator = createAllocator(createAllocation({ handle, clock }), clock)
  const workerWatch = createWorkerWatch({
    ...{ lose: createLoseWorker(handle), leases, clock, logger: silent, checkMs: 1_000 },
  })
  const schedulers = Array.from({ length: options.schedulers ?? 0 }, () =>
    createScheduler({ commands: createScheduledRuns({ handle: createHandle(store), clock }), clock, logger: silent }),
  )
  const reactors = [
    createDispatcher({ store, queue, leases, clock, logger: silent }),
    timekeeper,
    subWorkflows,
    allocator,
    workerWatch,
  ]
  const running = [...reactors, ...schedulers].map((reactor) =>
    runReactor(reactor, { store, clock, logger: silent, signal: stop.signal, ...snapshot }),
  )
  await Promise.all(running.map(({ ready }) => ready))
  const workerId = newId()
  let worker: StageWorker | undefined
  if (options.handlers) {
    const handlers = new Map(options.handlers.map((handler) => [handler.name, handler]))
    const limits = {
      queues: ['default'],
      labels: options.labels ?? [],
      concurrency: 100,
      leaseMs: 30_000,
      heartbeatMs: 500,
    }
    worker = startWorker({
      id: workerId,
      queue,
      leases,
      reports,
      registry: createWorkerRegistry(handle),
      logs: noLogs,
      clock,
      handlers,
      logger: silent,
      about: testedAbout,
      ...limits,
    })
    if (options.registered !== false) await worker.registered
  }
  const context = (id: string) => ({
    namespace: 'default',
    correlationId: id,
    actor: 'user:ada',
    at: new Date(clock.now()).toISOString(),
  })

  return {
    clock,
    queue,
    leases,
    handle,
    reports,
    workerId,
    /** Has the worker taken for lost, whether it is or not. */
    lose: (id: string) =>
      createLoseWorker(handle)({ workerId: id, causationId: newId(), reason: 'so', at: context(id).at }),
    drain: async (graceMs: number) => worker?.drain(graceMs),
    async begin(
      definition: CompiledWorkflow,
      input: Json = {},
      overrides: Partial<StartExecution> = {},
    ): Promise<string> {
      const id = newId()
      const command = start(definition, { executionId: id, input, at: context(id).at, ...overrides })
      await handle(executionDecider, executionStream(id), command, context(id))
      return id
    },
    command: (id: string, command: ExecutionCommand) =>
      handle(executionDecider, executionStream(id), command, context(id)),
    history: (id: string): Promise<RecordedEvent[]> => eventsOf(store, executionStream(id)),
    /** Ends like a process that is killed: nothing is handed over, nothing is written down. */
    async kill(): Promise<void> {
      timekeeper.stop()
      workerWatch.stop()
      for (const scheduler of schedulers) scheduler.stop()
      stop.abort()
      await queue.close()
    },
    async stop(): Promise<void> {
      clock.advance(0)
      await worker?.drain(0)
      timekeeper.stop()
      workerWatch.stop()
      for (const scheduler of schedulers) scheduler.stop()
      stop.abort()
      await Promise.all(running.map(({ stopped }) => stopped))
      await queue.close()
    },
  }
}

/** What happened to the stages, without the rest: `build 1 StageScheduled`. */
export const told = (events: readonly RecordedEvent[]): string[] =>
  events.map(({ type, data }) => {
    const { stage, attempt } = data as { stage?: string; attempt?: number }
    return [stage, attempt, type].filter((part) => part !== undefined).join(' ')
  })

const WITHIN = { timeout: 5_000 }

/** Resolves once the newest event of the run is of this type. */
export const ends = (engine: Engine, id: string, type: string) =>
  vi.waitFor(async () => expect(told(await engine.history(id)).at(-1)).toBe(type), WITHIN)

/** Resolves once `line` has been told of the run. */
export const reaches = (engine: Engine, id: string, line: string) =>
  vi.waitFor(async () => expect(told(await engine.history(id))).toContain(line), WITHIN)

/** A handler that runs until it is stopped, and the signals that it was given. */
export function heldHandler() {
  const signals: AbortSignal[] = []
  const handler = handlerOf('shell', ({ signal }) => {
    signals.push(signal)
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')))
    })
  })
  return { handler, signals }
}
