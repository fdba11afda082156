// Snapshots of reactors live in the event store as `snapshot-<reactor>`; they only save replaying, and may be lost.
import { v7 as uuidv7 } from 'uuid'
import type { Json, NewEvent } from '../domain/message.ts'
import type { EventStore } from '../ports/event-store.ts'

/** A part of a dump, as text; an append has a limit, and a dump has none. */
type SnapshotTaken = {
  readonly type: 'SnapshotTaken'
  readonly data: {
    readonly reactorVersion: number
    readonly position: number
    readonly part: number
    readonly parts: number
    readonly state: string
  }
}

/** Characters of a part; JSON escapes and UTF-8 make at most about four bytes of each. */
const PART_LENGTH = 200_000

const streamOf = (name: string): string => `snapshot-${name}`

/** A reactor's fold of the log up to a position; `version` is that of the fold's shape. */
export type Snapshot = {
  readonly name: string
  readonly version: number
  readonly position: number
  readonly state: Json
}

/** Appends the snapshot, then lets go of older ones. */
export async function writeSnapshot(store: EventStore, snapshot: Snapshot): Promise<void> {
  const { name, version, position } = snapshot
  const text = JSON.stringify(snapshot.state)
  const parts = Math.ceil(text.length / PART_LENGTH)
  const commandId = uuidv7()
  const at = new Date().toISOString()
  for (let part = 0; part < parts; part++) {
    const event: NewEvent<SnapshotTaken> = {
      id: uuidv7(),
      type: 'SnapshotTaken',
      version: 1,
      at,
      data: {
        reactorVersion: version,
        position,
        part,
        parts,
        state: text.slice(part * PART_LENGTH, (part + 1) * PART_LENGTH),
      },
      metadata: { namespace: 'system', correlationId: commandId, commandId, actor: `system:${name}` },
    }
    await store.append(streamOf(name), 'any', [event])
  }
  await store.truncate(streamOf(name), parts)
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
      const expected = data.parts - 1 - found.length
      // A crash between two parts leaves a torn snapshot at the end; the one before it is whole.
      if (found.length > 0 && (data.position !== found[0]!.position || data.part !== expected)) found.length = 0
      if (found.length === 0 && data.part !== data.parts - 1) continue
      found.push(data)
      if (found.length < data.parts) continue
      if (data.reactorVersion !== version) return undefined
      const text = found.reverse().map(({ state }) => state)
      return { position: data.position, state: JSON.parse(text.join('')) as Json }
    }
  }
  return undefined
}
