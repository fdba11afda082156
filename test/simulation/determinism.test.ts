// A failure is only worth something where it can be had again.
import { expect, it } from 'vitest'
import { planOf } from './plan.ts'
import { shrink } from './shrink.ts'
import { simulate } from './simulate.ts'

it.each([3, 4, 5, 6, 7, 8])('gives the same history for the same plan (seed %i)', async (seed) => {
  const first = await simulate(planOf(seed))
  // Whatever ran before leaves nothing behind.
  await simulate(planOf(seed + 1_000))
  const second = await simulate(planOf(seed))
  expect(second.fingerprint()).toBe(first.fingerprint())
  expect([second.steps, second.events, [...second.counts]]).toEqual([first.steps, first.events, [...first.counts]])
})

it('gives another history for another seed, and for another order of things alone', async () => {
  const plan = planOf(3)
  const [first, other, reordered] = [plan, planOf(4), { ...plan, seed: 4 }].map(simulate)
  const fingerprint = (await first!).fingerprint()
  expect((await other!).fingerprint()).not.toBe(fingerprint)
  expect((await reordered!).fingerprint()).not.toBe(fingerprint)
})

it('has plans of both profiles that survive being written down', () => {
  const plans = Array.from({ length: 50 }, (_, seed) => planOf(seed))
  expect(new Set(plans.map(({ profile }) => profile))).toEqual(new Set(['embedded', 'distributed']))
  expect(JSON.parse(JSON.stringify(plans))).toEqual(plans)
  expect(planOf(7, planOf(7).profile)).toEqual(planOf(7))
})

it('makes a plan smaller as long as it fails', async () => {
  const plan = planOf(12)
  const fails = async ({ mishaps, runs }: typeof plan) =>
    mishaps.some(({ kind }) => kind === 'crash') && runs.length > 0
  expect(await fails(plan)).toBe(true)
  const smallest = await shrink(plan, fails, 5_000)
  expect(smallest).toMatchObject({ mishaps: [{ kind: 'crash' }], acts: [], engines: 1, rates: {}, latencyMs: 0 })
  expect(smallest).not.toHaveProperty('schedule')
  expect(smallest.runs).toHaveLength(1)
  expect(smallest.workflows.flatMap(({ stages }) => stages)).toHaveLength(smallest.workflows.length)
})
