// What the simulation has found once is mended, and stays so.
import { describe, expect, it } from 'vitest'
import { readRegressions } from './regressions.ts'
import { simulate } from './simulate.ts'

describe('a plan that has failed once', () => {
  for (const { name, found, plan } of readRegressions())
    it(`${name}: ${found.slice(0, 160)}`, async () => {
      expect((await simulate(plan)).faults).toEqual([])
    })
})
