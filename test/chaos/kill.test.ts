// The whole program is killed at random moments, again and again on one data directory, while clients work with it.
import { expect, it } from 'vitest'
import { seededChance } from '../support/chance.ts'
import { type FaultKind, type Struck, strike } from '../support/faults.ts'
import { completedIn, judge, nothing } from '../support/judge.ts'
import { Scene } from '../support/scene.ts'

const DECK: readonly FaultKind[] = ['kill', 'kill', 'kill', 'kill-at-start']
/** A slow machine gets less done between two kills, so there are more of them until enough was done; but not for ever. */
const LEAST_PASSES = 4
const MOST_PASSES = 15
const WITHIN_MS = 300_000
/** Less than this, and the test has shown nothing: of work that was done, and of work that a kill interrupted. */
const LEAST_COMPLETED = 80
const LEAST_LOST = 30

it('what was acknowledged survives every kill, happens once, and ends', { timeout: 480_000 }, async (t) => {
  const scene = await Scene.make(seededChance(), t)
  const struck: Struck = {}
  const until = Date.now() + WITHIN_MS
  await strike(scene, DECK, {
    struck,
    isEnough: async (passes) =>
      passes >= MOST_PASSES ||
      Date.now() > until ||
      (passes >= LEAST_PASSES && (await completedIn(scene.log)) >= LEAST_COMPLETED),
  })
  const { found, figures } = await judge(scene, await scene.heal(), struck)
  console.log(JSON.stringify(figures))
  expect(found).toEqual(nothing)
  expect(figures.completed).toBeGreaterThanOrEqual(LEAST_COMPLETED)
  expect(figures.attemptsLost).toBeGreaterThanOrEqual(LEAST_LOST)
})
