import { defineConfig } from 'vitest/config'

// Fast: pure code and in-memory adapters. Slow: real PostgreSQL, real processes, real files under load.
const slow = [
  'test/adapters/**/*.test.ts',
  'test/projections/**/*.test.ts',
  'test/api/**/*.test.ts',
  'test/scenarios/**/*.test.ts',
  'test/chaos/**/*.test.ts',
  'test/cli/**/*.test.ts',
  'test/simulation/{mutants,simulated-runs}.test.ts',
]
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'fast', include: ['test/**/*.test.ts'], exclude: slow, testTimeout: 20_000 } },
      {
        test: {
          name: 'slow',
          include: slow,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
