import { describe, expect, it } from 'vitest'
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import type { Work } from '../../src/domain/execution/work.ts'
import type { DomainEvent, RecordedEvent } from '../../src/domain/message.ts'
import type { WorkQueue } from '../../src/ports/work-queue.ts'
import { createDispatcher } from '../../src/reactors/dispatcher.ts'
import { silent } from '../support/engine.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { begun, completed, failed, retried, scheduled } from '../support/runs.ts'

const CANCELLED: DomainEvent = { type: 'StageCancelled', data: { stage: 'a', attempt: 1, reason: 'enough' } }
const COMPLETED: DomainEvent = { type: 'ExecutionCompleted', data: { stages: 1 } }

/** A dispatcher over a queue that outlives processes, and what it published. */
function dispatching(options: { fails?: number } = {}) {
  let fails = options.fails ?? 0
  const published: string[] = []
  const queue = {
    durable: true,
    async publish(work: readonly Work[]) {
      if (fails-- > 0) throw new Error('out of reach')
      published.push(...work.map(({ executionId, stage, attempt }) => `${executionId} ${stage} ${attempt}`))
    },
    withdraw: async () => {},
  } as unknown as WorkQueue
  const log = recordedLog()
  const clock = new ManualClock()
  const leases = createMemoryLeases(clock)
  const dispatcher = createDispatcher({ store: {} as never, queue, leases, clock, logger: silent })
  let read = 0
  return {
    dispatcher,
    published,
    happens: (run: string, ...events: DomainEvent[]) => log.record(`execution-${run}`, events),
    /** Folds what happened since, and acts on it. */
    async act(caughtUp = true) {
      for (const event of log.events.slice(read)) dispatcher.apply(event as RecordedEvent)
      read = log.events.length
      await dispatcher.act(caughtUp)
    },
  }
}

describe('the dispatcher, over a queue that outlives processes', () => {
  it('publishes nothing that has ended by the time that it acts, whatever the end is', async () => {
    const { happens, act, published } = dispatching()
    happens('done', scheduled('a'), begun('a'), completed('a'), COMPLETED)
    happens('cancelled', scheduled('a'), CANCELLED)
    happens('over', scheduled('a'), scheduled('b'), COMPLETED)
    happens('again', scheduled('a'), failed('a', 1, 'retry'), retried('a', 2), scheduled('a', 2))
    happens('open', scheduled('a'), completed('a'), scheduled('b'))
    await act(false)
    expect(published).toEqual(['again a 2', 'open b 1'])
  })

  it('publishes each attempt once', async () => {
    const { happens, act, published } = dispatching()
    happens('one', scheduled('a'))
    await act()
    happens('one', begun('a'), completed('a'), scheduled('b'))
    await act()
    await act()
    expect(published).toEqual(['one a 1', 'one b 1'])
  })

  it('publishes what it could not, once the queue is there again', async () => {
    const { happens, act, published } = dispatching({ fails: 1 })
    happens('one', scheduled('a'))
    await expect(act()).rejects.toThrow('out of reach')
    happens('one', scheduled('b'))
    await act()
    expect(published).toEqual(['one a 1', 'one b 1'])
  })
})
