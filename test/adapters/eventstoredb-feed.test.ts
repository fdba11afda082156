// Followers at the head share one subscription: each is told what it asked for, in order and once, as if it had its own.
import { v7 as uuidv7 } from 'uuid'
import { expect, it, onTestFinished, vi } from 'vitest'
import type { EventStoreDb } from '../../src/adapters/event-store/eventstoredb.ts'
import { START } from '../../src/ports/event-store.ts'
import { anEvent } from '../contracts/event-store.ts'
import type { Fault } from '../support/eventstoredb/faults.ts'
import { aServer, aStore, following } from '../support/eventstoredb/stores.ts'

const PATIENCE = { timeout: 15_000, interval: 20 }
const some = (count: number, data: object = {}) =>
  Array.from({ length: count }, (_, n) => anEvent('Happened', { n, ...data }))
const aStream = (category: string) => `${category}-${uuidv7()}`
const idsOf = (events: readonly { readonly id: string }[]) => events.map(({ id }) => id)
const CATEGORIES = ['execution', 'worker', 'pool']

/** A follower of each category, and one of two, at the head and sharing. */
async function sharing() {
  const server = await aServer({ durable: true })
  const warnings: string[] = []
  const warn = (message: string) => warnings.push(message)
  const store = aStore(server, { callMs: 2_000, patienceMs: 20_000, warn })
  const written = new Map(CATEGORIES.map((category) => [category, [] as string[]]))
  const order: string[] = []
  const write = async (category: string, count: number, data?: object) => {
    const events = some(count, data)
    await store.append(aStream(category), 'noStream', events)
    written.get(category)!.push(...idsOf(events))
    order.push(...idsOf(events))
  }
  for (const category of CATEGORIES) await write(category, 3)
  const followers = [['execution-'], ['worker-'], ['pool-'], ['worker-', 'pool-']].map((prefixes) => ({
    prefixes,
    seen: following(store, { prefixes }),
  }))
  await vi.waitFor(() => expect(server.faults.open).toBe(1), PATIENCE)
  const expectAll = () =>
    vi.waitFor(() => {
      for (const { prefixes, seen } of followers) {
        const wanted = new Set(prefixes.flatMap((prefix) => written.get(prefix.slice(0, -1))!))
        expect(idsOf(seen.events)).toEqual(order.filter((id) => wanted.has(id)))
      }
    }, PATIENCE)
  return { server, store, write, followers, expectAll, warnings }
}

it('many followers are one subscription, and each is told its own', async () => {
  const { server, write, followers, expectAll } = await sharing()
  for (let n = 0; n < 30; n++) await write(CATEGORIES[n % 3]!, 1 + (n % 4))
  await expectAll()
  const head = followers[0]!.seen.batches.at(-1)!
  expect(head.caughtUp).toBe(true)
  expect(server.faults.open).toBe(1)
})

it('what comes together is not given one by one', async () => {
  const { write, followers, expectAll } = await sharing()
  const [{ seen }] = followers as [(typeof followers)[number]]
  const before = seen.batches.length
  await write('execution', 64)
  await expectAll()
  expect(seen.batches.length - before).toBeLessThan(32)
})

it('snapshots are sent to nobody who shares', async () => {
  const { server, store, write, expectAll } = await sharing()
  const before = server.faults.told.at(-1)!
  await store.append('snapshot-dispatcher', 'noStream', some(5))
  await write('execution', 2)
  await expectAll()
  expect(server.faults.told.at(-1)).toBe(before + 2)
  const all = following(store)
  await vi.waitFor(() => expect(all.events.filter(({ stream }) => stream === 'snapshot-dispatcher')).toHaveLength(5))
})

it('goes on where it was when the server is started again, and says so once', async () => {
  const { server, write, followers, expectAll, warnings } = await sharing()
  for (let restarts = 1; restarts <= 2; restarts++) {
    await write('execution', 4)
    await server.restart()
    await write('worker', 4)
    await write('pool', 1)
    await expectAll()
    expect(warnings).toHaveLength(restarts)
  }
  for (const { seen } of followers) {
    const positions = seen.batches.map(({ position }) => position)
    expect(positions).toEqual(positions.toSorted((a, b) => a - b))
  }
})

it('who comes later or was stopped elsewhere takes part from there, and the last who leaves ends it', async () => {
  const { server, store, write, followers, expectAll } = await sharing()
  await write('execution', 10)
  await expectAll()
  const { position } = followers[0]!.seen.batches.at(-1)!
  const subscriptions = server.faults.calls.subscribe
  const later = following(store, { after: position, prefixes: ['execution-'] })
  await write('execution', 3)
  await vi.waitFor(() => expect(later.events).toHaveLength(3), PATIENCE)
  // It came up by itself, and then took part: a feed that has lost its server would not know what there is.
  expect(server.faults.calls.subscribe).toBe(subscriptions + 1)
  await vi.waitFor(() => expect(server.faults.open).toBe(1), PATIENCE)
  const all = following(store, { after: START, prefixes: ['execution-'] })
  await vi.waitFor(() => expect(all.events).toHaveLength(16), PATIENCE)
  for (const one of [later, all, ...followers.map(({ seen }) => seen)]) one.stop()
  await Promise.all([later.ended, all.ended, ...followers.map(({ seen }) => seen.ended)])
  await vi.waitFor(() => expect(server.faults.open).toBe(0), PATIENCE)
  const again = following(store, { after: position, prefixes: ['execution-'] })
  await vi.waitFor(() => expect(again.events).toHaveLength(3), PATIENCE)
})

it('who falls behind what is kept reads on by itself, holds up nobody, and misses nothing', async () => {
  const { server, store, write, expectAll } = await sharing()
  const stop = new AbortController()
  onTestFinished(() => stop.abort())
  const slow = store.subscribe({ after: START, prefixes: ['execution-'], signal: stop.signal })[Symbol.asyncIterator]()
  const seen: string[] = []
  const take = async () => seen.push(...idsOf((await slow.next()).value!.events))
  while (seen.length < 3) await take()
  await write('execution', 1)
  while (seen.length < 4) await take()
  for (let n = 0; n < 60; n++) await write('execution', 100)
  await expectAll()
  const subscriptions = server.faults.calls.subscribe
  while (seen.length < 6_004) await take()
  expect(server.faults.calls.subscribe).toBe(subscriptions + 1)
  expect(new Set(seen).size).toBe(6_004)
  await write('execution', 2)
  while (seen.length < 6_006) await take()
  await vi.waitFor(() => expect(server.faults.open).toBe(1), PATIENCE)
})

it('what no waiting changes each of them is told', async () => {
  const { server, followers } = await sharing()
  server.faults.plan('subscribe', ...Array<Fault>(20).fill('deny'))
  await server.restart()
  for (const { seen } of followers) await expect(seen.ended).rejects.toThrow('Access Denied')
})

/** Has been given a batch of the feed, and does not come back for another. */
async function standing(store: EventStoreDb, write: () => Promise<void>, signal: AbortSignal): Promise<void> {
  const batches = store.subscribe({ after: START, prefixes: ['execution-'], signal })[Symbol.asyncIterator]()
  let seen = 0
  for (let isAtHead = false; seen < 3 || !isAtHead; ) {
    const { events, caughtUp } = (await batches.next()).value!
    seen += events.length
    isAtHead = caughtUp
  }
  await write()
  while ((await batches.next()).value!.events.length === 0);
}

it('who stands at a batch when it is told to stop is not waited for', async () => {
  const { server, store, write, followers } = await sharing()
  const stop = new AbortController()
  await standing(store, () => write('execution', 1), stop.signal)
  for (const { seen } of followers) seen.stop()
  await Promise.all(followers.map(({ seen }) => seen.ended))
  await vi.waitFor(() => expect(server.faults.open).toBe(1), PATIENCE)
  stop.abort()
  await vi.waitFor(() => expect(server.faults.open).toBe(0), PATIENCE)
})

it('nothing outlives its store', async () => {
  const server = await aServer()
  const warnings: string[] = []
  const store = aStore(server, { warn: (message) => warnings.push(message) })
  await store.append(aStream('execution'), 'noStream', some(3))
  const write = () => store.append(aStream('execution'), 'noStream', some(1)).then(() => {})
  await standing(store, write, new AbortController().signal)
  await store.close()
  await vi.waitFor(() => expect(server.faults.open).toBe(0), PATIENCE)
  // What went on would find its connection gone, and say so long before somebody else has seen the next event.
  const other = aStore(server)
  const seen = following(other, { prefixes: ['execution-'] })
  await other.append(aStream('execution'), 'noStream', some(1))
  await vi.waitFor(() => expect(seen.events).toHaveLength(5), PATIENCE)
  expect(warnings).toEqual([])
})
