// Restoring a run: how long it takes until a run with 10,000 events in its stream is accepted anew, and how fast events fold.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedEventStore } from '../src/adapters/event-store/embedded.ts'
import { createHandle } from '../src/commands/handle.ts'
import { newId } from '../src/commands/new-id.ts'
import { createWorkflowCommands } from '../src/commands/register-workflow.ts'
import { createRestoreExecution } from '../src/commands/restore-execution.ts'
import { createStartExecution } from '../src/commands/start-execution.ts'
import type { StageReport } from '../src/domain/execution/commands.ts'
import { executionDecider } from '../src/domain/execution/decide.ts'
import { type ExecutionEvent, executionStream } from '../src/domain/execution/events.ts'
import type { Execution } from '../src/domain/execution/state.ts'

const EVENTS = 10_000
const TIMES = 30
const LIMIT_MS = 100

const caller = { namespace: 'default', actor: 'user:bench', nowMs: Date.now() }
const at = new Date(caller.nowMs).toISOString()

const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-restore-'))
const store = await EmbeddedEventStore.open(folder)
const handle = createHandle(store)
try {
  // A few stages that say often how far they are, and many that each say it seldom.
  for (const stages of [10, 500]) console.log(JSON.stringify(await measure(stages)))
} finally {
  await store.close()
  await rm(folder, { recursive: true })
}

async function measure(stages: number) {
  const id = await longRun(stages)
  const restore = createRestoreExecution({ handle, store })
  await restore(caller, id, {})
  const took: number[] = []
  for (let n = 0; n < TIMES; n++) {
    const began = performance.now()
    await restore(caller, id, {})
    took.push(performance.now() - began)
  }
  took.sort((a, b) => a - b)
  const worst = took.at(-1)!
  if (worst > LIMIT_MS) process.exitCode = 1
  return {
    name: 'restore',
    stages,
    events: EVENTS,
    p50Ms: round(took[TIMES >> 1]!),
    maxMs: round(worst),
    limitMs: LIMIT_MS,
    ...(await fold(id)),
  }
}

/** A run of one stage after another, all but the last of which completed, with as many events as there are to be. */
async function longRun(stages: number): Promise<string> {
  const names = Array.from({ length: stages }, (_, n) => `stage-${n}`)
  const name = `restore-${stages}`
  const uses = (n: number) => ({ uses: 'noop', needs: n === 0 ? [] : [names[n - 1]!] })
  const document = { name, stages: Object.fromEntries(names.map((stage, n) => [stage, uses(n)])) }
  await createWorkflowCommands(handle).register(caller, name, document)
  const { id } = await createStartExecution({ handle, store })(caller, { workflow: name })
  // ExecutionStarted; of each stage StageScheduled, StageStarted and StageCompleted, which the last has not; checkpoints.
  const checkpoints = EVENTS - 1 - 3 * stages + 1
  const report = (command: StageReport) =>
    handle(executionDecider, executionStream(id), command, { ...caller, correlationId: id, at })
  for (const [n, stage] of names.entries()) {
    const about = { stage, attempt: 1, worker: 'bench', at }
    await report({ type: 'StartStage', ...about })
    const share = Math.floor((checkpoints * (n + 1)) / stages) - Math.floor((checkpoints * n) / stages)
    await Promise.all(
      Array.from({ length: share }, (_, at) =>
        report({ type: 'CheckpointStage', ...about, sequence: at + 1, state: { done: at, of: share, file: newId() } }),
      ),
    )
    if (n < stages - 1) await report({ type: 'CompleteStage', ...about, output: { artefact: `${stage}.tar.gz` } })
  }
  return id
}

async function fold(id: string) {
  const events: ExecutionEvent[] = []
  for await (const batch of store.readStream(executionStream(id)))
    events.push(...(batch as unknown as ExecutionEvent[]))
  if (events.length !== EVENTS) throw new Error(`the run has ${events.length} events, not ${EVENTS}`)
  const began = performance.now()
  for (let n = 0; n < TIMES; n++) events.reduce<Execution>(executionDecider.evolve, executionDecider.initialState)
  const seconds = (performance.now() - began) / 1000
  return { foldedPerSecond: Math.round((EVENTS * TIMES) / seconds) }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
