// Events as EventStoreDB has them: the payload is JSON that its own tools can show, and what it has no place for (version
// and time of the event) stands in the metadata, beside ours.
import type { AllStreamRecordedEvent, EventData, RecordedEvent as ReadEvent } from '@eventstore/db-client'
import type { Metadata, NewEvent, RecordedEvent } from '../../domain/message.ts'

/** Somebody else writes to the same database, into streams that are named as ours are. */
export class ForeignEvent extends Error {
  constructor({ streamId, revision, type, id }: ReadEvent) {
    super(`${type} ${id} at ${streamId}@${revision} was not written by Millrace, whose database must be its own`)
    this.name = 'ForeignEvent'
  }
}

type StoredMetadata = Metadata & { readonly schemaVersion: number; readonly at: string }

/**
 * Turns everything into text once before the client sees it: what the client cannot serialise it leaves pending for ever.
 * `bytes` is what the server counts.
 * @throws TypeError for data that is no JSON
 */
export function toEventData(events: readonly NewEvent[]): { data: EventData[]; bytes: number } {
  const encoder = new TextEncoder()
  let bytes = 0
  const data = events.map(({ id, type, version, at, data, metadata }): EventData => {
    const text = JSON.stringify(data)
    if (text === undefined) throw new TypeError(`the data of ${type} ${id} is no JSON`)
    const stored: StoredMetadata = { ...metadata, schemaVersion: version, at }
    const about = encoder.encode(JSON.stringify(stored))
    bytes += Buffer.byteLength(text) + about.length + 2 * type.length
    return { id, type, contentType: 'application/json', data: data as Record<string, never>, metadata: about }
  })
  return { data, bytes }
}

/** @throws ForeignEvent */
export function recorded(event: ReadEvent, position: number): RecordedEvent {
  const { streamId: stream, revision, id, type, data } = event as AllStreamRecordedEvent
  const { schemaVersion: version, at, ...metadata } = (event.metadata ?? {}) as StoredMetadata
  if (typeof version !== 'number' || typeof data !== 'object') throw new ForeignEvent(event)
  return { id, type, version, stream, revision: Number(revision), position, at, data, metadata } as RecordedEvent
}

/**
 * A position is where the event's record begins in the server's log: a number of bytes that grows by more than one with each
 * event. Those of commit and prepare are the same since explicit transactions are gone.
 * @throws RangeError past 2^53 bytes, where numbers begin to lie
 */
export function toPosition(commit: bigint): number {
  if (commit > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError(`position ${commit} is too large to be exact`)
  return Number(commit)
}

/** Names that begin so are the server's own. */
export const isSystem = (stream: string): boolean => stream.startsWith('$')
