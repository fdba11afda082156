// What is under way, held against the log: the reactors are made to overlook something, as a bug in them would.
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import { createMemoryQueue } from '../../src/adapters/work-queue/memory.ts'
import { createIssue, createStageReports } from '../../src/commands/advance-execution.ts'
import { createAllocation } from '../../src/commands/allocation.ts'
import { createHandle } from '../../src/commands/handle.ts'
import { newId } from '../../src/commands/new-id.ts'
import { createSubWorkflows } from '../../src/commands/sub-workflows.ts'
import { createWorkerRegistry } from '../../src/commands/worker-life.ts'
import type { ExecutionCommand } from '../../src/domain/execution/commands.ts'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import { type ExecutionEvent, executionStream } from '../../src/domain/execution/events.ts'
import { workFor } from '../../src/domain/execution/work.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { NOTHING } from '../../src/domain/pool/amounts.ts'
import type { PoolCommand } from '../../src/domain/pool/commands.ts'
import { poolDecider } from '../../src/domain/pool/decide.ts'
import type { CompiledWorkflow } from '../../src/domain/workflow/definition.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import { leaseKey } from '../../src/ports/leases.ts'
import { createAllocator } from '../../src/reactors/allocator.ts'
import { createDispatcher } from '../../src/reactors/dispatcher.ts'
import { runReactor } from '../../src/reactors/reactor.ts'
import { createSubWorkflowReactor } from '../../src/reactors/sub-workflows.ts'
import { createTimekeeper } from '../../src/reactors/timekeeper.ts'
import { createCheckLog } from '../../src/verification/check-log.ts'
import { checkOpenWork } from '../../src/verification/check-open-work.ts'
import { startWorker } from '../../src/workers/worker.ts'
import { handlerOf, silent, testedAbout, told } from '../support/engine.ts'
import { stage, start, workflow } from '../support/executions.ts'
import { LeapingClock } from '../support/leaping-clock.ts'
import { eventsOf, freshStore, methodsOf } from '../support/stores.ts'

type Overlooks = (event: RecordedEvent) => boolean

/** The same log, from which whoever follows it does not hear of some events. */
const without = (store: EventStore, overlooked: Overlooks): EventStore => ({
  ...methodsOf(store),
  async *subscribe(options) {
    for await (const batch of store.subscribe(options))
      yield { ...batch, events: batch.events.filter((event) => !overlooked(event)) }
  },
})

async function engineThatOverlooks(atFirst: Overlooks) {
  let ignored = atFirst
  const overlooked: Overlooks = (event) => ignored(event)
  const store = await freshStore()
  const clock = new LeapingClock()
  const queue = createMemoryQueue(clock)
  const leases = createMemoryLeases(clock)
  const handle = createHandle(store)
  const stop = new AbortController()
  const dispatcher = createDispatcher({ store, queue, leases, clock, logger: silent })
  const timekeeper = createTimekeeper({ issue: createIssue(handle), leases, clock, logger: silent, leaseCheckMs: 200 })
  const subWorkflows = createSubWorkflowReactor(createSubWorkflows({ handle, store, clock }))
  const allocator = createAllocator(createAllocation({ handle, clock }), clock)
  const running = [dispatcher, timekeeper, subWorkflows, allocator].map((reactor) =>
    runReactor(reactor, { store: without(store, overlooked), clock, logger: silent, signal: stop.signal }),
  )
  await Promise.all(running.map(({ ready }) => ready))
  onTestFinished(async () => {
    timekeeper.stop()
    stop.abort()
    await Promise.all(running.map(({ stopped }) => stopped))
  })
  const acted = () => Math.min(...running.map((one) => one.acted()))
  const engine = { dispatcher, timekeeper, subWorkflows, allocator, acted }
  const find = async () => {
    const { signal } = stop
    const { open } = await createCheckLog(store, undefined)({ readModels: false, signal, tell: () => {} })
    return checkOpenWork(open, { engine, store, queue, leases, clock }, signal)
  }
  const context = (id: string) => ({
    ...{ namespace: 'default', correlationId: id, actor: 'user:ada', at: new Date(clock.now()).toISOString() },
  })
  const command = (id: string, one: ExecutionCommand) => handle(executionDecider, executionStream(id), one, context(id))
  return {
    clock,
    queue,
    store,
    leases,
    handle,
    find,
    /** From now on these are overlooked. */
    ignore(overlooks: Overlooks) {
      ignored = overlooks
    },
    /** Whether the run, or an attempt of it, holds a part of the pool. */
    async holds(id: string) {
      const { state } = await handle.load(poolDecider, 'pool-default.production')
      return state.status === 'defined' && state.held.list().some(({ holder }) => holder.executionId === id)
    },
    /** What is found, and gone once it is mended. */
    async mend() {
      const found = await find()
      for (const { repair } of found) await repair()
      expect(await find()).toEqual([])
      return found.map(({ drift: { where, key, what } }) => `${where}: ${key} ${what}`)
    },
    async begin(definition: CompiledWorkflow): Promise<string> {
      const id = newId()
      const { at } = context(id)
      await command(id, start(definition, { executionId: id, at }))
      return id
    },
    work({ run, finish }: { run(): Promise<string>; finish?(): void } = { run: async () => 'done' }) {
      const handlers = new Map([['shell', handlerOf('shell', run)]])
      const limits = { queues: ['default'], concurrency: 10, leaseMs: 30_000, heartbeatMs: 100 }
      const logs = {
        open: () => ({ write: () => {}, close: async () => {} }),
        read: async () => [],
        remove: async () => {},
      }
      const given = {
        id: newId(),
        queue,
        leases,
        reports: createStageReports(handle),
        logs,
        clock,
        handlers,
        logger: silent,
        registry: createWorkerRegistry(handle),
        labels: [],
        about: testedAbout,
      }
      const worker = startWorker({ ...given, ...limits })
      onTestFinished(() => {
        finish?.()
        return worker.drain(0)
      })
    },
    until: (id: string, line: string) =>
      vi.waitFor(async () => expect(told(await eventsOf(store, executionStream(id)))).toContain(line), 5_000),
  }
}

const nothing: Overlooks = () => false
const deaf: Overlooks = ({ type }) => type === 'StageScheduled'
const one = workflow([stage('build')])
const wait = workflow([stage('pause', { uses: 'wait', with: { duration: '10m' } })])

/** Attempts that end when the test says so. */
function held() {
  const { promise, resolve: finish } = Promise.withResolvers<string>()
  return { run: () => promise, finish: () => finish('done') }
}

test('what waits, runs, or waits for a time is where it has to be', async () => {
  const { begin, find, work, until } = await engineThatOverlooks(nothing)
  await begin(wait)
  await begin(workflow([stage('far', { queue: 'nobody' })]))
  const running = await begin(one)
  work(held())
  await until(running, 'build 1 StageStarted')
  expect(await find()).toEqual([])
})

test('work that was never published is found, and published', async () => {
  const { begin, mend, work, until } = await engineThatOverlooks(deaf)
  const id = await begin(one)
  work()
  expect(await mend()).toEqual([
    `queue: ${id}/build attempt 1 is scheduled, but neither waits nor runs, and nobody will find out`,
  ])
  await until(id, 'ExecutionCompleted')
})

test('an attempt that runs without the dispatcher knowing, so that it could not be stopped, is taken up', async () => {
  const { begin, store, queue, mend, work, until } = await engineThatOverlooks(deaf)
  const id = await begin(one)
  const [, scheduled] = (await eventsOf(store, executionStream(id))) as RecordedEvent<ExecutionEvent>[]
  await queue.publish(workFor(scheduled!))
  const build = held()
  work(build)
  await until(id, 'build 1 StageStarted')
  expect(await mend()).toEqual([`dispatcher: ${id}/build attempt 1 is under way, but the dispatcher knows none`])
  build.finish()
  await until(id, 'ExecutionCompleted')
})

test('a timer that was never set is found, be it due or not, and fires once it is set', async () => {
  const { begin, clock, mend, until } = await engineThatOverlooks(deaf)
  const id = await begin(wait)
  expect(await mend()).toEqual([expect.stringMatching(`timers: ${id}:pause is to wake at .*, but is not set`)])
  const late = await begin(wait)
  clock.leap(15 * 60_000)
  await until(id, 'ExecutionCompleted')
  expect(await mend()).toEqual([expect.stringMatching(`timers: ${late}:pause is to wake at .*, but is not set`)])
  await until(late, 'ExecutionCompleted')
})

test('a timer that has done what it was to do is not missed, though the log still has it', async () => {
  const { begin, clock, find, work, until } = await engineThatOverlooks(nothing)
  const id = await begin(workflow([stage('build', { timeoutMs: 7_200_000 })], { timeoutMs: 60_000 }))
  work(held())
  await until(id, 'build 1 StageStarted')
  clock.leap(60_001)
  await until(id, 'ExecutionCancellationRequested')
  expect(await find()).toEqual([])
})

test('a lease of an attempt that has ended is found, unless its holder was asked to stop, and released', async () => {
  const { begin, leases, mend, work, until } = await engineThatOverlooks(nothing)
  const id = await begin(one)
  work()
  await until(id, 'ExecutionCompleted')
  const [stale, stopping, strange] = [leaseKey(id, 'build', 1), leaseKey(id, 'build', 7), leaseKey(newId(), 'a', 1)]
  for (const key of [stale, stopping, strange]) await leases.claim(key, 'ghost', 60_000)
  await leases.revoke(stopping)
  expect(await mend()).toEqual([
    `leases: ${stale} is held by ghost, but the attempt has ended`,
    `leases: ${strange} is held by ghost, but the attempt has ended`,
  ])
  expect(await leases.unheld([stale, stopping, strange])).toEqual([stale, strange])
})

test('a sub-workflow that was overlooked is found, and its run is started', async () => {
  const { begin, mend, until } = await engineThatOverlooks(deaf)
  const id = await begin(workflow([stage('call', { uses: 'workflow', with: { workflow: 'nobody' } })]))
  expect(await mend()).toEqual([`sub-workflows: ${id}/call attempt 1 waits for a run, but their reactor knows none`])
  await until(id, 'call 1 StageFailed')
})

describe('pools', () => {
  const amounts = { ...NOTHING, slots: 1 }
  const deploy = workflow([stage('deploy', { resources: { pool: 'production', amounts } })])
  const grouped = workflow([stage('a')], { concurrency: { group: 'web', limit: 1, onConflict: 'queue' } })
  const tell = ({ handle, clock }: Awaited<ReturnType<typeof engineThatOverlooks>>, command: PoolCommand) =>
    handle(poolDecider, 'pool-default.production', command, {
      ...{ namespace: 'default', correlationId: newId(), actor: 'user:ada', at: new Date(clock.now()).toISOString() },
    })
  const define = { type: 'DefinePool', name: 'production', capacity: amounts } as const

  test('that are held by who goes on, and waited for by who is known to wait, are as they have to be', async () => {
    const engine = await engineThatOverlooks(nothing)
    await tell(engine, define)
    const [first, second] = [await engine.begin(deploy), await engine.begin(deploy)]
    const [run, queued] = [await engine.begin(grouped), await engine.begin(grouped)]
    await engine.until(first, 'deploy 1 StageScheduled')
    await engine.until(run, 'a 1 StageScheduled')
    for (const id of [second, queued]) expect(await engine.holds(id)).toBe(false)
    expect(await engine.find()).toEqual([])
  })

  test('whom the allocator overlooks is found, be it an attempt or a run, and goes on', async () => {
    const engine = await engineThatOverlooks(
      ({ type, data }) => type === 'StageDeferred' || (type === 'ExecutionStarted' && 'concurrency' in data),
    )
    await tell(engine, define)
    const [id, run] = [await engine.begin(deploy), await engine.begin(grouped)]
    expect(await engine.mend()).toEqual([
      `allocator: ${id}/deploy attempt 1 waits for a pool or a group, but the allocator does not know of it`,
      `allocator: ${run} waits for a pool or a group, but the allocator does not know of it`,
    ])
    await engine.until(id, 'deploy 1 StageScheduled')
    await engine.until(run, 'a 1 StageScheduled')
  })

  test('that are held by who has ended are found, and given back', async () => {
    const engine = await engineThatOverlooks(({ type }) => type === 'StageCompleted')
    await tell(engine, define)
    const id = await engine.begin(deploy)
    engine.work()
    await engine.until(id, 'ExecutionCompleted')
    // The end of the run is told as well, and so nothing has leaked; what nobody has asked for has.
    await vi.waitFor(async () => expect(await engine.holds(id)).toBe(false), 5_000)
    const ghost = { executionId: newId(), stage: 'gone', attempt: 1 }
    engine.ignore(({ type }) => type === 'CapacityGranted')
    await tell(engine, { type: 'GrantCapacity', holder: ghost, amounts })
    expect(await engine.mend()).toEqual([
      `pools: ${ghost.executionId}/gone attempt 1 holds grant 2 of pool-default.production, and has ended`,
    ])
    expect(await engine.holds(ghost.executionId)).toBe(false)
  })
})
