// When a reactor leaves a snapshot: every so many events, and at its end where it can leave one that is true.
import { beforeEach, expect, it, vi } from 'vitest'
import type { EventStore } from '../../src/ports/event-store.ts'
import { StoreUnavailable } from '../../src/ports/event-store.ts'
import { type Reactor, runReactor } from '../../src/reactors/reactor.ts'
import { anEvent } from '../contracts/event-store.ts'
import { silent } from '../support/engine.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { appending, eventsOf, freshStore, methodsOf } from '../support/stores.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
  await store.append('execution-a', 'any', [anEvent('ExecutionPaused', { reason: 'x', remainingMs: 1 })])
})

const counting = (act: () => Promise<void>): Reactor & { seen: number } => ({
  ...{ name: 'counting', version: 1, prefixes: ['execution-'], seen: 0, act },
  apply() {
    this.seen++
  },
  dump() {
    return this.seen
  },
  restore(state) {
    this.seen = state as number
  },
})

async function runAndStop(reactor: Reactor & { seen: number }, on: EventStore): Promise<void> {
  const stop = new AbortController()
  const running = runReactor(reactor, { store: on, clock: new ManualClock(), logger: silent, signal: stop.signal })
  await vi.waitFor(() => expect(reactor.seen).toBe(1))
  await new Promise((resolve) => setImmediate(resolve))
  stop.abort()
  await running.stopped
}

const snapshots = () => eventsOf(store, 'snapshot-counting')

it('leaves a snapshot of what it has acted on', async () => {
  await runAndStop(
    counting(async () => {}),
    store,
  )
  expect(await snapshots()).toHaveLength(1)
})

it('leaves none of what it could not act on: the next start has to learn it again', async () => {
  await runAndStop(
    counting(() => Promise.reject(new Error('the broker is away'))),
    store,
  )
  expect(await snapshots()).toEqual([])
})

it('has stopped also where no snapshot can be written', async () => {
  const full = appending(store, () => Promise.reject(new StoreUnavailable('the disk is full', true)))
  await runAndStop(
    counting(async () => {}),
    full,
  )
  expect(await snapshots()).toEqual([])
})

it.each([
  [undefined, 1],
  [1_000, 0],
])('leaves one every so many events, however far apart their positions lie: %s', async (spacing, expected) => {
  const spaced = { ...methodsOf(store), ...(spacing === undefined ? {} : { spacing }) }
  const stop = new AbortController()
  const reactor = counting(async () => {})
  const running = runReactor(reactor, {
    ...{ store: spaced, clock: new ManualClock(), logger: silent, snapshotEvery: 5, signal: stop.signal },
  })
  const paused = () => anEvent('ExecutionPaused', { reason: 'x', remainingMs: 1 })
  await store.append('execution-a', 'any', Array.from({ length: 12 }, paused))
  await vi.waitFor(() => expect(running.acted()).toBeGreaterThanOrEqual(12))
  // Whatever was to be written is before this in the log, which takes one after the other.
  await store.append('execution-b', 'any', [anEvent()])
  expect(await snapshots()).toHaveLength(expected)
  stop.abort()
  await running.stopped
})
