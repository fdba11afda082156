import { auditEventVersions } from './audit/events.ts'
import { executionEventVersions, executionUpcasters, type Upcaster } from './execution/upcast.ts'
import { type DomainEvent, parseStream, type RecordedEvent } from './message.ts'
import { poolEventVersions } from './pool/events.ts'
import { projectionEventVersions } from './projection/events.ts'
import { removalEventVersions, retentionEventVersions } from './retention/events.ts'
import { scheduleEventVersions } from './schedule/events.ts'
import { workerEventVersions } from './worker/events.ts'
import { workflowEventVersions, workflowUpcasters } from './workflow/events.ts'

const versions: { readonly [type: string]: number } = {
  ...executionEventVersions,
  ...workflowEventVersions,
  ...poolEventVersions,
  ...scheduleEventVersions,
  ...workerEventVersions,
  ...projectionEventVersions,
  ...auditEventVersions,
  ...retentionEventVersions,
  ...removalEventVersions,
}
const CATEGORIES = new Set([
  ...[
    'execution',
    'workflow',
    'pool',
    'group',
    'schedule',
    'worker',
    'projection',
    'audit',
    'retention',
    'removal',
    'archive',
  ],
])
const upcasters: { readonly [type: string]: readonly Upcaster[] } = { ...executionUpcasters, ...workflowUpcasters }

/** The schema version that events of a type are written in. */
export const versionOf = (type: string): number => versions[type] ?? 1

/** An event that this program is too old for. */
export class EventFromTheFuture extends Error {
  constructor({ type, version, stream, revision }: RecordedEvent) {
    const known = versions[type]
    const what = known === undefined ? `does not know ${type}` : `knows version ${known} of ${type}, not ${version}`
    super(`${stream} was written by a newer Millrace: this one ${what} (revision ${revision})`)
    this.name = 'EventFromTheFuture'
  }
}

/**
 * An event as the program knows it today, whatever version it was written in; itself where that is the newest.
 * @throws EventFromTheFuture
 */
export function upcast<E extends DomainEvent>(event: RecordedEvent<E>): RecordedEvent<E> {
  const stored = event as unknown as RecordedEvent
  const newest = versions[stored.type]
  if (newest === stored.version) return event
  // Of other aggregates nothing is known here, and so nothing has changed.
  if (newest === undefined && !CATEGORIES.has(parseStream(stored.stream).category)) return event
  if (newest === undefined || stored.version > newest) throw new EventFromTheFuture(stored)
  let { data } = stored
  for (const next of (upcasters[stored.type] ?? []).slice(stored.version - 1)) data = next({ at: stored.at, data })
  return { ...stored, version: newest, data } as unknown as RecordedEvent<E>
}
