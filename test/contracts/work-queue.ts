// What every work queue must do; each adapter's test calls this with a way to open an empty one.
import { v7 as uuidv7 } from 'uuid'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Work } from '../../src/domain/execution/work.ts'
import type { WorkQueue } from '../../src/ports/work-queue.ts'

export type OpenedQueue = { readonly queue: WorkQueue; close(): Promise<void> }

function someWork(overrides: Partial<Work> = {}): Work {
  const executionId = overrides.executionId ?? uuidv7()
  return {
    id: `execution-${executionId}:1:0`,
    namespace: 'default',
    executionId,
    stage: 'build',
    attempt: 1,
    queue: 'default',
    handler: 'shell',
    input: { run: 'true' },
    timeoutMs: 1_000,
    priority: 0,
    eventId: uuidv7(),
    ...overrides,
  }
}

/** A handler that keeps what it was given, and finishes each when it is told to. */
function held() {
  const taken: Work[] = []
  const finish = new Map<string, () => void>()
  const handle = (work: Work) =>
    new Promise<void>((resolve) => {
      taken.push(work)
      finish.set(work.id, resolve)
    })
  const finishAll = () => {
    for (const resolve of finish.values()) resolve()
  }
  return { taken, handle, finish, finishAll }
}

export function workQueueContract(name: string, open: () => Promise<OpenedQueue>): void {
  describe(`work queue contract: ${name}`, () => {
    let queue: WorkQueue
    let close: () => Promise<void>
    beforeEach(async () => {
      ;({ queue, close } = await open())
    })
    afterEach(() => close())

    it('tells what it lacks: what was never published, and what is done', async () => {
      const [waits, runs, done] = [someWork({ queue: 'other' }), someWork(), someWork()]
      await queue.publish([waits, runs, done])
      const { taken, handle, finish, finishAll } = held()
      const consumer = queue.consume(['default'], { concurrency: 10 }, handle)
      await vi.waitFor(() => expect(taken).toHaveLength(2))
      finish.get(done.id)!()
      const ids = [waits.id, runs.id, done.id, 'never:1:0']
      await vi.waitFor(async () => expect(await queue.lacking(ids)).toEqual([done.id, 'never:1:0']))
      finishAll()
      await consumer.close()
    })

    it('hands work over whole, whether it was published before or after', async () => {
      const [early, late] = [someWork(), someWork({ input: { deep: [{ a: null }], text: 'ü' } })]
      await queue.publish([early])
      const { taken, handle, finishAll } = held()
      const consumer = queue.consume(['default'], { concurrency: 10 }, handle)
      await queue.publish([late])
      await vi.waitFor(() => expect(taken).toEqual([early, late]))
      finishAll()
      await consumer.close()
    })

    it('gives a consumer only the queues that it named', async () => {
      const { taken, handle, finishAll } = held()
      const consumer = queue.consume(['linux'], { concurrency: 10 }, handle)
      const mine = someWork({ queue: 'linux' })
      await queue.publish([someWork({ queue: 'windows' }), mine])
      await vi.waitFor(() => expect(taken).toEqual([mine]))
      expect(await queue.depth()).toMatchObject({ windows: 1 })
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
      await vi.waitFor(() => expect(taken.at(-1)).toEqual(marker))
      expect(taken.filter(({ id }) => id === work.id)).toHaveLength(1)
      finishAll()
      await consumer.close()
    })

    it('runs no more at once than it may, in all and by queue', async () => {
      const { taken, handle, finish, finishAll } = held()
      const consumer = queue.consume(['a', 'b'], { concurrency: 4, perQueue: { a: 2 } }, handle)
      await queue.publish(Array.from({ length: 5 }, () => someWork({ queue: 'a' })))
      await vi.waitFor(() => expect(taken).toHaveLength(2))
      await queue.publish(Array.from({ length: 5 }, () => someWork({ queue: 'b' })))
      await vi.waitFor(() => expect(taken).toHaveLength(4))
      expect(taken.filter((work) => work.queue === 'a')).toHaveLength(2)
      finish.get(taken[0]!.id)!()
      await vi.waitFor(() => expect(taken).toHaveLength(5))
      const ended = consumer.close()
      finishAll()
      await ended
    })

    it('takes higher priority first, then what came first', async () => {
      const order = [0, 5, -3, 5, 0].map((priority, n) => someWork({ priority, stage: `s${n}` }))
      await queue.publish(order)
      const taken: string[] = []
      const consumer = queue.consume(['default'], { concurrency: 1 }, async ({ stage }) => {
        taken.push(stage)
      })
      await vi.waitFor(() => expect(taken).toEqual(['s1', 's3', 's0', 's4', 's2']))
      await consumer.close()
    })

    it('delivers again what was not done, three times in all, and then sets it aside with the reason', async () => {
      const work = someWork()
      let deliveries = 0
      const consumer = queue.consume(['default'], { concurrency: 1 }, async () => {
        deliveries++
        throw new Error('no disk')
      })
      await queue.publish([work])
      await vi.waitFor(async () => expect(await queue.deadLetters()).toEqual([{ work, reason: 'no disk' }]))
      expect(deliveries).toBe(3)
      await consumer.close()
    })

    it('takes nothing new once its consumer closes, and waits for what it took', async () => {
      const { taken, handle, finishAll } = held()
      const consumer = queue.consume(['default'], { concurrency: 1 }, handle)
      await queue.publish([someWork(), someWork()])
      await vi.waitFor(() => expect(taken).toHaveLength(1))
      let closed = false
      const closing = consumer.close().then(() => {
        closed = true
      })
      expect(closed).toBe(false)
      finishAll()
      await closing
      expect(taken).toHaveLength(1)
      expect(await queue.depth()).toMatchObject({ default: 1 })
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
      await vi.waitFor(() => expect(taken).toHaveLength(50))
      expect(new Set(taken).size).toBe(50)
      await second.close()
    })
  })
}
