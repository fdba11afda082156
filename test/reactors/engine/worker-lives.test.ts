import { beforeEach, describe, expect, it, vi } from 'vitest'
import { workerStream } from '../../../src/domain/worker/events.ts'
import { type EventStore, StoreUnavailable } from '../../../src/ports/event-store.ts'
import { workerLeaseKey } from '../../../src/ports/leases.ts'
import { ends, handlerOf, heldHandler, reaches, startEngine, testedAbout, told } from '../../support/engine.ts'
import { stage, workflow } from '../../support/executions.ts'
import { appending, eventsOf, freshStore } from '../../support/stores.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

const life = async (id: string) => (await eventsOf(store, workerStream(id))).map(({ type }) => type)
const comesTo = (id: string, type: string) =>
  vi.waitFor(async () => expect((await life(id)).at(-1)).toBe(type), { timeout: 5_000 })

describe('a worker', () => {
  it('says what it is when it starts, and that it goes when it is stopped', async () => {
    const own = { ...handlerOf('own', async () => null), version: '2.1.0' }
    const engine = await startEngine(store, {
      handlers: [handlerOf('shell', async () => null), own],
      labels: ['linux', 'gpu'],
    })
    const [registered] = await eventsOf(store, workerStream(engine.workerId))
    expect(registered).toMatchObject({
      type: 'WorkerRegistered',
      data: {
        ...{ ...testedAbout, queues: [{ name: 'default' }], labels: ['gpu', 'linux'], concurrency: 100 },
        handlers: [{ name: 'shell' }, { name: 'own', version: '2.1.0' }],
      },
      metadata: { namespace: 'system', correlationId: engine.workerId, actor: `worker:${engine.workerId}` },
    })
    await engine.stop()
    expect(await life(engine.workerId)).toEqual(['WorkerRegistered', 'WorkerDraining', 'WorkerStopped'])
    expect((await eventsOf(store, workerStream(engine.workerId))).at(-1)?.data).toEqual({ interrupted: 0 })
  })

  it('is not taken for lost while it renews its lease', async () => {
    const engine = await startEngine(store, { handlers: [handlerOf('shell', async () => null)] })
    for (let s = 0; s < 120; s++) {
      engine.clock.advance(1_000)
      await new Promise(setImmediate)
    }
    expect(await life(engine.workerId)).toEqual(['WorkerRegistered'])
    await engine.stop()
  })

  it('is lost with the process that is killed, and so are its attempts, whose class is infrastructure', async () => {
    const { handler, signals } = heldHandler()
    const before = await startEngine(store, { handlers: [handler] })
    const id = await before.begin(workflow([stage('a')]))
    await reaches(before, id, 'a 1 StageStarted')
    expect(signals).toHaveLength(1)
    await before.kill()

    const after = await startEngine(store, { handlers: [handlerOf('shell', async () => 'good')] })
    await ends(after, id, 'ExecutionCompleted')
    await comesTo(before.workerId, 'WorkerLost')
    const events = await after.history(id)
    expect(told(events)).toContain('a 2 StageCompleted')
    expect(events.find(({ type }) => type === 'StageFailed')?.data).toMatchObject({
      ...{ attempt: 1, class: 'infrastructure', rule: 'worker-lost', recovery: 'retry' },
      error: { code: 'WORKER_LOST', message: `${before.workerId} holds the attempt's lease no more` },
    })
    const [registered, lost] = await eventsOf(store, workerStream(before.workerId))
    expect(lost?.metadata).toMatchObject({ actor: 'system:worker-watch', causationId: registered!.id })
    expect(await life(after.workerId)).toEqual(['WorkerRegistered'])
    await after.stop()
  })

  it('is found lost also by an engine that starts from a snapshot', async () => {
    const before = await startEngine(store, { handlers: [handlerOf('shell', async () => null)], snapshotEvery: 1 })
    await ends(before, await before.begin(workflow([stage('a')])), 'ExecutionCompleted')
    await vi.waitFor(async () => expect(await eventsOf(store, 'snapshot-worker-watch')).not.toEqual([]))
    await before.kill()
    const after = await startEngine(store)
    await comesTo(before.workerId, 'WorkerLost')
    await after.stop()
  })

  it('that was taken for lost and is not is told so by its lease, and registers again', async () => {
    const engine = await startEngine(store, { handlers: [handlerOf('shell', async () => null)] })
    await engine.leases.release(workerLeaseKey(engine.workerId), engine.workerId)
    // The watch comes first, before the next heartbeat.
    await engine.lose(engine.workerId)
    expect(await life(engine.workerId)).toEqual(['WorkerRegistered', 'WorkerLost'])
    engine.clock.advance(500)
    await comesTo(engine.workerId, 'WorkerRegistered')
    expect(await engine.leases.unheld([workerLeaseKey(engine.workerId)])).toEqual([])

    // And where it has claimed its lease between the look at it and the verdict.
    await engine.lose(engine.workerId)
    await engine.leases.revoke(workerLeaseKey(engine.workerId))
    engine.clock.advance(500)
    await comesTo(engine.workerId, 'WorkerRegistered')
    expect(await life(engine.workerId)).toHaveLength(5)
    const renewed = await engine.leases.renew(engine.workerId, [workerLeaseKey(engine.workerId)], 30_000)
    expect(renewed, 'it is told once').toEqual({ revoked: [], lost: [], confirmed: [] })
    await ends(engine, await engine.begin(workflow([stage('a')])), 'ExecutionCompleted')
    await engine.stop()
  })

  it('counts what the grace was too short for', async () => {
    const { handler } = heldHandler()
    const engine = await startEngine(store, { handlers: [handler] })
    const id = await engine.begin(workflow([stage('a')]))
    await reaches(engine, id, 'a 1 StageStarted')
    const stopping = engine.drain(10_000)
    await comesTo(engine.workerId, 'WorkerDraining')
    engine.clock.advance(10_000)
    await stopping
    expect((await eventsOf(store, workerStream(engine.workerId))).at(-1)).toMatchObject({
      type: 'WorkerStopped',
      data: { interrupted: 1 },
    })
    const failure = (await engine.history(id)).find(({ type }) => type === 'StageFailed')
    expect(failure?.data).toMatchObject({ error: { code: 'SHUTDOWN' }, class: 'infrastructure' })
    await engine.stop()
  })

  it('works before the log takes its registration, and tries again', async () => {
    let isFull = true
    const filling = appending(store, async (stream, expected, events) => {
      if (isFull && stream.startsWith('worker-')) throw new StoreUnavailable('no room', true)
      return store.append(stream, expected, events)
    })
    const handlers = [handlerOf('shell', async () => null)]
    const engine = await startEngine(filling, { handlers, registered: false })
    await ends(engine, await engine.begin(workflow([stage('a')])), 'ExecutionCompleted')
    expect(await life(engine.workerId)).toEqual([])
    isFull = false
    await vi.waitFor(async () => {
      engine.clock.advance(2_000)
      expect(await life(engine.workerId)).toEqual(['WorkerRegistered'])
    })
    await engine.stop()
  })
})
