// Two thousand simulated runs, in two processes beside each other; and what the command says when something is wrong.
import { describe, expect, it } from 'vitest'
import { faultKinds, mishapKinds } from './faults.ts'
import { startSimulate } from './start-simulate.ts'

const RUNS = 1_000
type Totals = Readonly<Record<string, number>>

/** Without these many of each an all-error run would pass; what is counted is more than twice as much. */
const least: Totals = {
  ...Object.fromEntries([...faultKinds, ...mishapKinds].map((kind) => [kind, 20])),
  ...{ ExecutionCompleted: 800, ExecutionFailed: 800, ExecutionCancelled: 50, StageCompleted: 4_000, effects: 700 },
  ...{
    CapacityGranted: 1_500,
    StageDeferred: 1_000,
    PoolResized: 80,
    ExecutionDeferred: 80,
    ScheduleFired: 300,
    ScheduleQueued: 60,
  },
}

describe('npm run simulate', () => {
  it('breaks no promise in 2,000 runs, at more than 1,000 a minute', async () => {
    const runs = [1, 1 + RUNS].map((from) => startSimulate('--runs', String(RUNS), '--from', String(from), '--no-save'))
    let runsPerMinute = 0
    for (const { code, out, err } of await Promise.all(runs)) {
      expect(err).toBe('')
      expect(code).toBe(0)
      const totals = JSON.parse(out.trim().split('\n').at(-1)!) as Totals
      expect(totals.runs).toBe(RUNS)
      const few = Object.entries(least).filter(([name, count]) => (totals[name] ?? 0) < count)
      expect(few.map(([name, count]) => `${name}: ${totals[name] ?? 0} of ${count}`)).toEqual([])
      runsPerMinute += totals.runsPerMinute ?? 0
    }
    expect(runsPerMinute).toBeGreaterThan(1_000)
  }, 170_000)

  it.each([['--runs', 'many'], ['--profile', 'odd'], ['--what']])('says how it is used: %s', async (...given) => {
    const { code, err } = await startSimulate(...given)
    expect(code).toBe(2)
    expect(err).toContain('usage: npm run simulate')
  })
})
