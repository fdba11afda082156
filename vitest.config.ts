import { defineConfig } from 'vitest/config'

// Fast: pure code and in-memory adapters. Slow: real PostgreSQL, real processes, real files under load. Waiting: the same, but mostly for a
// server to give up or a process to end, so that two files share the machine.
const waiting = [
  'test/adapters/{leases-redis-faults,work-queue-kafka-faults,eventstoredb-follow-faults,eventstoredb-append-faults,reports-kafka,cache}.test.ts',
  'test/cli/**/*.test.ts',
  'test/projections/{rebuild,rebuild-faults,plans,projector,queries}.test.ts',
  'test/adapters/{check-schema,read-models,archive,torn-log,work-queue-kafka,stage-logs-kafka}.test.ts',
  'test/api/{verify,retention,retention-rows,audit-export,executions}.test.ts',
]
const slow = [
  'test/adapters/**/*.test.ts',
  'test/projections/**/*.test.ts',
  'test/api/**/*.test.ts',
  'test/scenarios/**/*.test.ts',
  'test/chaos/**/*.test.ts',
  'test/simulation/{mutants,simulated-runs}.test.ts',
]
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'fast', include: ['test/**/*.test.ts'], exclude: [...slow, ...waiting], testTimeout: 20_000 } },
      {
        test: {
          name: 'waiting',
          include: waiting,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'slow',
          include: slow,
          exclude: waiting,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
