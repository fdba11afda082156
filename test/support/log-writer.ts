// A program that appends to a log and follows it until it is told to stop or killed, and says each acknowledgement and
// what it saw in a line of JSON:
// node log-writer.ts <folder> <name> <bytes of an event>
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import { START, StoreUnavailable, WrongExpectedRevision } from '../../src/ports/event-store.ts'
import { anEvent } from '../contracts/event-store.ts'

/** `last` is the revision and `position` the position of the newest of `count` events. */
export type Acknowledged = {
  readonly stream: string
  readonly count: number
  readonly last: number
  readonly position: number
}

/** Positions in the order in which the follower met them. */
export type Followed = { readonly saw: readonly number[] }

/** An append that failed; the program ends after a few of them. */
export type Refused = { readonly refused: string; readonly nothingWritten: boolean }

const SHARED = 'execution-shared'
const ENOUGH_REFUSALS = 8
const [folder = '', name = '', bytes = '100'] = process.argv.slice(2)
const store = await EmbeddedEventStore.open(folder)
const text = 'x'.repeat(Number(bytes))
let shared = -1
let stopped = false
process.once('SIGTERM', () => {
  stopped = true
})

const some = (count: number) => Array.from({ length: count }, (_, n) => anEvent('Written', { by: name, n, text }))
const say = (line: Acknowledged | Followed | Refused): Promise<void> =>
  new Promise((resolve) => process.stdout.write(`${JSON.stringify(line)}\n`, () => resolve()))

const following = new AbortController()
const followed = (async () => {
  for await (const { events } of store.subscribe({ after: START, signal: following.signal }))
    if (events.length > 0) await say({ saw: events.map(({ position }) => position) })
})()

let refusals = 0
for (let turn = 0; !stopped; turn++) {
  const stream = `execution-${name}-${turn}`
  const count = 1 + (turn % 4)
  const shared = appendToShared().catch(refused)
  const own = await store.append(stream, 'noStream', some(count)).catch(refused)
  if (own) await say({ stream, count, last: own.revision, position: own.position })
  await shared
  if (refusals >= ENOUGH_REFUSALS) stopped = true
}
following.abort()
await followed
await store.close()

async function refused(error: unknown): Promise<undefined> {
  if (!(error instanceof StoreUnavailable)) throw error
  refusals++
  await say({ refused: error.message, nothingWritten: error.nothingWritten })
}

/** Whoever else writes to the stream is seen by the refusal, which says where the stream stands. */
async function appendToShared(): Promise<void> {
  for (;;) {
    try {
      const { revision, position } = await store.append(SHARED, shared === -1 ? 'noStream' : shared, some(1))
      shared = revision
      return await say({ stream: SHARED, count: 1, last: revision, position })
    } catch (error) {
      if (!(error instanceof WrongExpectedRevision)) throw error
      shared = error.actual === 'noStream' ? -1 : error.actual
    }
  }
}
