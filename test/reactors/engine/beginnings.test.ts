import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { EventStore } from '../../../src/ports/event-store.ts'
import { ends, handlerOf, reaches, startEngine, told } from '../../support/engine.ts'
import { cancel, stage, workflow } from '../../support/executions.ts'
import { freshStore, methodsOf } from '../../support/stores.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

describe('a handler that waits for its start to be written down', () => {
  it('acts only once, also when a crash comes in between', async () => {
    let effects = 0
    const acting = handlerOf('shell', async ({ begun }) => {
      await begun()
      effects++
      return null
    })
    // A disk that never finishes: the start is not written down before the crash.
    const stalled: EventStore = {
      ...methodsOf(store),
      append: (stream, expected, events) =>
        events[0]?.type === 'StageStarted' ? new Promise(() => {}) : store.append(stream, expected, events),
    }
    const before = await startEngine(stalled, { handlers: [acting] })
    const id = await before.begin(workflow([stage('a')]))
    await vi.waitFor(async () => expect(await before.leases.unheld([`${id}:a:1`])).toEqual([]))
    await before.kill()
    const after = await startEngine(store, { handlers: [acting] })
    await ends(after, id, 'ExecutionCompleted')
    expect(effects).toBe(1)
    await after.stop()
  })

  it('does not act any more once it was asked to stop', async () => {
    let effects = 0
    const acting = handlerOf('shell', async ({ begun, signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      await begun()
      effects++
      return null
    })
    const refusing = await startEngine(store, { handlers: [acting] })
    const id = await refusing.begin(workflow([stage('a')]))
    await reaches(refusing, id, 'a 1 StageStarted')
    await refusing.command(id, cancel)
    await vi.waitFor(async () => {
      refusing.clock.advance(500)
      expect(told(await refusing.history(id)).at(-1)).toBe('ExecutionCancelled')
    })
    expect(effects).toBe(0)
    await refusing.stop()
  })
})
