// A hundred thousand open runs that wait for a time: what they cost to start and to keep, how long a restart takes with
// them, after a kill and after a stop, and how late each of them goes on.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { EmbeddedEventStore } from '../src/adapters/event-store/embedded.ts'
import { stopLeftover } from '../src/adapters/read-models/postmaster.ts'
import type { ExecutionEvent } from '../src/domain/execution/events.ts'
import type { RecordedEvent } from '../src/domain/message.ts'
import type { Asked, Figures } from './timers-program.ts'

const RESTART_WITHIN_MS = 10_000
const LATE_AT_MOST_MS = 1_000
/** After the last one is due: what has not come by then does not come. */
const GIVEN_UP_AFTER_MS = 60_000

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100000' },
    /** From the first start until the first timer is due; all runs have to be started, and the program twice, by then. */
    lead: { type: 'string', default: '180' },
    /** From the first timer that is due to the last. */
    spread: { type: 'string', default: '100' },
  },
})
const runs = Number(values.runs)
const firstDueMs = Date.now() + Number(values.lead) * 1_000
const spreadMs = Number(values.spread) * 1_000

const data = await mkdtemp(join(tmpdir(), 'millrace-bench-timers-'))
const programs: ChildProcess[] = []
try {
  const filling = await startProgram()
  ask(filling.child, { kind: 'start', runs, firstDueMs, spreadMs })
  print('timers-start', await told(filling.child, 'started'))

  filling.child.kill('SIGKILL')
  await once(filling.child, 'exit')
  const killed = await startProgram()
  print('timers-restart', { after: 'kill', ...killed.figures, limitMs: RESTART_WITHIN_MS })

  ask(killed.child, { kind: 'stop' })
  const { stopMs } = await told(killed.child, 'stopped')
  await once(killed.child, 'exit')
  const stopped = await startProgram()
  print('timers-restart', { after: 'stop', stopMs, ...stopped.figures, limitMs: RESTART_WITHIN_MS })
  if (Math.max(killed.figures.readyMs, stopped.figures.readyMs) > RESTART_WITHIN_MS) process.exitCode = 1

  const spare = firstDueMs - Date.now()
  if (spare < 0) throw new Error(`the first timer was due ${-spare} ms before everything stood; give more --lead`)
  const late = await lateness()
  print('timers-fired', { ...late, limitMs: LATE_AT_MOST_MS })
  if (late.fired < runs || late.maxMs > LATE_AT_MOST_MS) process.exitCode = 1
  ask(stopped.child, { kind: 'stop' })
  await once(stopped.child, 'exit')
} finally {
  for (const child of programs) child.kill('SIGKILL')
  await stopLeftover(join(data, 'postgres'))
  await rm(data, { recursive: true, maxRetries: 5 })
}

async function startProgram() {
  const child = fork(join(import.meta.dirname, 'timers-program.ts'), [data])
  programs.push(child)
  return { child, figures: await told(child, 'ready') }
}

function ask(child: ChildProcess, asked: Asked): void {
  child.send(asked)
}

/** The figures that the program tells under this name; whatever else it says, or its end, is an error. */
async function told<K extends keyof Figures>(child: ChildProcess, kind: K): Promise<Figures[K]> {
  const heard = new AbortController()
  const exit = once(child, 'exit', { signal: heard.signal }).then(([code]) => {
    throw new Error(`the program ended with ${code} before it was ${kind}`)
  })
  exit.catch(() => {})
  const [message] = await Promise.race([once(child, 'message'), exit])
  heard.abort()
  if (message.kind !== kind) throw new Error(`the program said ${message.kind} where ${kind} was due`)
  return message.figures
}

/** Follows the log from outside: from the time that a timer was due to when its event could be read from the disk. */
async function lateness() {
  const store = await EmbeddedEventStore.open(join(data, 'log'))
  const over = new AbortController()
  const dueMs = new Map<string, number>()
  const lateMs: number[] = []
  try {
    const givenUp = delay(firstDueMs + spreadMs + GIVEN_UP_AFTER_MS - Date.now(), undefined, { signal: over.signal })
    givenUp.then(() => over.abort()).catch(() => {})
    for await (const { events } of store.subscribe({ after: -1, prefixes: ['execution-'], signal: over.signal })) {
      const now = Date.now()
      for (const { stream, type, data } of events as readonly RecordedEvent<ExecutionEvent>[]) {
        if (type === 'StageScheduled') dueMs.set(stream, Date.parse(data.waitsFor?.until ?? ''))
        if (type === 'StageCompleted') lateMs.push(now - dueMs.get(stream)!)
      }
      if (lateMs.length >= runs) over.abort()
    }
  } finally {
    over.abort()
    await store.close()
  }
  lateMs.sort((a, b) => a - b)
  const at = (share: number): number => lateMs[Math.min(lateMs.length - 1, Math.floor(lateMs.length * share))] ?? -1
  return { fired: lateMs.length, earliestMs: at(0), p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}

function print(name: string, figures: object): void {
  console.log(JSON.stringify({ name, ...figures }))
}
