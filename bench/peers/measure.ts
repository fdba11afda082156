import { performance } from 'node:perf_hooks'

export interface Load {
  readonly concurrency: number
  /** No run is started after this time; those under way are awaited and counted. */
  readonly seconds: number
  readonly maxRuns: number
}

export interface Measurement {
  readonly runs: number
  readonly elapsedMs: number
  readonly p50Ms: number
  readonly p99Ms: number
}

const STUCK_AFTER_MS = 60_000

/**
 * A closed loop: as many lanes as the concurrency, each starts its next run when its last one has completed. All lanes
 * are drained before the clock stops, so a system that advances its runs in step is not favoured by where the cut falls.
 */
export async function measure(run: () => Promise<void>, load: Load): Promise<Measurement> {
  const latencies: number[] = []
  const startedAt = performance.now()
  const deadline = startedAt + load.seconds * 1000
  let started = 0
  let failed = false

  const lane = async () => {
    while (!failed && started < load.maxRuns && performance.now() < deadline) {
      started += 1
      const runStartedAt = performance.now()
      try {
        await run()
      } catch (error) {
        failed = true
        throw error
      }
      latencies.push(performance.now() - runStartedAt)
    }
  }

  const stuck = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => stuck.reject(new Error(`${started - latencies.length} runs did not complete in time`)),
    load.seconds * 1000 + STUCK_AFTER_MS,
  )
  try {
    await Promise.race([Promise.all(Array.from({ length: load.concurrency }, lane)), stuck.promise])
  } finally {
    clearTimeout(timer)
  }
  const elapsedMs = performance.now() - startedAt

  latencies.sort((a, b) => a - b)
  return {
    runs: latencies.length,
    elapsedMs,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
  }
}

/** Nearest rank, on values in ascending order. */
function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}
