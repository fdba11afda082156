import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { EventStore } from '../../../src/ports/event-store.ts'
import { ends, handlerOf, heldHandler, reaches, startEngine, told } from '../../support/engine.ts'
import { stage, workflow } from '../../support/executions.ts'
import { freshStore, methodsOf } from '../../support/stores.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

describe('after a crash', () => {
  it.each([[undefined], [3]])(
    'what was scheduled, running, waiting or to be retried goes on (snapshot every %s events)',
    async (snapshotEvery) => {
      const every = snapshotEvery === undefined ? {} : { snapshotEvery }
      const { handler: held } = heldHandler()
      const flaky = handlerOf('flaky', async () => {
        throw new Error('no')
      })
      const before = await startEngine(store, { handlers: [held, flaky], ...every })
      const policy = {
        maxAttempts: 2,
        backoff: { type: 'fixed', initialMs: 60_000, maxMs: 60_000, jitter: 0 },
      } as const
      const running = await before.begin(workflow([stage('a')]))
      const waiting = await before.begin(workflow([stage('nap', { uses: 'wait', with: { duration: '10m' } })]))
      const retrying = await before.begin(workflow([stage('a', { uses: 'flaky', retry: policy })]))
      await reaches(before, running, 'a 1 StageStarted')
      await reaches(before, retrying, 'a 2 StageRetried')
      await before.kill()
      // Started by a command that was acknowledged, while nothing followed the log.
      const scheduled = await before.begin(workflow([stage('a')]))

      const good = [handlerOf('shell', async () => null), handlerOf('flaky', async () => null)]
      const after = await startEngine(store, { handlers: good, ...every })
      await ends(after, scheduled, 'ExecutionCompleted')
      await ends(after, running, 'ExecutionCompleted')
      expect(told(await after.history(running))).toContain('a 2 StageCompleted')
      expect(told(await after.history(retrying)).at(-1)).toBe('a 2 StageRetried')
      await vi.waitFor(async () => {
        after.clock.advance(30_000)
        expect(told(await after.history(retrying)).at(-1)).toBe('ExecutionCompleted')
      })
      await vi.waitFor(async () => {
        after.clock.advance(300_000)
        expect(told(await after.history(waiting)).at(-1)).toBe('ExecutionCompleted')
      })
      await after.stop()
    },
  )

  it('replays only what came after the snapshot', async () => {
    const engine = await startEngine(store, { handlers: [handlerOf('shell', async () => null)] })
    for (let n = 0; n < 5; n++) await ends(engine, await engine.begin(workflow([stage('a')])), 'ExecutionCompleted')
    await engine.stop()
    let replayed = 0
    const counting: EventStore = {
      ...methodsOf(store),
      async *subscribe(options) {
        for await (const batch of store.subscribe(options)) {
          replayed += batch.events.length
          yield batch
        }
      },
    }
    const again = await startEngine(counting)
    expect(replayed).toBe(0)
    const id = await again.begin(workflow([stage('a')]))
    // Two events, which each of the four reactors follows.
    await vi.waitFor(() => expect(replayed).toBe(8))
    expect(told(await again.history(id))).toHaveLength(2)
    await again.stop()
  })
})
