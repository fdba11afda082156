import type { EventStore } from '../../src/ports/event-store.ts'

/** Position of the last event that is not only on record: a command that is refused leaves none but that. */
export async function headBesidesAudit(store: Pick<EventStore, 'readAll'>): Promise<number> {
  let head = -1
  for await (const events of store.readAll())
    head = events.findLast(({ stream }) => !stream.startsWith('audit-'))?.position ?? head
  return head
}
