import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { EventStore } from '../../../src/ports/event-store.ts'
import { ends, heldHandler, reaches, startEngine, told } from '../../support/engine.ts'
import { cancel, stage, workflow } from '../../support/executions.ts'
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
})
