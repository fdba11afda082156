// How many events a second the projector takes when it catches up: whole runs in order, and many runs under way at once.
import { randomUUID } from 'node:crypto'
import { startProjector } from '../src/projections/start.ts'
import { createReached } from '../src/queries/reached.ts'
import { silent, startTestPostgres } from '../test/support/postgres.ts'
import { type RecordedLog, recordedLog } from '../test/support/recorded-log.ts'
import { completedRun } from '../test/support/runs.ts'

const RUNS = 12_000
const BATCH = Number(process.argv[2] ?? 5_000)

/** `width` runs are under way at once, each in turn recording its next event. */
function logOf(runs: number, width: number): RecordedLog {
  const log = recordedLog()
  for (let begun = 0; begun < runs; begun += width) {
    const under = Array.from({ length: Math.min(width, runs - begun) }, () => completedRun(randomUUID()))
    for (let at = 0; at < 17; at++) for (const { stream, events } of under) log.record(stream, events.slice(at, at + 1))
  }
  return log
}

const server = await startTestPostgres()
try {
  for (const width of [1, 200, 4_000]) {
    const log = logOf(RUNS, width)
    const { pool } = await server.createReadModels()
    const stop = new AbortController()
    const cpu = process.cpuUsage()
    const begin = performance.now()
    const projector = startProjector({ store: log, pool, logger: silent, signal: stop.signal, batchSize: BATCH })
    await createReached(pool)(log.events.length - 1, 600_000)
    const seconds = (performance.now() - begin) / 1_000
    const used = process.cpuUsage(cpu)
    const own = ((used.user + used.system) / 1e6).toFixed(2)
    console.log(
      `${width} runs at once: ${log.events.length} events in ${seconds.toFixed(2)} s = ${Math.round(log.events.length / seconds)} events/s (own CPU ${own} s)`,
    )
    stop.abort()
    await projector.stopped
  }
} finally {
  await server.stop()
}
