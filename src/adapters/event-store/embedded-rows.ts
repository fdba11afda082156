// Events as the log's file has them.
import type { NewEvent, RecordedEvent } from '../../domain/message.ts'
import { MAX_APPEND_BYTES } from '../../ports/event-store.ts'
import type { StoredRow } from './embedded-log.ts'

/** The events as the thread wants them; `bytes` is exact wherever it comes near the limit. */
export function toCells(events: readonly NewEvent[]): { cells: (string | number)[]; bytes: number } {
  const cells: (string | number)[] = []
  let length = 0
  let metadata: NewEvent['metadata'] | undefined
  let metadataText = ''
  for (const event of events) {
    // Events of one command share their metadata.
    if (event.metadata !== metadata) {
      metadata = event.metadata
      metadataText = JSON.stringify(metadata)
    }
    const data = JSON.stringify(event.data)
    length += data.length + metadataText.length
    cells.push(event.id, event.type, event.version, event.at, data, metadataText)
  }
  // Length counts UTF-16 units, each of which is at most three bytes.
  const bytes = length * 3 <= MAX_APPEND_BYTES ? length : cells.reduce<number>((sum, cell) => sum + sizeOf(cell), 0)
  return { cells, bytes }
}

const sizeOf = (cell: string | number): number => (typeof cell === 'string' ? Buffer.byteLength(cell) : 8)

export const toRow = ({ data, metadata, ...event }: RecordedEvent): StoredRow => ({
  ...event,
  data: JSON.stringify(data),
  metadata: JSON.stringify(metadata),
})

export function recorded(row: StoredRow): RecordedEvent {
  const { id, data, metadata } = row
  const dashed = `${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20)}`
  return { ...row, id: dashed, data: JSON.parse(data), metadata: JSON.parse(metadata) } as RecordedEvent
}
