// What every event store must do, whichever it is: each adapter's test calls this with a way to open an empty one.
import { v7 as uuidv7 } from 'uuid'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { NewEvent, RecordedEvent } from '../../src/domain/message.ts'
import {
  AppendTooLarge,
  type Batch,
  type EventStore,
  START,
  WrongExpectedRevision,
} from '../../src/ports/event-store.ts'

/** `before` is the head of a store that is not empty, which nobody else may write to meanwhile; else `START`. */
export type OpenedStore = { readonly store: EventStore; readonly before?: number; close(): Promise<void> }

export const anEvent = (type = 'Happened', data: object = {}): NewEvent => ({
  id: uuidv7(),
  type,
  version: 1,
  at: '2026-01-02T03:04:05.678Z',
  data,
  metadata: { namespace: 'default', correlationId: uuidv7(), commandId: uuidv7(), actor: 'user:ada' },
})

const some = (count: number, type?: string): NewEvent[] => Array.from({ length: count }, (_, n) => anEvent(type, { n }))
const aStream = (): string => `execution-${uuidv7()}`

async function all(batches: AsyncIterable<readonly RecordedEvent[]>): Promise<RecordedEvent[]> {
  const found: RecordedEvent[] = []
  for await (const batch of batches) found.push(...batch)
  return found
}

/** Follows until `enough` says so, then ends the subscription. */
async function follow(
  store: EventStore,
  options: { after: number; prefixes?: readonly string[]; batchSize?: number },
  enough: (events: readonly RecordedEvent[], batch: Batch) => boolean,
): Promise<RecordedEvent[]> {
  const stop = new AbortController()
  const found: RecordedEvent[] = []
  for await (const batch of store.subscribe({ ...options, signal: stop.signal })) {
    found.push(...batch.events)
    if (enough(found, batch)) stop.abort()
  }
  return found
}

export function eventStoreContract(name: string, open: () => Promise<OpenedStore>): void {
  describe(`event store contract: ${name}`, () => {
    let store: EventStore
    let before: number
    let close: () => Promise<void>
    beforeEach(async () => {
      ;({ store, before = START, close } = await open())
    })
    afterEach(() => close())

    describe('append', () => {
      it('numbers revisions from 0 without gaps and gives back what it was given', async () => {
        const stream = aStream()
        const events = [
          anEvent('First', { text: 'grüße \u2028 "quoted"', nested: [{ n: 1.5 }, null, true] }),
          anEvent('Second'),
        ]
        const first = await store.append(stream, 'noStream', events)
        expect(first.revision).toBe(1)
        const second = await store.append(stream, 1, [anEvent('Third')])
        expect(second.revision).toBe(2)
        expect(second.position).toBeGreaterThan(first.position)
        const read = await all(store.readStream(stream))
        expect(read.map(({ revision }) => revision)).toEqual([0, 1, 2])
        expect(read[0]).toEqual({ ...events[0], stream, revision: 0, position: read[0]!.position })
        expect(read[1]!.position).toBe(first.position)
        expect(read[0]!.position).toBeLessThan(read[1]!.position)
      })

      it('refuses what was not expected and says how the stream stands', async () => {
        const stream = aStream()
        const refusal = (expected: 'noStream' | number) =>
          store.append(stream, expected, [anEvent()]).catch((error: WrongExpectedRevision) => error)
        expect(await refusal(0)).toMatchObject({
          name: 'WrongExpectedRevision',
          expected: 0,
          actual: 'noStream',
          stream,
        })
        await store.append(stream, 'noStream', some(3))
        expect(await refusal('noStream')).toMatchObject({ name: 'WrongExpectedRevision', actual: 2 })
        expect(await refusal(1)).toMatchObject({ name: 'WrongExpectedRevision', actual: 2 })
        expect(await refusal(3)).toBeInstanceOf(WrongExpectedRevision)
        expect(await all(store.readStream(stream))).toHaveLength(3)
      })

      it('appends to any stream where anything is expected', async () => {
        const stream = aStream()
        expect((await store.append(stream, 'any', [anEvent()])).revision).toBe(0)
        expect((await store.append(stream, 'any', [anEvent()])).revision).toBe(1)
      })

      it.each(['noStream', 'any', 'exact'] as const)(
        'answers a repeat like the first time (expecting %s)',
        async (kind) => {
          const stream = aStream()
          if (kind === 'exact') await store.append(stream, 'noStream', some(1))
          const expected = kind === 'exact' ? 0 : kind
          const events = some(3)
          const first = await store.append(stream, expected, events)
          expect(await store.append(stream, expected, events)).toEqual(first)
          await store.append(stream, 'any', [anEvent('Later')])
          expect(await store.append(stream, expected, events)).toEqual(first)
          expect(await all(store.readStream(stream))).toHaveLength(kind === 'exact' ? 5 : 4)
        },
      )

      it('keeps appends to one stream apart when several are under way', async () => {
        const stream = aStream()
        const answers = await Promise.allSettled(
          Array.from({ length: 20 }, () => store.append(stream, 'noStream', some(2))),
        )
        expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
        expect(await all(store.readStream(stream))).toHaveLength(2)
      })

      it('takes appends to many streams at once, each whole', async () => {
        const streams = Array.from({ length: 200 }, aStream)
        const answers = await Promise.all(streams.map((stream) => store.append(stream, 'noStream', some(5))))
        expect(new Set(answers.map(({ position }) => position)).size).toBe(200)
        for (const stream of streams.slice(0, 10)) expect(await all(store.readStream(stream))).toHaveLength(5)
        const everything = await all(store.readAll({ after: before }))
        const positions = everything.map(({ position }) => position)
        expect(positions).toEqual([...new Set(positions)].sort((a, b) => a - b))
        // All or nothing: the five of an append stand together.
        for (let i = 0; i < everything.length; i += 5)
          expect(new Set(everything.slice(i, i + 5).map(({ stream }) => stream)).size).toBe(1)
      })

      it('refuses an append over the limit, wherever the bytes are, and takes what is below it', async () => {
        const stream = aStream()
        const refused = await store
          .append(stream, 'noStream', [anEvent('Large', { text: 'ü'.repeat(500_000) })])
          .catch((e) => e)
        expect(refused).toBeInstanceOf(AppendTooLarge)
        expect(await all(store.readStream(stream))).toEqual([])
        await store.append(stream, 'noStream', [anEvent('Large', { text: 'x'.repeat(900_000) })])
        expect(await all(store.readStream(stream))).toHaveLength(1)
      })
    })

    describe('reading a stream', () => {
      it('goes both ways, from any revision, up to a limit', async () => {
        const stream = aStream()
        for (let i = 0; i < 3; i++) await store.append(stream, 'any', some(1_000))
        const revisions = async (options: Parameters<EventStore['readStream']>[1]) =>
          (await all(store.readStream(stream, options))).map(({ revision }) => revision)
        expect(await revisions({})).toEqual(Array.from({ length: 3_000 }, (_, n) => n))
        expect(await revisions({ from: 2_997 })).toEqual([2_997, 2_998, 2_999])
        expect(await revisions({ from: 5, limit: 2 })).toEqual([5, 6])
        expect(await revisions({ direction: 'backwards', limit: 3 })).toEqual([2_999, 2_998, 2_997])
        expect(await revisions({ direction: 'backwards', from: 1 })).toEqual([1, 0])
        expect((await revisions({ direction: 'backwards' })).length).toBe(3_000)
        expect(await revisions({ from: 3_000 })).toEqual([])
      })

      it('finds nothing in a stream that is not there', async () => {
        expect(await all(store.readStream(aStream()))).toEqual([])
        expect(await all(store.readStream(aStream(), { direction: 'backwards', limit: 1 }))).toEqual([])
      })

      it('may be left early', async () => {
        const stream = aStream()
        await store.append(stream, 'any', some(2_500))
        for await (const batch of store.readStream(stream)) {
          expect(batch.length).toBeGreaterThan(0)
          break
        }
        expect(await all(store.readStream(stream, { limit: 1 }))).toHaveLength(1)
      })
    })

    describe('reading everything', () => {
      it('is in order, after a position, and of the streams that were asked for', async () => {
        expect(await store.head()).toBe(before)
        const [one, two, three] = [aStream(), `workflow-${uuidv7()}`, aStream()]
        const a = await store.append(one, 'any', some(2))
        await store.append(two, 'any', some(2))
        const c = await store.append(three, 'any', some(1))
        expect(await store.head()).toBe(c.position)
        const streams = async (options: Parameters<EventStore['readAll']>[0]) =>
          (await all(store.readAll({ after: before, ...options }))).map(({ stream }) => stream)
        expect(await streams({})).toEqual([one, one, two, two, three])
        expect(await streams({ after: a.position })).toEqual([two, two, three])
        expect(await streams({ prefixes: ['execution-'] })).toEqual([one, one, three])
        expect(await streams({ after: c.position })).toEqual([])
      })
    })

    describe('subscribing', () => {
      it('gives what is there, says that it has caught up, and goes on with what comes', async () => {
        const [one, two] = [aStream(), aStream()]
        await store.append(one, 'any', some(3))
        const caughtUp = Promise.withResolvers<void>()
        const following = follow(store, { after: before }, (events, batch) => {
          if (batch.caughtUp && events.length === 3) caughtUp.resolve()
          return events.length === 5
        })
        await caughtUp.promise
        await store.append(two, 'any', some(2))
        const events = await following
        expect(events.map(({ stream }) => stream)).toEqual([...Array(3).fill(one), ...Array(2).fill(two)])
      })

      it('says so on an empty log, too', async () => {
        expect(await follow(store, { after: before }, (_, { caughtUp }) => caughtUp)).toEqual([])
      })

      it('misses and doubles nothing while appends go on, whatever the size of its batches', async () => {
        const total = 3_000
        const appending = (async () => {
          for (let i = 0; i < total / 10; i += 10)
            await Promise.all(Array.from({ length: 10 }, () => store.append(aStream(), 'any', some(10))))
        })()
        const followers = [1, 7, 1_000].map((batchSize) =>
          follow(store, { after: before, batchSize }, (events) => events.length >= total),
        )
        await appending
        for (const events of await Promise.all(followers)) {
          expect(events).toHaveLength(total)
          const positions = events.map(({ position }) => position)
          expect(positions).toEqual([...new Set(positions)].sort((a, b) => a - b))
        }
      })

      it('moves its position past what the filter leaves out', async () => {
        await store.append(aStream(), 'any', some(1))
        const { position } = await store.append(`workflow-${uuidv7()}`, 'any', some(5))
        let reached = START
        const events = await follow(store, { after: before, prefixes: ['execution-'] }, (_, batch) => {
          reached = batch.position
          return batch.caughtUp && batch.position >= position
        })
        expect(events).toHaveLength(1)
        expect(reached).toBe(position)
      })

      it('reads no further than its follower: the next batch is read when it is asked for', async () => {
        await store.append(aStream(), 'any', some(1_000))
        const stop = new AbortController()
        const batches = store.subscribe({ after: before, batchSize: 10, signal: stop.signal })[Symbol.asyncIterator]()
        const first = (await batches.next()).value as Batch
        expect(first.events).toHaveLength(10)
        await store.append(aStream(), 'any', some(10))
        const second = (await batches.next()).value as Batch
        expect(second.events[0]!.position).toBeGreaterThan(first.position)
        expect(second.events).toHaveLength(10)
        stop.abort()
        expect((await batches.next()).done).toBe(true)
      })

      it('ends when it is told to while it waits', async () => {
        const stop = new AbortController()
        const batches = store.subscribe({ after: before, signal: stop.signal })[Symbol.asyncIterator]()
        await batches.next()
        const waiting = batches.next()
        stop.abort()
        expect((await waiting).done).toBe(true)
      })
    })

    describe('truncating', () => {
      it('keeps the last events, their revisions and the numbering', async () => {
        const stream = `snapshot-${uuidv7()}`
        await store.append(stream, 'any', some(5))
        await store.truncate(stream, 2)
        expect((await all(store.readStream(stream))).map(({ revision }) => revision)).toEqual([3, 4])
        expect((await store.append(stream, 4, [anEvent()])).revision).toBe(5)
        await store.truncate(stream, 10)
        expect((await all(store.readStream(stream))).map(({ revision }) => revision)).toEqual([3, 4, 5])
        expect(await all(store.readStream(stream, { direction: 'backwards' }))).toHaveLength(3)
      })

      it('can be undone: events go back to where they were, and those that are there stay', async () => {
        const stream = aStream()
        for (const each of [stream, aStream(), stream, stream]) await store.append(each, 'any', some(2))
        const whole = await all(store.readStream(stream))
        const log = await all(store.readAll({ after: before }))
        await store.truncate(stream, 1)
        await store.append(stream, 5, [anEvent('Later')])
        expect(await store.putBack(stream, whole)).toBe(true)
        const now = await all(store.readStream(stream))
        expect(now).toEqual([...whole, expect.objectContaining({ type: 'Later', revision: 6 })])
        expect((await all(store.readAll({ after: before }))).slice(0, -1)).toEqual(log)
        expect(await store.putBack(stream, whole)).toBe(true)
        expect(await all(store.readStream(stream))).toEqual(now)
      })
    })
  })
}
