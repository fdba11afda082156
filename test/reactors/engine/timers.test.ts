import { setImmediate as turn } from 'node:timers/promises'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { EventStore } from '../../../src/ports/event-store.ts'
import { ends, handlerOf, heldHandler, reaches, startEngine, told } from '../../support/engine.ts'
import { stage, workflow } from '../../support/executions.ts'
import { freshStore } from '../../support/stores.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

describe('timers', () => {
  it('retry when the time has come and not before', async () => {
    let attempts = 0
    const handler = handlerOf('shell', async () => {
      attempts++
      if (attempts < 3) throw new Error('flaky')
      return null
    })
    const engine = await startEngine(store, { handlers: [handler] })
    const policy = { maxAttempts: 3, backoff: { type: 'fixed', initialMs: 5_000, maxMs: 5_000, jitter: 0 } } as const
    const id = await engine.begin(workflow([stage('a', { retry: policy })]))
    await reaches(engine, id, 'a 2 StageRetried')
    engine.clock.advance(4_999)
    expect(attempts).toBe(1)
    engine.clock.advance(1)
    await reaches(engine, id, 'a 3 StageRetried')
    engine.clock.advance(5_000)
    await ends(engine, id, 'ExecutionCompleted')
    expect(attempts).toBe(3)
    await engine.stop()
  })

  it('wake a stage that waits', async () => {
    const engine = await startEngine(store)
    const id = await engine.begin(workflow([stage('nap', { uses: 'wait', with: { duration: '30m' } })]))
    await vi.waitFor(() => expect(engine.clock.pending).toBeGreaterThan(0))
    engine.clock.advance(1_799_999)
    expect(told(await engine.history(id)).at(-1)).toBe('nap 1 StageScheduled')
    engine.clock.advance(1)
    await ends(engine, id, 'ExecutionCompleted')
    await engine.stop()
  })

  it('end an attempt that takes too long through its worker', async () => {
    const { handler, signals } = heldHandler()
    const engine = await startEngine(store, { handlers: [handler] })
    const id = await engine.begin(workflow([stage('a', { timeoutMs: 60_000 })]))
    await reaches(engine, id, 'a 1 StageStarted')
    engine.clock.advance(60_000)
    await ends(engine, id, 'ExecutionFailed')
    expect(signals[0]!.reason).toBe('timeout')
    expect((await engine.history(id)).find(({ type }) => type === 'StageFailed')!.data).toMatchObject({
      class: 'timeout',
      error: { code: 'TIMED_OUT' },
    })
    await engine.stop()
  })

  it('end a run that takes too long', async () => {
    const { handler, signals } = heldHandler()
    const engine = await startEngine(store, { handlers: [handler] })
    const long = stage('a', { timeoutMs: 7_200_000 })
    const id = await engine.begin(workflow([long, stage('b', { needs: ['a'] })], { timeoutMs: 90_000 }))
    await reaches(engine, id, 'a 1 StageStarted')
    // In steps, so that the worker's heartbeats come in between.
    for (let passed = 0; passed < 85_000; passed += 5_000) {
      engine.clock.advance(5_000)
      await turn()
    }
    expect(told(await engine.history(id)).at(-1)).toBe('a 1 StageStarted')
    await vi.waitFor(() => {
      engine.clock.advance(500)
      expect(signals[0]!.reason).toBe('cancelled')
    })
    await ends(engine, id, 'ExecutionFailed')
    await engine.stop()
  })
})
