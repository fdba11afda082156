import type { ExecutionEvent } from '../../src/domain/execution/events.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'

/** The events of one command that was accepted, and when that was. */
export type Decided = { readonly at: string; readonly events: readonly ExecutionEvent[] }

export const STREAM = 'execution-0190b6a0-0000-7000-8000-000000000001'

/** A run's events as the log would hold them, each command a batch. */
export function asRecorded(batches: readonly Decided[], stream = STREAM, position = 0): RecordedEvent[] {
  const log: RecordedEvent[] = []
  for (const [batch, { at, events }] of batches.entries()) {
    const commandId = String(batch).padStart(12, '0')
    const metadata = { namespace: 'default', correlationId: 'c', commandId, actor: 'user:ada' }
    for (const event of events) {
      const place = { stream, revision: log.length, position: position + log.length }
      log.push({ id: `${stream}-${log.length}`, ...event, version: 1, at, metadata, ...place } as RecordedEvent)
    }
  }
  return log
}
