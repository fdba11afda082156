// Reading and following an EventStoreDB that breaks on command: nothing is skipped or repeated, and nobody is stuck.
import { EventStoreDBClient, jsonEvent } from '@eventstore/db-client'
import { v7 as uuidv7 } from 'uuid'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { EventStoreDb } from '../../src/adapters/event-store/eventstoredb.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { type AppendResult, type Batch, START } from '../../src/ports/event-store.ts'
import { anEvent } from '../contracts/event-store.ts'
import type { Fault } from '../support/eventstoredb/faults.ts'
import type { EventStoreDbServer } from '../support/eventstoredb/server.ts'
import { aServer, aStore, following } from '../support/eventstoredb/stores.ts'
import { eventsOf } from '../support/stores.ts'

const some = (count: number, data: object = {}) =>
  Array.from({ length: count }, (_, n) => anEvent('Happened', { n, ...data }))
const aStream = (category = 'execution') => `${category}-${uuidv7()}`
/** The longest that a follower may need to notice that its subscription has died without a word. */
const PATIENCE = { timeout: 15_000, interval: 20 }

async function everything(store: EventStoreDb): Promise<RecordedEvent[]> {
  const found: RecordedEvent[] = []
  for await (const batch of store.readAll()) found.push(...batch)
  return found
}

const idsOf = (events: readonly { readonly id: string }[]) => events.map(({ id }) => id)

const reading: readonly Fault[] = ['lose', 'loseAnswer', 'ignore', 'busy']

describe('reading', () => {
  it.each(reading)('gives everything once when the server does this to it: %s', async (fault) => {
    const server = await aServer()
    const store = aStore(server, { callMs: 400 })
    const stream = aStream()
    const events = some(100)
    await store.append(stream, 'noStream', events)
    server.faults.plan('read', fault, fault)
    expect(idsOf(await eventsOf(store, stream))).toEqual(idsOf(events))
    server.faults.plan('read', fault, fault)
    expect(idsOf(await everything(store))).toEqual(idsOf(events))
    server.faults.plan('read', fault, fault)
    const backwards: RecordedEvent[] = []
    for await (const batch of store.readStream(stream, { direction: 'backwards', limit: 50 })) backwards.push(...batch)
    expect(idsOf(backwards)).toEqual(idsOf(events.toReversed().slice(0, 50)))
  })

  it('fails with what the server says where it goes on, having written nothing', async () => {
    const server = await aServer()
    const store = aStore(server, { patienceMs: 200 })
    await store.append('execution-a', 'noStream', some(1))
    server.faults.plan('read', ...Array<Fault>(50).fill('busy'))
    const refusal = await eventsOf(store, 'execution-a').catch((error) => error)
    expect(refusal).toMatchObject({ name: 'StoreUnavailable', nothingWritten: true })
    expect(refusal.message).toContain('Server Is Too Busy')
  })
})

describe('following', () => {
  it.each([...reading, 'hang'] as const)(
    'misses and repeats nothing when the server does this to it: %s',
    async (fault) => {
      const server = await aServer()
      const store = aStore(server, { callMs: 1_000 })
      const before = some(40)
      await store.append(aStream(), 'noStream', before)
      server.faults.plan('subscribe', fault, fault)
      const seen = following(store)
      await vi.waitFor(() => expect(seen.events).toHaveLength(40), PATIENCE)
      const after = some(40)
      await store.append(aStream(), 'noStream', after)
      await vi.waitFor(() => expect(seen.events.length).toBeGreaterThanOrEqual(80), PATIENCE)
      expect(idsOf(seen.events)).toEqual(idsOf([...before, ...after]))
      expect(server.faults.calls.subscribe).toBe(3)
    },
  )

  it('is told what no waiting changes', async () => {
    const server = await aServer()
    server.faults.plan('subscribe', 'deny')
    await expect(following(aStore(server)).ended).rejects.toThrow('Access Denied')
  })

  it('goes on where it was when the server is started again under load, and loses no append', async () => {
    const server = await aServer({ durable: true })
    const store = aStore(server, { callMs: 2_000, patienceMs: 20_000 })
    const followers = [
      following(store),
      following(store, { prefixes: ['execution-'] }),
      following(store, { batchSize: 7 }),
    ]
    const acknowledged: { ids: readonly string[]; answer: AppendResult }[] = []
    const writers = Array.from({ length: 5 }, async () => {
      const stream = aStream()
      for (let n = 0; n < 40; n++) {
        const events = some(3)
        acknowledged.push({
          ids: idsOf(events),
          answer: await store.append(stream, n === 0 ? 'noStream' : 3 * n - 1, events),
        })
      }
    })
    for (const half of [30, 90, 150]) {
      await vi.waitFor(() => expect(acknowledged.length).toBeGreaterThan(half), PATIENCE)
      await server.restart()
    }
    await Promise.all(writers)
    const log = await everything(store)
    expect(log).toHaveLength(600)
    expect(idsOf(log).toSorted()).toEqual(acknowledged.flatMap(({ ids }) => ids).toSorted())
    const at = new Map(log.map((event) => [event.position, event]))
    for (const { ids, answer } of acknowledged)
      expect(at.get(answer.position)).toMatchObject({ id: ids.at(-1), revision: answer.revision })
    for (const { events } of followers) {
      await vi.waitFor(() => expect(events.length).toBeGreaterThanOrEqual(600), PATIENCE)
      expect(idsOf(events)).toEqual(idsOf(log))
    }
  })

  it('begins when the server comes, says so once, and ends while it is away', async () => {
    const server = await aServer()
    const port = server.port
    await server.stop()
    const warnings: string[] = []
    const store = aStore(server, { warn: (message) => warnings.push(message) })
    const seen = following(store)
    await vi.waitFor(() => expect(warnings).toHaveLength(1), PATIENCE)
    await server.start()
    expect(server.port).toBe(port)
    await store.append('execution-a', 'noStream', some(2))
    await vi.waitFor(() => expect(seen.events).toHaveLength(2), PATIENCE)
    expect(warnings).toHaveLength(1)
    await server.stop()
    await vi.waitFor(() => expect(warnings).toHaveLength(2), PATIENCE)
    seen.stop()
    await seen.ended
  })

  it('keeps no subscription open that it has left', async () => {
    const server = await aServer()
    const store = aStore(server)
    await store.append(aStream(), 'any', some(300))
    server.faults.plan('subscribe', 'loseAnswer', 'loseAnswer')
    const seen = following(store, { batchSize: 10 })
    await vi.waitFor(() => expect(seen.events).toHaveLength(300), PATIENCE)
    expect(server.faults.open).toBe(1)
    seen.stop()
    await seen.ended
    for await (const _ of store.subscribe({ after: START, batchSize: 10, signal: new AbortController().signal })) break
    await vi.waitFor(() => expect(server.faults.open).toBe(0), PATIENCE)
  })

  it('ends at once when it is told to, also while the server says nothing', async () => {
    const server = await aServer()
    const store = aStore(server, { callMs: 600_000 })
    server.faults.plan('read', ...Array<Fault>(50).fill('ignore'))
    const seen = following(store)
    await vi.waitFor(() => expect(server.faults.calls.read).toBe(1), PATIENCE)
    seen.stop()
    await seen.ended
    expect(seen.batches).toEqual([])
  })

  it('is not held back by a follower that does not ask, which is told no more than it can hold', async () => {
    const server = await aServer()
    const store = aStore(server)
    const stop = new AbortController()
    onTestFinished(() => stop.abort())
    const slow = store.subscribe({ after: START, batchSize: 10, signal: stop.signal })[Symbol.asyncIterator]()
    const text = 'x'.repeat(5_000)
    for (let n = 0; n < 5; n++) await store.append(aStream(), 'noStream', some(100, { text }))
    const first = (await slow.next()).value!
    const fast = following(store)
    for (let n = 0; n < 25; n++) await store.append(aStream(), 'noStream', some(100, { text }))
    await vi.waitFor(() => expect(fast.events).toHaveLength(3_000), PATIENCE)
    expect(server.faults.told[1]).toBe(3_000)
    expect(server.faults.told[0]).toBeLessThan(1_000)
    const rest = [...first.events]
    while (rest.length < 3_000) rest.push(...(await slow.next()).value!.events)
    expect(idsOf(rest)).toEqual(idsOf(fast.events))
  })

  it.each([true, false])(
    'moves on past events of other streams (the server says when it has caught up: %s)',
    async (saysCaughtUp) => {
      const store = aStore(await aServer({ saysCaughtUp }))
      const seen = following(store, { prefixes: ['worker-'] })
      await vi.waitFor(() => expect(seen.batches.at(-1)?.caughtUp).toBe(true), PATIENCE)
      await store.append(aStream('worker'), 'any', some(1))
      const { position } = await store.append(aStream(), 'any', some(10))
      await vi.waitFor(() => expect(seen.batches.at(-1)).toMatchObject({ position, caughtUp: true }), PATIENCE)
      const far = await store.append(aStream(), 'any', some(1_000))
      await vi.waitFor(() => expect(seen.batches.at(-1)?.position).toBe(far.position), PATIENCE)
      expect(seen.events).toHaveLength(1)
      const positions = seen.batches.map((batch) => batch.position)
      expect(positions).toEqual(positions.toSorted((a, b) => a - b))
    },
  )

  it('resumes from every position that it was ever at', async () => {
    const server = await aServer()
    const store = aStore(server)
    const seen = following(store, { prefixes: ['worker-', 'pool-'], batchSize: 3 })
    for (let n = 0; n < 30; n++) {
      await store.append(aStream(), 'any', some(37))
      await store.append(aStream(n % 2 === 0 ? 'worker' : 'pool'), 'any', some(2))
    }
    const head = await store.head()
    await vi.waitFor(() => expect(seen.batches.at(-1)?.position).toBe(head), PATIENCE)
    seen.stop()
    await seen.ended
    expect(seen.events).toHaveLength(60)
    const resume = async ({ position }: Batch) => {
      const resumed = following(store, { after: position, prefixes: ['worker-', 'pool-'] })
      await vi.waitFor(() => expect(resumed.batches.at(-1)?.position ?? position).toBe(head), PATIENCE)
      const rest = seen.events.filter((event) => event.position > position)
      expect(idsOf(resumed.events)).toEqual(idsOf(rest))
      resumed.stop()
    }
    // More at once than a connection has room for would wait for each other.
    for (let from = 0; from < seen.batches.length; from += 20)
      await Promise.all(seen.batches.slice(from, from + 20).map(resume))
  })
})

describe('what the server writes for itself', () => {
  async function withSystemEvents(server: EventStoreDbServer, count: number): Promise<void> {
    const client = EventStoreDBClient.connectionString(server.url)
    const events = Array.from({ length: count }, () => jsonEvent({ type: '$statsCollected', data: {} }))
    await client.appendToStream('$stats-1', events)
    await client.dispose()
  }

  it('is in no reading and moves no head', async () => {
    const server = await aServer()
    const store = aStore(server)
    await withSystemEvents(server, 1_500)
    expect(await store.head()).toBe(START)
    const { position } = await store.append(aStream(), 'noStream', some(2))
    await withSystemEvents(server, 1_500)
    const seen = following(store)
    await vi.waitFor(() => expect(seen.batches.at(-1)?.caughtUp).toBe(true), PATIENCE)
    expect(seen.events).toHaveLength(2)
    expect(seen.batches.at(-1)?.position).toBe(position)
    expect(await everything(store)).toHaveLength(2)
    expect(await aStore(server).head()).toBe(position)
    await store.append(aStream(), 'noStream', some(1))
    await vi.waitFor(() => expect(seen.events).toHaveLength(3), PATIENCE)
  })

  it('tells who follows that somebody else writes here, too', async () => {
    const server = await aServer()
    const client = EventStoreDBClient.connectionString(server.url)
    await client.appendToStream('execution-of-others', jsonEvent({ type: 'Theirs', data: {} }))
    await client.dispose()
    await expect(following(aStore(server)).ended).rejects.toThrow('was not written by Millrace')
  })
})
