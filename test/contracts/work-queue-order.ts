// What of all that waits goes first: part of what every work queue must do.
import { expect, it } from 'vitest'
import type { WorkQueue } from '../../src/ports/work-queue.ts'
import { after, someWork } from '../support/some-work.ts'

export function orderContract({
  queue,
  taken,
  arrived,
  eventually,
}: {
  queue(): WorkQueue
  /** The stages in the order in which one consumer, one at a time, takes them. */
  taken(count: number, queues?: readonly string[]): Promise<string>
  arrived(): Promise<void>
  eventually(check: () => void): Promise<void>
}): void {
  it('takes higher priority first, then what came first', async () => {
    const order = [0, 5, -3, 5, 0].map((priority, n) => someWork({ priority, stage: `s${n}` }))
    await queue().publish(order)
    expect(await taken(5)).toBe('s1 s3 s0 s4 s2')
  })

  it('takes what was scheduled first, in whatever order it comes', async () => {
    await queue().publish([30, 10, 20].map((ms) => someWork({ scheduledAt: after(ms), stage: `s${ms}` })))
    expect(await taken(3)).toBe('s10 s20 s30')
  })

  it('lets nothing wait for ever behind higher priority: a point is worth ten seconds of age', async () => {
    const old = someWork({ stage: 'old', scheduledAt: after(0) })
    const urgent = [19, 21].map((s) => someWork({ stage: `at${s}`, priority: 2, scheduledAt: after(s * 1_000) }))
    await queue().publish([...urgent, old])
    expect(await taken(3)).toBe('at19 old at21')
  })

  it('lets namespaces take turns, and has one that comes later wait for nobody else’s backlog', async () => {
    const of = (namespace: string, stages: string) =>
      stages.split(' ').map((stage, ms) => someWork({ namespace, stage, scheduledAt: after(ms) }))
    await queue().publish([...of('a', 'a1 a2 a3 a4'), ...of('b', 'b1 b2')])
    const late = someWork({ namespace: 'c', stage: 'c1', scheduledAt: after(60_000) })
    await queue().publish([late])
    expect(await taken(7)).toBe('a1 b1 c1 a2 b2 a3 a4')
  })

  it('lets priority go ahead between namespaces, by a bounded number of turns', async () => {
    const urgent = Array.from({ length: 40 }, () => someWork({ namespace: 'a', stage: 'a', priority: 1 }))
    const others = Array.from({ length: 10 }, () => someWork({ namespace: 'b', stage: 'b' }))
    await queue().publish([...others, ...urgent])
    const order = (await taken(50)).split(' ')
    const first = order.indexOf('b')
    expect(first).toBeGreaterThan(5)
    expect(first).toBeLessThan(40)
    // From then on they share.
    const next = order.slice(first, first + 10)
    expect(next.filter((stage) => stage === 'b').length).toBeGreaterThan(3)
  })

  it('has no namespace make up for the turns that it was not there for', async () => {
    await queue().publish(Array.from({ length: 10 }, () => someWork({ namespace: 'a' })))
    await taken(10)
    const of = (namespace: string) =>
      [1, 2, 3].map((n) => someWork({ namespace, stage: `${namespace}${n}`, scheduledAt: after(n) }))
    await queue().publish([...of('b'), ...of('a')])
    expect(await taken(6)).toBe('b1 a1 b2 a2 b3 a3')
  })

  it('has nobody who comes pay for those who went ahead by priority', async () => {
    const urgent = Array.from({ length: 5 }, () => someWork({ namespace: 'a', stage: 'a', priority: 1 }))
    const others = Array.from({ length: 9 }, () => someWork({ namespace: 'b', stage: 'b' }))
    await queue().publish([...others, ...urgent])
    const order: string[] = []
    const consumer = queue().consume(['default'], { concurrency: 1 }, async ({ stage }) => {
      if (order.push(stage) !== 5) return
      await queue().publish([someWork({ namespace: 'c', stage: 'c' })])
      await arrived()
    })
    await eventually(() => expect(order).toHaveLength(15))
    expect(order.slice(0, 8).join(' ')).toMatch(/^a a a a a (b )?c b/)
    await consumer.close()
  })

  it('takes from its queues in turn, however much one of them holds', async () => {
    const many = Array.from({ length: 5 }, (_, n) => someWork({ stage: `d${n}` }))
    await queue().publish([...many, someWork({ queue: 'heavy', stage: 'h', scheduledAt: after(60_000) })])
    expect(await taken(6, ['default', 'heavy'])).toBe('d0 h d1 d2 d3 d4')
  })
}
