// The embedded log alone: a million events appended and scanned, with the memory that it takes along the way.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedEventStore } from '../src/adapters/event-store/embedded.ts'
import { newId } from '../src/commands/new-id.ts'
import type { NewEvent } from '../src/domain/message.ts'

const TOTAL = 1_000_000
const PER_APPEND = 3
const TOGETHER = 256
const REPORTS = 4

const event = (stage: string): NewEvent => ({
  id: newId(),
  type: 'StageCompleted',
  version: 1,
  at: new Date().toISOString(),
  data: { stage, attempt: 1, output: { artefact: `${stage}.tar.gz`, bytes: 123_456 } },
  metadata: { namespace: 'default', correlationId: newId(), commandId: newId(), actor: 'worker:bench' },
})
const memoryMb = () => Math.round(process.memoryUsage().rss / 1e6)

const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-log-'))
const store = await EmbeddedEventStore.open(folder)
try {
  await append()
  await scan()
} finally {
  await store.close()
  await rm(folder, { recursive: true })
}

async function append(): Promise<void> {
  let appended = 0
  const began = performance.now()
  const report = every(TOTAL / REPORTS, began, 'log-append')
  const one = async (): Promise<void> => {
    while (appended < TOTAL) {
      const count = Math.min(PER_APPEND, TOTAL - appended)
      appended += count
      await store.append(
        `execution-${newId()}`,
        'noStream',
        Array.from({ length: count }, () => event('build')),
      )
      report(appended)
    }
  }
  await Promise.all(Array.from({ length: TOGETHER }, one))
}

async function scan(): Promise<void> {
  let scanned = 0
  const began = performance.now()
  const report = every(TOTAL / REPORTS, began, 'log-scan')
  for await (const events of store.readAll()) {
    scanned += events.length
    report(scanned)
  }
  if (scanned !== TOTAL) throw new Error(`scanned ${scanned} of ${TOTAL}`)
}

/** Prints a line each time another `step` is done. */
function every(step: number, began: number, name: string): (done: number) => void {
  let next = step
  return (done) => {
    if (done < next) return
    next += step
    const eventsPerSecond = Math.round((done / (performance.now() - began)) * 1000)
    console.log(JSON.stringify({ name, events: done, eventsPerSecond, rssMb: memoryMb() }))
  }
}
