// A snapshot of a reactor at a position is the fold of the log up to it. The fold is made by the program itself: all that it
// starts follows a log that ends there, is stopped, and leaves snapshots of its own.
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import { createMemoryQueue } from '../../src/adapters/work-queue/memory.ts'
import { createApp } from '../../src/app.ts'
import type { Timer } from '../../src/domain/execution/timers.ts'
import type { Json, NewEvent, RecordedEvent } from '../../src/domain/message.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import { EPOCH_MS } from './gates.ts'
import { read } from './memory-log.ts'
import { noQueries } from './processes.ts'
import type { World } from './world.ts'

type Taken = { readonly position: number; readonly part: number; readonly parts: number; readonly state: string }
type Dumps = ReadonlyMap<string, Json>

/** More would cost more than all the rest of a simulated run. */
const CHECKED = 2

export async function faultsOfSnapshots({ log, observer }: World): Promise<string[]> {
  const snapshots = log.events.filter(({ type, data }) => type === 'SnapshotTaken' && (data as Taken).parts === 1)
  const step = Math.max(Math.ceil(snapshots.length / CHECKED), 1)
  const faults: string[] = []
  for (const snapshot of snapshots.filter((_, index) => index % step === step - 1)) {
    const { position, state } = snapshot.data as Taken
    const dumps = await foldedTo(position, log.events)
    if (dumps instanceof Error) {
      faults.push(`unexpected: the log up to ${position} cannot be folded: ${dumps.stack}`)
      continue
    }
    const folded = dumps.get(snapshot.stream)
    const passedMs = observer.latestMs(snapshot.position)
    const [taken, again] = comparable(snapshot.stream, JSON.parse(state) as Json, folded ?? [], passedMs)
    if (taken === again) continue
    const what = `the snapshot at ${position} is ${taken.slice(0, 500)}, and the fold ${again.slice(0, 500)}`
    faults.push(`${snapshot.stream} revision ${snapshot.revision}: invariant 31: ${what}`)
  }
  return faults
}

async function foldedTo(position: number, events: readonly RecordedEvent[]): Promise<Dumps | Error> {
  const stumbled = Promise.withResolvers<Error>()
  const hear = ({ err }: { err?: Error }) => stumbled.resolve(err ?? new Error('a reactor stumbled'))
  const dumps = new Map<string, Json>()
  const clock: Clock = { now: () => EPOCH_MS, monotonicMs: () => 0, after: () => () => {} }
  const keep = (stream: string, [event]: readonly NewEvent[]): void => {
    if (event && stream.startsWith('snapshot-')) dumps.set(stream, JSON.parse((event.data as Taken).state) as Json)
  }
  const store = endingAt(position, events, keep)
  const ports = {
    ...{ store, clock, queue: createMemoryQueue(clock), leases: createMemoryLeases(clock) },
    logs: { open: () => ({ write: () => {}, close: async () => {} }), read: async () => [], remove: async () => {} },
  }
  const reactors = createApp(ports, noQueries, { info: () => {}, warn: hear, error: hear }).startReactors()
  const failure = await Promise.race([reactors.ready, stumbled.promise])
  await reactors.stop()
  return failure instanceof Error ? failure : dumps
}

/** The log as it was at a position, but for snapshots; nothing that is appended to it comes back. */
function endingAt(
  position: number,
  all: readonly RecordedEvent[],
  appended: (stream: string, events: readonly NewEvent[]) => void,
): EventStore {
  const events = all.slice(0, position + 1).filter(({ stream }) => !stream.startsWith('snapshot-'))
  const revisionOf = (stream: string) => events.findLast((event) => event.stream === stream)?.revision ?? -1
  return {
    async append(stream, _, given) {
      appended(stream, given)
      return { revision: revisionOf(stream) + given.length, position }
    },
    async *readStream(stream, options = {}) {
      const ofStream = events.filter((event) => event.stream === stream)
      yield read(ofStream, 0, options)
    },
    async *readAll() {
      yield events
    },
    async *subscribe({ prefixes = [''], signal }) {
      const followed = events.filter(({ stream }) => prefixes.some((prefix) => stream.startsWith(prefix)))
      yield { events: followed, position, caughtUp: true }
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    },
    async truncate() {},
    putBack: async () => false,
    head: async () => position,
    async close() {},
  }
}

/**
 * Both as text, in one order. What a reactor has begun to do is in its memory and not in the log: a timer that was due when
 * the snapshot was taken may have been put off or be gone.
 */
function comparable(stream: string, taken: Json, folded: Json, passedMs: number): readonly [string, string] {
  if (stream !== 'snapshot-timekeeper') return [inOrder(taken), inOrder(folded)]
  const timers = folded as unknown as readonly Timer[]
  const due = new Set(timers.filter(({ dueMs }) => dueMs <= passedMs).map(({ key }) => key))
  const pending = (dump: Json) => (dump as unknown as readonly Timer[]).filter(({ key }) => !due.has(key))
  return [inOrder(pending(taken) as unknown as Json), inOrder(pending(folded) as unknown as Json)]
}

/** Members and items in the order of their text: what is in memory has no order that counts. */
function inOrder(json: Json): string {
  if (Array.isArray(json)) return `[${json.map(inOrder).sort().join(',')}]`
  if (typeof json !== 'object' || json === null) return JSON.stringify(json)
  const members = Object.entries(json).map(([key, value]) => `${JSON.stringify(key)}:${inOrder(value)}`)
  return `{${members.sort().join(',')}}`
}
