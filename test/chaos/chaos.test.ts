// Every fault that there is, once each and in an order of the dice; `npm run chaos` does the same for as long as it is told.
import { expect, it } from 'vitest'
import { seededChance } from '../support/chance.ts'
import { kindsFor, type Struck, strike } from '../support/faults.ts'
import { judge, nothing } from '../support/judge.ts'
import { Scene } from '../support/scene.ts'

const DISK_MEGABYTES = 128
/** Less than this, and the test has shown nothing. */
const LEAST_COMPLETED = 80

it('no fault breaks what was promised', { timeout: 240_000 }, async (t) => {
  const scene = await Scene.make(seededChance(), t, DISK_MEGABYTES)
  if (scene.undivided !== undefined) console.log(`no disk is filled: ${scene.undivided}`)
  const kinds = kindsFor(scene)
  const struck: Struck = {}
  await strike(scene, kinds, { struck, isEnough: (passes) => passes === 1 })
  const { found, figures } = await judge(scene, await scene.heal(), struck)
  console.log(JSON.stringify(figures))
  expect(found).toEqual(nothing)
  expect(struck).toEqual(Object.fromEntries(kinds.map((kind) => [kind, 1])))
  expect(figures.completed).toBeGreaterThanOrEqual(LEAST_COMPLETED)
  if (kinds.includes('fill-disk')) expect(figures.refusals).toBeGreaterThan(0)
  expect(figures.rebuilds).toBeGreaterThan(0)
  expect(figures.archived).toBeGreaterThan(0)
  expect(figures.attemptsLost).toBeGreaterThan(0)
})
