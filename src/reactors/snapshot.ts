// Snapshots of reactors live in the event store as `snapshot-<reactor>`; they only save replaying, and may be lost.
import { v7 as uuidv7 } from 'uuid'
import type { Json, NewEvent } from '../domain/message.ts'
import { type EventStore, SNAPSHOTS } from '../ports/event-store.ts'

/** A part of a dump, as text; an append has a limit, and a dump has none. */
type SnapshotTaken = {
  readonly type: 'SnapshotTaken'
  readonly data: {
    readonly reactorVersion: number
    readonly position: number
    readonly part: number
    /** How many there are; only the last one has to say it, since none is known before the last is written. */
    readonly parts?: number
    readonly state: string
  }
}

/** Characters of a part; JSON escapes and UTF-8 make at most about four bytes of each. */
const PART_LENGTH = 200_000
/** How many entries of a list are turned into text in one breath. */
const ENTRIES_AT_ONCE = 500

const streamOf = (name: string): string => `${SNAPSHOTS}${name}`

/** A reactor's fold of the log up to a position; `version` is that of the fold's shape. */
export type Snapshot = {
  readonly name: string
  readonly version: number
  readonly position: number
  readonly state: Json
}

/**
 * Appends the snapshot, then lets go of older ones. A list is turned into text bit by bit, so that a large one stops nothing
 * else for long; anything else at once.
 */
export async function writeSnapshot(store: EventStore, snapshot: Snapshot): Promise<void> {
  const { name, version, position } = snapshot
  const commandId = uuidv7()
  const write = async (part: number, state: string, last: boolean): Promise<void> => {
    const event: NewEvent<SnapshotTaken> = {
      id: uuidv7(),
      type: 'SnapshotTaken',
      version: 1,
      at: new Date().toISOString(),
      data: { reactorVersion: version, position, part, ...(last ? { parts: part + 1 } : {}), state },
      metadata: { namespace: 'system', correlationId: commandId, commandId, actor: `system:${name}` },
    }
    await store.append(streamOf(name), 'any', [event])
  }
  let part = 0
  let text = ''
  for (const piece of textOf(snapshot.state)) {
    text += piece
    for (; text.length > PART_LENGTH; text = text.slice(PART_LENGTH))
      await write(part++, text.slice(0, PART_LENGTH), false)
  }
  await write(part, text, true)
  await store.truncate(streamOf(name), part + 1)
}

/** The pieces of the JSON. */
function textOf(state: Json): Iterable<string> {
  return Array.isArray(state) ? textOfList(state) : [JSON.stringify(state)]
}

function* textOfList(entries: readonly Json[]): Generator<string> {
  yield '['
  for (let at = 0; at < entries.length; at += ENTRIES_AT_ONCE) {
    if (at > 0) yield ','
    yield JSON.stringify(entries.slice(at, at + ENTRIES_AT_ONCE)).slice(1, -1)
  }
  yield ']'
}

/** The newest whole snapshot of this version; undefined where there is none, and everything is replayed. */
export async function readSnapshot(
  store: EventStore,
  name: string,
  version: number,
): Promise<{ position: number; state: Json } | undefined> {
  const found: SnapshotTaken['data'][] = []
  for await (const events of store.readStream(streamOf(name), { direction: 'backwards' })) {
    for (const { data } of events as unknown as readonly { data: SnapshotTaken['data'] }[]) {
      const parts = found[0]?.parts ?? data.parts
      const expected = (parts ?? 0) - 1 - found.length
      // A crash between two parts leaves a torn snapshot at the end; the one before it is whole.
      if (found.length > 0 && (data.position !== found[0]!.position || data.part !== expected)) found.length = 0
      if (found.length === 0 && data.part + 1 !== data.parts) continue
      found.push(data)
      if (found.length < found[0]!.parts!) continue
      if (data.reactorVersion !== version) return undefined
      const text = found.reverse().map(({ state }) => state)
      return { position: data.position, state: JSON.parse(text.join('')) as Json }
    }
  }
  return undefined
}
