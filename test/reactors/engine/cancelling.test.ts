import { beforeEach, describe, expect, it, vi } from 'vitest'
import { createMemoryQueue } from '../../../src/adapters/work-queue/memory.ts'
import type { EventStore } from '../../../src/ports/event-store.ts'
import { type Leases, LeasesUnavailable, leaseKey } from '../../../src/ports/leases.ts'
import { createDispatcher } from '../../../src/reactors/dispatcher.ts'
import { ends, heldHandler, reaches, silent, startEngine, told } from '../../support/engine.ts'
import { cancel, stage, workflow } from '../../support/executions.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { freshStore } from '../../support/stores.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

describe('cancelling', () => {
  it('reaches a handler through its heartbeat, and the run ends when the handler has', async () => {
    const { handler, signals } = heldHandler()
    const engine = await startEngine(store, { handlers: [handler] })
    const id = await engine.begin(workflow([stage('a'), stage('b', { needs: ['a'] })]))
    await reaches(engine, id, 'a 1 StageStarted')
    await engine.command(id, cancel)
    expect(told(await engine.history(id)).at(-1)).toBe('b 0 StageCancelled')
    await vi.waitFor(() => {
      engine.clock.advance(500)
      expect(signals[0]!.aborted).toBe(true)
    })
    await ends(engine, id, 'ExecutionCancelled')
    await engine.stop()
  })

  it('waits for leases that are out of reach, and other work does not', async () => {
    const { handler, signals } = heldHandler()
    const engine = await startEngine(store, { handlers: [handler], snapshotEvery: 1 })
    const id = await engine.begin(workflow([stage('a')]))
    await reaches(engine, id, 'a 1 StageStarted')
    const revoke = vi.spyOn(engine.leases, 'revoke').mockRejectedValue(new LeasesUnavailable('away'))
    await engine.command(id, cancel)
    await vi.waitFor(() => expect(revoke).toHaveBeenCalled())
    const other = await engine.begin(workflow([stage('b')]))
    await reaches(engine, other, 'b 1 StageStarted')
    expect(signals[0]!.aborted).toBe(false)
    revoke.mockRestore()
    await vi.waitFor(() => {
      engine.clock.advance(500)
      expect(signals[0]!.aborted).toBe(true)
    })
    await ends(engine, id, 'ExecutionCancelled')
    await engine.kill()
  })

  it('has not forgotten after a restart which leases it could not reach', async () => {
    const asked: string[] = []
    const away = { revoke: () => Promise.reject(new LeasesUnavailable('away')) }
    const there = { revoke: async (key: string) => void asked.push(key) }
    const clock = new ManualClock()
    const dispatcher = (leases: object) =>
      createDispatcher({ store, queue: createMemoryQueue(clock), leases: leases as Leases, clock, logger: silent })
    const engine = await startEngine(store)
    const id = await engine.begin(workflow([stage('a')]))
    await engine.command(id, cancel)
    const before = dispatcher(away)
    for (const event of await engine.history(id)) before.apply(event)
    await before.act(true)
    const after = dispatcher(there)
    after.restore(before.dump())
    await after.act(true)
    expect(new Set(asked)).toEqual(new Set([leaseKey(id, 'a', 1)]))
    expect(JSON.stringify(after.dump())).not.toContain(leaseKey(id, 'a', 1))
    before.stop()
    await engine.stop()
  })
})
