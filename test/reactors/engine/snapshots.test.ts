import { beforeEach, describe, expect, it, vi } from 'vitest'
import { type EventStore, StoreUnavailable } from '../../../src/ports/event-store.ts'
import { ends, handlerOf, startEngine } from '../../support/engine.ts'
import { stage, workflow } from '../../support/executions.ts'
import { appending, eventsOf, freshStore } from '../../support/stores.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

const nap = workflow([stage('nap', { uses: 'wait', with: { duration: '1m' } })])
const work = handlerOf('shell', async () => null)
const isSnapshot = (stream: string): boolean => stream.startsWith('snapshot-')

describe('while a snapshot is written', () => {
  it('reactors follow the log, and timers go off', async () => {
    const { promise: written, resolve: write } = Promise.withResolvers<void>()
    const slow = appending(store, async (stream, ...rest) => {
      if (isSnapshot(stream)) await written
      return store.append(stream, ...rest)
    })
    const engine = await startEngine(slow, { handlers: [work], snapshotEvery: 1 })
    await ends(engine, await engine.begin(workflow([stage('a')])), 'ExecutionCompleted')
    const napping = await engine.begin(nap)
    await vi.waitFor(async () => {
      engine.clock.advance(60_000)
      expect((await engine.history(napping)).at(-1)!.type).toBe('ExecutionCompleted')
    })
    write()
    await engine.stop()
    const again = await startEngine(store, { handlers: [work] })
    await ends(again, await again.begin(workflow([stage('a')])), 'ExecutionCompleted')
    await again.stop()
  })

  it('what fails is the snapshot alone, and the next one is tried', async () => {
    let refused = 0
    const failing = appending(store, async (stream, ...rest) => {
      if (!isSnapshot(stream) || refused >= 5) return store.append(stream, ...rest)
      refused++
      throw new StoreUnavailable('there is no room', true)
    })
    const engine = await startEngine(failing, { handlers: [work], snapshotEvery: 1 })
    await vi.waitFor(async () => {
      await ends(engine, await engine.begin(workflow([stage('a')])), 'ExecutionCompleted')
      expect(refused).toBe(5)
    })
    await vi.waitFor(async () => {
      await ends(engine, await engine.begin(workflow([stage('a')])), 'ExecutionCompleted')
      expect(await eventsOf(store, 'snapshot-timekeeper')).not.toEqual([])
    })
    await engine.stop()
  })
})
