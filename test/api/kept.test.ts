// Answers that are kept for a moment: how old one may be, and what it never is.
import { beforeEach, describe, expect, it } from 'vitest'
import { createMemoryCache } from '../../src/adapters/cache/memory.ts'
import { createKept, type Kept } from '../../src/api/kept.ts'
import { failureRoutes } from '../../src/api/routes/failures.ts'
import type { Queries } from '../../src/queries/queries.ts'

let nowMs: number
/** Where the read models are. */
let position: number
let kept: Kept
let asked: number
beforeEach(() => {
  nowMs = 1_000_000
  position = 10
  asked = 0
  const queries = {
    position: async () => position,
    reached: async (wanted: number) => wanted <= position,
    projections: async () => [],
    head: async () => 100,
  } as Partial<Queries> as Queries
  kept = createKept({ cache: createMemoryCache({ monotonicMs: () => nowMs }), queries })
})

const ask = (question: readonly unknown[], minPosition?: number) =>
  kept(question, minPosition === undefined ? {} : { minPosition }, ['executions'], async () => ({
    asked: ++asked,
    position,
  }))

describe('an answer that is kept', () => {
  it('is given to everybody who asks the same within a second', async () => {
    expect(await ask(['failures', 'default', { limit: 5 }])).toEqual({ asked: 1, position: 10 })
    expect(await ask(['failures', 'default', { limit: 5 }])).toEqual({ asked: 1, position: 10 })
    expect(await ask(['failures', 'default', { limit: 6 }])).toMatchObject({ asked: 2 })
    expect(await ask(['failures', 'other', { limit: 5 }])).toMatchObject({ asked: 3 })
    nowMs += 1_001
    expect(await ask(['failures', 'default', { limit: 5 }])).toMatchObject({ asked: 4 })
  })

  it('is never older than the position that somebody asks for', async () => {
    await ask(['q'])
    expect(await ask(['q'], 10)).toEqual({ asked: 1, position: 10 })
    position = 12
    expect(await ask(['q'], 12)).toEqual({ asked: 2, position: 12 })
    expect(await ask(['q'], 11)).toEqual({ asked: 2, position: 12 })
    await expect(ask(['q'], 13)).rejects.toThrow('have not reached position 13')
  })

  it('counts as of before it was asked for, whatever came meanwhile', async () => {
    await kept(['q'], {}, ['executions'], async () => {
      position = 50
      return { perhaps: 'without what came' }
    })
    expect(await ask(['q'], 50)).toEqual({ asked: 1, position: 50 })
  })

  it('is none where the question failed', async () => {
    const failing = kept(['q'], {}, ['executions'], () => Promise.reject(new Error('no such pool')))
    await expect(failing).rejects.toThrow('no such pool')
    expect(await ask(['q'])).toMatchObject({ asked: 1 })
  })
})

it('what came while an answer waited is part of it', async () => {
  const clock = { now: () => nowMs }
  const reached = Promise.withResolvers<boolean>()
  const queries = {
    reached: () => reached.promise,
    position: async () => 30,
    failures: async (_: string, { to }: { to: string }) => ({ items: [to], more: false }),
  } as unknown as Queries
  const cache = createMemoryCache({ monotonicMs: () => nowMs })
  const { statistics } = failureRoutes({ queries, clock, cache, commands: {} } as never)
  const query = { groupBy: ['class'], limit: 50, minPosition: 20 }
  const asked = { params: { namespace: 'default' }, headers: {}, query }
  const answer = statistics.handle(asked as never, { code() {} } as never, {} as never)
  nowMs += 5_000
  reached.resolve(true)
  expect(await answer).toMatchObject({ items: [new Date(nowMs + 1).toISOString()] })
})
