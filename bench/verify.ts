// The checker over a log of a million events: how fast it is, and what memory it takes along the way. Runs of five stages, of
// which many are under way at once, and some never end.

import { LogChecker } from '../src/checker/log-checker.ts'
import { newId } from '../src/commands/new-id.ts'
import type { ExecutionEvent } from '../src/domain/execution/events.ts'
import type { RecordedEvent } from '../src/domain/message.ts'
import { OpenWork } from '../src/verification/open-work.ts'
import { decidedLog } from '../test/support/decided-log.ts'
import { completed, stage, started, workflow } from '../test/support/executions.ts'

const TOTAL = 1_000_000
const UNDER_WAY = 2_000
const REPORTS = 4
/** Every so many runs one goes no further than its first stage. */
const LEFT_OPEN = 50

const names = ['one', 'two', 'three', 'four', 'five']
const definition = workflow(names.map((name, at) => stage(name, { needs: at === 0 ? [] : [names[at - 1]!] })))
const batches = decidedLog(definition, ...names.flatMap((name) => [started(name), completed(name)]))
const began = performance.now()
const checker = new LogChecker({}, (event, invariant, what) => {
  throw new Error(`${event.stream} revision ${event.revision}: invariant ${invariant}: ${what}`)
})
const open = new OpenWork()
let position = 0
let checkedMs = 0

check()
checker.end()
report(true)

function check(): void {
  for (let runs = 0, next = TOTAL / REPORTS; position < TOTAL; runs += UNDER_WAY) {
    const under = Array.from({ length: UNDER_WAY }, (_, at) => ({
      stream: `execution-${newId()}`,
      revision: 0,
      batches: (runs + at) % LEFT_OPEN === 0 ? batches.slice(0, 2) : batches,
    }))
    for (let step = 0; step < batches.length; step++)
      for (const run of under) takeBatch(run, run.batches[step] ?? [], step)
    if (position < next) continue
    next += TOTAL / REPORTS
    report(false)
  }
}

/** Parsed anew, as an event from the log is, so that what is kept of it counts. */
function takeBatch(run: { stream: string; revision: number }, events: readonly ExecutionEvent[], step: number): void {
  const metadata = { namespace: 'default', correlationId: newId(), commandId: newId(), actor: 'user:bench' }
  const at = new Date(Date.UTC(2030, 0, 1) + step * 1_000).toISOString()
  const recorded = events.map(({ type, data }) => {
    const { stream } = run
    const event = {
      id: newId(),
      type,
      version: 1,
      stream,
      revision: run.revision++,
      position: position++,
      at,
      data,
      metadata,
    }
    return JSON.parse(JSON.stringify(event)) as RecordedEvent<ExecutionEvent>
  })
  const from = performance.now()
  for (const event of recorded) {
    checker.take(event)
    open.apply(event)
  }
  checkedMs += performance.now() - from
}

function report(last: boolean): void {
  if (last) globalThis.gc?.()
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage()
  const mb = (bytes: number): number => Math.round(bytes / 1e6)
  console.log(
    JSON.stringify({
      ...{ name: 'verify', events: checker.events, ...checker.streams },
      eventsPerSecond: Math.round((checker.events / checkedMs) * 1_000),
      ...{ rssMb: mb(rss), heapMb: mb(heapUsed), idsMb: mb(arrayBuffers) },
      ...(last
        ? { openAttempts: open.state().attempts.length, seconds: Math.round((performance.now() - began) / 1_000) }
        : {}),
    }),
  )
}
