// The simulation is worth what it finds: each mistake that is planted has to be found within a minute, and named.
import { describe, expect, it } from 'vitest'
import { mutants } from './mutants.ts'
import { startMutant, startSimulate } from './start-simulate.ts'

const LIMITS = ['--from', '1', '--minutes', '1', '--no-save'] as const

describe('a mistake in the program', () => {
  it.each(mutants.map(({ name, breaks }) => [name, breaks] as const))(
    '%s is found, as %j',
    async (name, breaks) => {
      const { code, out, err } = await startMutant(name, ...LIMITS)
      expect(out, 'it was not found within a minute').not.toContain('"runsPerMinute"')
      expect(code, err).toBe(1)
      const named = [...err.matchAll(/invariant (\d+)/g)].map(([, number]) => Number(number))
      expect(named, err).toEqual(expect.arrayContaining([expect.toBeOneOf([...breaks])]))
    },
    90_000,
  )

  it('is what is found: without one nothing is', async () => {
    const { code, err } = await startSimulate('--from', '1', '--runs', '300', '--no-save')
    expect(err).toBe('')
    expect(code).toBe(0)
  })

  it('is refused where the text that it changes is not there', async () => {
    const { code, err } = await startMutant('no-such-mutant', ...LIMITS)
    expect(code).toBe(1)
    expect(err).toContain('--mutant is one of skip-a-release')
  })
})
