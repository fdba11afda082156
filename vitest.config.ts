import { defineConfig } from 'vitest/config'

// Fast: pure code and in-memory adapters. Waiting: real PostgreSQL, real brokers, real files, but mostly for a server to answer, to give up
// or to end, so that two files share the machine. Alone: programs that are tormented, and simulations, which take all of it.
const alone = [
  'test/chaos/{chaos,kill,stop,distributed,distributed-chaos}.test.ts',
  'test/simulation/{mutants,simulated-runs}.test.ts',
  // What they measure is time.
  'test/projections/growth.test.ts',
  'test/scenarios/wide.test.ts',
]
const waiting = [
  'test/adapters/**/*.test.ts',
  'test/projections/**/*.test.ts',
  'test/api/**/*.test.ts',
  'test/scenarios/**/*.test.ts',
  'test/cli/**/*.test.ts',
  'test/chaos/**/*.test.ts',
]
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'fast', include: ['test/**/*.test.ts'], exclude: [...alone, ...waiting], testTimeout: 20_000 } },
      {
        test: {
          name: 'waiting',
          include: waiting,
          exclude: alone,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'alone',
          include: alone,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
