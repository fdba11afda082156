// The queue in Kafka when brokers and consumers do not do as they should: nothing is lost, and nothing is committed too early.
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/adapters/clock.ts'
import type { KafkaSettings } from '../../src/adapters/kafka/url.ts'
import { type KafkaQueueOptions, openKafkaQueue } from '../../src/adapters/work-queue/kafka.ts'
import { MAX_WORK_BYTES, workMessage } from '../../src/adapters/work-queue/kafka-message.ts'
import type { Work } from '../../src/domain/execution/work.ts'
import type { WorkQueue } from '../../src/ports/work-queue.ts'
import * as kafka from '../support/kafka-queues.ts'
import { quiet } from '../support/kafka-quiet.ts'
import type { OwnServer } from '../support/server-process.ts'
import { findOwnServer } from '../support/servers.ts'
import { skipFor } from '../support/skip.ts'
import { someWork } from '../support/some-work.ts'

const SESSION_MS = 3_000
const found = await findOwnServer('kafka')
const why = found.reason

if (why !== undefined) it('loses nothing in Kafka', (context) => skipFor(why, context))
else
  describe('the queue in Kafka', () => {
    let broker: OwnServer
    let settings: KafkaSettings
    let topic: string
    const opened: { close(): Promise<unknown> }[] = []
    beforeAll(async () => {
      broker = await found.start()
    })
    afterAll(() => broker.stop())
    afterEach(async () => {
      for (const one of opened.splice(0).reverse()) await one.close()
    })

    async function open(partitions?: number, limits: Partial<KafkaQueueOptions> = {}): Promise<WorkQueue> {
      if (partitions !== undefined) settings = kafka.ownTopics(broker.url, partitions)
      topic = `${settings.prefix}.work.default`
      const queue = await openKafkaQueue({
        ...{ settings, clock: systemClock, logger: quiet, sessionMs: SESSION_MS },
        ...limits,
      })
      opened.push(queue)
      return queue
    }
    function consuming(does: 'finishes' | 'holds'): kafka.ConsumingProcess {
      const one = kafka.startConsuming(settings, does, SESSION_MS)
      opened.push({ close: async () => one.child.exitCode ?? one.child.signalCode ?? one.kill() })
      return one
    }
    const eventually = (check: () => void | Promise<void>, timeout = 40_000) =>
      vi.waitFor(check, { timeout, interval: 100 })
    const some = (count: number, of: Partial<Work> = {}) => Array.from({ length: count }, () => someWork(of))
    const idsOf = (work: readonly Work[]) => work.map(({ id }) => id).sort()
    /** A handler that notes what was done, each after a turn of the event loop. */
    function noting() {
      const done = new Set<string>()
      const handle = async ({ id }: Work) => {
        await new Promise(setImmediate)
        done.add(id)
      }
      return { done, handle }
    }

    it('puts what is no work with the dead letters, says why, and goes on', async () => {
      const queue = await open(1)
      const { done, handle } = noting()
      queue.consume(['default'], { concurrency: 2 }, handle)
      const good = someWork()
      await queue.publish([someWork()])
      const { topic: _, ...message } = workMessage(settings.prefix, someWork(), 0)
      const head = message.headers as Record<string, string>
      const value = JSON.parse(message.value as string) as Work
      await kafka.put(settings, topic, [
        { ...message, value: null },
        { ...message, value: 'no {json' },
        { ...message, value: '"text"' },
        { ...message, headers: { ...head, version: '2' } },
        { ...message, headers: {} },
        { ...message, headers: { ...head, namespace: 'other' } },
        { ...message, key: 'another-run' },
        { ...message, value: JSON.stringify({ ...value, queue: 'other' }) },
        { ...message, value: JSON.stringify({ ...value, priority: 'high' }) },
      ])
      await kafka.put(settings, topic, [{ ...message, value: Buffer.alloc(MAX_WORK_BYTES + 1, 'x') }])
      await queue.publish([good])
      await eventually(() => expect(done.has(good.id)).toBe(true))
      await eventually(async () => expect(await kafka.uncommitted(settings, topic)).toBe(0))
      const letters = await queue.deadLetters()
      expect(letters.map(({ work }) => work)).toEqual(letters.map(() => undefined))
      expect(letters.map(({ reason }) => reason.replace('malformed: ', ''))).toEqual([
        'no value',
        'not JSON',
        expect.stringContaining('the value: '),
        'unknown version "2"',
        'unknown version none',
        'the namespace is "default" and "other"',
        expect.stringContaining('the key is '),
        `the topic is "${settings.prefix}.work.other" and "${topic}"`,
        expect.stringContaining('priority: '),
        `${MAX_WORK_BYTES + 1} bytes, the limit is ${MAX_WORK_BYTES}`,
      ])
    })

    it('commits nothing behind which there is work to do, and hands over what was done beyond that', async () => {
      const queue = await open(1)
      const work = some(20)
      await queue.publish(work)
      const held = Promise.withResolvers<void>()
      const done = new Set<string>()
      const consumer = queue.consume(['default'], { concurrency: 4 }, async ({ id }) => {
        if (id === work[3]!.id) await held.promise
        done.add(id)
      })
      await eventually(() => expect(done.size).toBe(19))
      await eventually(async () => expect(await kafka.uncommitted(settings, topic)).toBe(17))
      expect(await queue.lacking(idsOf(work))).toEqual(idsOf(work).filter((id) => id !== work[3]!.id))
      // It gives back what it could not do.
      const closing = consumer.close()
      held.reject(new Error('shut down'))
      await closing
      const next = noting()
      const second = await open()
      second.consume(['default'], { concurrency: 4 }, next.handle)
      await eventually(async () => expect(await kafka.uncommitted(settings, topic)).toBe(0))
      expect([...next.done]).toEqual([work[3]!.id])
    })

    it('has another consumer know how often work has failed', async () => {
      const queue = await open(1)
      const [work] = some(1) as [Work]
      await queue.publish([work])
      let deliveries = 0
      const failing = Promise.withResolvers<void>()
      const first = queue.consume(['default'], { concurrency: 1 }, async () => {
        if (++deliveries === 3) await failing.promise
        throw new Error('no disk')
      })
      await eventually(() => expect(deliveries).toBe(3))
      const closing = first.close()
      failing.resolve()
      await closing
      const second = await open()
      second.consume(['default'], { concurrency: 1 }, async () => {
        deliveries++
        throw new Error('no disk either')
      })
      await eventually(async () => expect(await second.deadLetters()).toEqual([{ work, reason: 'no disk either' }]))
      expect(deliveries).toBe(4)
    })

    it('shares partitions as consumers come and go, and does everything', async () => {
      const queue = await open(4)
      const published: Work[] = []
      const more = async (count: number) => {
        const work = some(count)
        published.push(...work)
        await queue.publish(work)
      }
      const { done, handle } = noting()
      const first = queue.consume(['default'], { concurrency: 4 }, handle)
      await more(200)
      await eventually(() => expect(done.size).toBeGreaterThan(20))
      const other = await open()
      let shared = 0
      const second = other.consume(['default'], { concurrency: 4 }, async (one) => {
        await handle(one)
        shared++
      })
      await eventually(async () => {
        await more(20)
        expect(await kafka.committedUnhandled(settings, topic, done)).toEqual([])
        expect(shared).toBeGreaterThan(20)
      })
      await more(200)
      await first.close()
      await eventually(() => expect([...done].sort()).toEqual(idsOf(published)))
      await second.close()
      expect(await kafka.uncommitted(settings, topic)).toBe(0)
    })

    it('holds no more than it may, goes on when there is room, and has the broker forget what is done', async () => {
      const queue = await open(1, { maxWaiting: 10, purgeEvery: 50 })
      const [first, ...rest] = some(60) as [Work, ...Work[]]
      // It would go first if it were there.
      const urgent = someWork({ priority: 100 })
      const order: string[] = []
      const go = Promise.withResolvers<void>()
      opened.push({ close: async () => go.resolve() })
      await queue.publish([first])
      queue.consume(['default'], { concurrency: 1 }, async ({ id }) => {
        await go.promise
        order.push(id)
      })
      await eventually(async () => expect(await queue.stats()).toMatchObject([{ running: 1 }]))
      await queue.publish([...rest, urgent])
      await eventually(async () => expect(await queue.stats()).toMatchObject([{ depth: 60 }]))
      go.resolve()
      await eventually(() => expect(order.toSorted()).toEqual(idsOf([first, ...rest, urgent])))
      expect(order.indexOf(urgent.id)).toBeGreaterThan(5)
      await eventually(async () => expect(await kafka.forgotten(settings, topic)).toBeGreaterThanOrEqual(50))
    })

    it('begins to fetch again when the group is put together anew while it holds all that it may', async () => {
      const limits = { maxWaiting: 10 }
      const queue = await open(2, limits)
      const work = some(80)
      const { done, handle } = noting()
      const go = Promise.withResolvers<void>()
      opened.push({ close: async () => go.resolve() })
      const handleLater = async (one: Work) => {
        await go.promise
        await handle(one)
      }
      await queue.publish(work)
      queue.consume(['default'], { concurrency: 1 }, handleLater)
      await eventually(async () => expect(await queue.stats()).toMatchObject([{ running: 1 }]))
      const other = await open(undefined, limits)
      let taken = 0
      other.consume(['default'], { concurrency: 1 }, (one) => {
        taken++
        return handleLater(one)
      })
      // Once it has some, the first one has begun again with what is left to it.
      await eventually(() => expect(taken).toBe(1))
      go.resolve()
      await eventually(() => expect([...done].sort()).toEqual(idsOf(work)))
    })

    it('loses nothing when the broker is killed under load', async () => {
      const queue = await open(4)
      const { done, handle } = noting()
      queue.consume(['default'], { concurrency: 8 }, handle)
      const work = some(1_000)
      const publishing = (async () => {
        for (let at = 0; at < work.length; at += 20) await queue.publish(work.slice(at, at + 20))
      })()
      await eventually(() => expect(done.size).toBeGreaterThan(50))
      await broker.kill()
      await broker.restart()
      await publishing
      await eventually(() => expect([...done].sort()).toEqual(idsOf(work)))
      await eventually(async () => expect(await kafka.uncommitted(settings, topic)).toBe(0))
      expect(await queue.deadLetters()).toEqual([])
    })

    it('goes on after the broker was held up for longer than a session', async () => {
      const queue = await open(2)
      const { done, handle } = noting()
      queue.consume(['default'], { concurrency: 8 }, handle)
      const work = some(200)
      await queue.publish(work.slice(0, 100))
      await eventually(() => expect(done.size).toBe(100))
      broker.pause()
      const publishing = queue.publish(work.slice(100))
      // This is how long it is held up, not something that is waited for.
      await new Promise((resolve) => setTimeout(resolve, 2 * SESSION_MS))
      broker.resume()
      await publishing
      await eventually(() => expect([...done].sort()).toEqual(idsOf(work)))
      await eventually(async () => expect(await kafka.uncommitted(settings, topic)).toBe(0))
    })

    it('gives everything that a killed consumer had not done to another', async () => {
      const queue = await open(4)
      const work = some(50)
      await queue.publish(work)
      const victim = consuming('holds')
      await eventually(async () => expect(await queue.stats()).toMatchObject([{ running: 8, depth: 42, consumers: 1 }]))
      const { done, handle } = noting()
      queue.consume(['default'], { concurrency: 8 }, handle)
      await victim.kill()
      await eventually(() => expect([...done].sort()).toEqual(idsOf(work)))
      await eventually(async () => expect(await kafka.uncommitted(settings, topic)).toBe(0))
    })

    it('kills consumers under load one after the other, and commits nothing that was not done', async () => {
      const queue = await open(4)
      const work = some(2_000)
      const done = new Set<string>()
      const seen = { has: (id: string) => done.has(id) }
      const publishing = queue.publish(work)
      for (let round = 0; round < 2; round++) {
        const victim = consuming('finishes')
        await eventually(() => expect(victim.taken.size).toBeGreaterThan(50))
        await victim.kill()
        for (const id of victim.taken) done.add(id)
        expect(await kafka.committedUnhandled(settings, topic, seen)).toEqual([])
      }
      await publishing
      queue.consume(['default'], { concurrency: 8 }, async ({ id }) => void done.add(id))
      await eventually(() => expect([...done].sort()).toEqual(idsOf(work)))
      await eventually(async () => expect(await kafka.uncommitted(settings, topic)).toBe(0))
    })

    it('lets a consumer that was stopped for longer than a session commit nothing when it goes on', async () => {
      const queue = await open(2)
      const work = some(40)
      await queue.publish(work)
      const stopped = consuming('holds')
      await eventually(async () => expect(await queue.stats()).toMatchObject([{ running: 8, depth: 32, consumers: 1 }]))
      stopped.child.kill('SIGSTOP')
      const { done, handle } = noting()
      queue.consume(['default'], { concurrency: 8 }, handle)
      await eventually(() => expect([...done].sort()).toEqual(idsOf(work)))
      await eventually(async () => expect(await kafka.uncommitted(settings, topic)).toBe(0))
      stopped.child.kill('SIGCONT')
      const late = some(40)
      await queue.publish(late)
      await eventually(() => expect(done.size + stopped.taken.size).toBeGreaterThanOrEqual(80))
      expect(await kafka.committedUnhandled(settings, topic, done)).toEqual([])
    })
  })
