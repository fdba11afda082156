// What every work queue must do; each adapter's test calls this with a way to open an empty one.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Work } from '../../src/domain/execution/work.ts'
import type { WorkQueue } from '../../src/ports/work-queue.ts'
import { after, held, someWork } from '../support/some-work.ts'
import { orderContract } from './work-queue-order.ts'

export type OpenedQueue = {
  readonly queue: WorkQueue
  /** Lets the queue's own time go by. */
  pass(ms: number): Promise<void>
  /** Resolves when what was published to the default queue has come to its consumers, where that takes its time. */
  arrived?(): Promise<void>
  close(): Promise<void>
}

const byId = (a: Work, b: Work): number => (a.id < b.id ? -1 : 1)

/** @param patienceMs how long work may take to its consumer: where it goes over a network, longer than from memory */
export function workQueueContract(name: string, open: () => Promise<OpenedQueue>, patienceMs = 1_000): void {
  const eventually = (check: () => void | Promise<void>) => vi.waitFor(check, { timeout: patienceMs })
  describe(`work queue contract: ${name}`, () => {
    let queue: WorkQueue
    let pass: (ms: number) => Promise<void>
    let arrived: () => Promise<void>
    let close: () => Promise<void>
    beforeEach(async () => {
      ;({ queue, pass, arrived = async () => {}, close } = await open())
    })
    const statsOf = async (name: string) => (await queue.stats()).find(({ queue }) => queue === name)
    /** The stages in the order in which one consumer, one at a time, takes them. */
    async function taken(count: number, queues: readonly string[] = ['default']): Promise<string> {
      const order: string[] = []
      const consumer = queue.consume(queues, { concurrency: 1 }, async ({ stage }) => {
        order.push(stage)
      })
      await eventually(() => expect(order).toHaveLength(count))
      await consumer.close()
      return order.join(' ')
    }
    afterEach(() => close())

    it('tells what it lacks: what was never published, and what is done', async () => {
      const [waits, runs, done] = [someWork({ queue: 'other' }), someWork(), someWork()]
      await queue.publish([waits, runs, done])
      const { taken, handle, finish, finishAll } = held()
      const consumer = queue.consume(['default'], { concurrency: 10 }, handle)
      await eventually(() => expect(taken).toHaveLength(2))
      finish.get(done.id)!()
      const ids = [waits.id, runs.id, done.id, 'never:1:0']
      await eventually(async () => expect(await queue.lacking(ids)).toEqual([done.id, 'never:1:0']))
      finishAll()
      await consumer.close()
    })

    it('hands work over whole, whether it was published before or after', async () => {
      const [early, late] = [someWork(), someWork({ input: { deep: [{ a: null }], text: 'ü' } })]
      await queue.publish([early])
      const { taken, handle, finishAll } = held()
      const consumer = queue.consume(['default'], { concurrency: 10 }, handle)
      await queue.publish([late])
      await eventually(() => expect(taken).toEqual([early, late]))
      finishAll()
      await consumer.close()
    })

    it('gives a consumer only the queues that it named', async () => {
      const { taken, handle, finishAll } = held()
      const consumer = queue.consume(['linux'], { concurrency: 10 }, handle)
      const mine = someWork({ queue: 'linux' })
      await queue.publish([someWork({ queue: 'windows' }), mine])
      await eventually(() => expect(taken).toEqual([mine]))
      expect(await statsOf('windows')).toMatchObject({ depth: 1, consumers: 0 })
      finishAll()
      await consumer.close()
    })

    it('collapses work that waits or runs already', async () => {
      const work = someWork()
      const { taken, handle, finishAll } = held()
      await queue.publish([work, work])
      const consumer = queue.consume(['default'], { concurrency: 10 }, handle)
      const marker = someWork()
      await queue.publish([work, marker])
      await eventually(() => expect(taken.at(-1)).toEqual(marker))
      expect(taken.filter(({ id }) => id === work.id)).toHaveLength(1)
      finishAll()
      await consumer.close()
    })

    it('runs no more at once than it may, in all and by queue', async () => {
      const { taken, handle, finish, finishAll } = held()
      const consumer = queue.consume(['a', 'b'], { concurrency: 4, perQueue: { a: 2 } }, handle)
      await queue.publish(Array.from({ length: 5 }, () => someWork({ queue: 'a' })))
      await eventually(() => expect(taken).toHaveLength(2))
      await queue.publish(Array.from({ length: 5 }, () => someWork({ queue: 'b' })))
      await eventually(() => expect(taken).toHaveLength(4))
      expect(taken.filter((work) => work.queue === 'a')).toHaveLength(2)
      finish.get(taken[0]!.id)!()
      await eventually(() => expect(taken).toHaveLength(5))
      const ended = consumer.close()
      finishAll()
      await ended
    })

    orderContract({ queue: () => queue, taken, arrived: () => arrived(), eventually })

    it('gives work that asks for labels only to who has them all, also when its route comes to be later', async () => {
      const plain = held()
      const gpu = held()
      const other = queue.consume(['default'], { concurrency: 9, labels: ['linux', 'arm'] }, plain.handle)
      const able = queue.consume(['default'], { concurrency: 9, labels: ['gpu', 'linux', 'large'] }, gpu.handle)
      const [both, one, arm, elsewhere] = ['default.gpu.linux', 'default.gpu', 'default.arm', 'heavy.gpu'].map((name) =>
        someWork({ queue: name }),
      ) as [Work, Work, Work, Work]
      await queue.publish([both, one, arm, elsewhere])
      await eventually(() => expect(gpu.taken.toSorted(byId)).toEqual([both, one].sort(byId)))
      await eventually(() => expect(plain.taken).toEqual([arm]))
      expect(await statsOf('heavy')).toMatchObject({ labels: ['gpu'], depth: 1, consumers: 0 })
      for (const { finishAll } of [plain, gpu]) finishAll()
      await Promise.all([other.close(), able.close()])
    })

    it('counts work with labels to its queue: against its limit, and by priority', async () => {
      const work = [someWork({ stage: 'plain' }), someWork({ queue: 'default.gpu', stage: 'gpu', priority: 1 })]
      await queue.publish(work)
      const { taken, handle, finishAll } = held()
      const options = { concurrency: 9, perQueue: { default: 1 }, labels: ['gpu'] }
      const consumer = queue.consume(['default'], options, handle)
      await eventually(() => expect(taken.map(({ stage }) => stage)).toEqual(['gpu']))
      expect((await queue.stats()).map(({ depth, running }) => [depth, running])).toEqual([
        [1, 0],
        [0, 1],
      ])
      const closing = consumer.close()
      finishAll()
      await closing
    })

    it('forgets what is withdrawn while it waits, and lets be what was taken', async () => {
      const [running, first, second, third] = ['running', 'first', 'second', 'third'].map((stage, ms) =>
        someWork({ stage, scheduledAt: after(ms), namespace: stage === 'third' ? 'other' : 'default' }),
      ) as [Work, Work, Work, Work]
      const { taken, handle, finish, finishAll } = held()
      const consumer = queue.consume(['default'], { concurrency: 1 }, handle)
      await queue.publish([running, first, second, third])
      await eventually(() => expect(taken).toEqual([running]))
      await queue.withdraw([running.id, first.id, third.id, 'unknown'])
      expect(await statsOf('default')).toMatchObject({ depth: 1, oldestAt: after(2), running: 1 })
      finish.get(running.id)!()
      await eventually(() => expect(taken).toEqual([running, second]))
      await queue.publish([first])
      finishAll()
      await eventually(() => expect(taken).toEqual([running, second, first]))
      const closing = consumer.close()
      finishAll()
      await closing
    })

    it('takes from the routes of a queue in turn, so that work without labels does not hold up what asks for some', async () => {
      const many = Array.from({ length: 4 }, (_, n) => someWork({ stage: `d${n}` }))
      const late = [1, 2].map((n) => someWork({ queue: 'default.gpu', stage: `g${n}`, scheduledAt: after(60_000) }))
      await queue.publish([...many, ...late])
      const order: string[] = []
      const consumer = queue.consume(['default'], { concurrency: 1, labels: ['gpu'] }, async ({ stage }) => {
        order.push(stage)
      })
      await eventually(() => expect(order.join(' ')).toBe('d0 g1 d1 g2 d2 d3'))
      await consumer.close()
    })

    it('says how things stand with each route', async () => {
      expect(await queue.stats()).toEqual([])
      await queue.publish([50, 10].map((ms) => someWork({ queue: 'default.gpu', scheduledAt: after(ms) })))
      const counted = { publishedPerMinute: 2, takenPerMinute: 0, published: 2, taken: 0 }
      const waiting = { queue: 'default', labels: ['gpu'], depth: 2, oldestAt: after(10), running: 0, ...counted }
      expect(await queue.stats()).toEqual([{ ...waiting, consumers: 0 }])
      await pass(59_000)
      const { taken, handle, finishAll } = held()
      const consumer = queue.consume(['default'], { concurrency: 1, labels: ['gpu'] }, handle)
      await eventually(() => expect(taken).toHaveLength(1))
      const none = { publishedPerMinute: 0, takenPerMinute: 0, published: 0, taken: 0 }
      const rate = { publishedPerMinute: 2, takenPerMinute: 1, published: 2, taken: 1 }
      expect(await queue.stats()).toEqual([
        { queue: 'default', labels: [], depth: 0, running: 0, ...none, consumers: 1 },
        { ...waiting, depth: 1, oldestAt: after(50), running: 1, ...rate, consumers: 1 },
      ])
      await pass(2_000)
      expect((await queue.stats())[1]).toMatchObject({ publishedPerMinute: 0, takenPerMinute: 1, published: 2 })
      const closing = consumer.close()
      finishAll()
      await closing
      expect((await queue.stats()).map(({ consumers }) => consumers)).toEqual([0, 0])
    })

    it('delivers again what was not done, three times in all, and then sets it aside with the reason', async () => {
      const work = someWork()
      let deliveries = 0
      const consumer = queue.consume(['default'], { concurrency: 1 }, async () => {
        deliveries++
        throw new Error('no disk')
      })
      await queue.publish([work])
      await eventually(async () => expect(await queue.deadLetters()).toEqual([{ work, reason: 'no disk' }]))
      expect(deliveries).toBe(3)
      await consumer.close()
    })

    it('takes nothing new once its consumer closes, and waits for what it took', async () => {
      const { taken, handle, finishAll } = held()
      const consumer = queue.consume(['default'], { concurrency: 1 }, handle)
      await queue.publish([someWork(), someWork()])
      await eventually(() => expect(taken).toHaveLength(1))
      let closed = false
      const closing = consumer.close().then(() => {
        closed = true
      })
      expect(closed).toBe(false)
      finishAll()
      await closing
      expect(taken).toHaveLength(1)
      expect(await statsOf('default')).toMatchObject({ depth: 1 })
    })

    it('leaves what one consumer did not take to another', async () => {
      const work = Array.from({ length: 50 }, () => someWork())
      const taken: string[] = []
      const take = async ({ id }: Work) => {
        taken.push(id)
      }
      await queue.publish(work.slice(0, 25))
      const first = queue.consume(['default'], { concurrency: 2 }, take)
      await first.close()
      const second = queue.consume(['default'], { concurrency: 2 }, take)
      await queue.publish(work.slice(25))
      await eventually(() => expect(taken).toHaveLength(50))
      expect(new Set(taken).size).toBe(50)
      await second.close()
    })
  })
}
