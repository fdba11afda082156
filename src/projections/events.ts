import type { RecordedEvent } from '../domain/message.ts'
import { Rows } from './copy.ts'
import type { Projection, Write } from './projection.ts'

const COLUMNS =
  'position, id, stream, revision, type, version, namespace, at, actor, correlation_id, causation_id, command_id, data'

/** The feed for audits: every event as it stands in the log. */
export const events: Projection = {
  name: 'events',
  version: 1,
  tables: ['events'],
  rowForEach: 'position',
  streams: '',
  handles: 'everything',
  apply(batch): readonly Write[] {
    const rows = new Rows(COLUMNS.split(',').length)
    for (const event of batch) addRow(rows, event)
    return [{ kind: 'copy', table: 'events', columns: COLUMNS, rows: rows.finish(), count: rows.count }]
  },
}

function addRow(rows: Rows, event: RecordedEvent): void {
  const { namespace, actor, correlationId, causationId, commandId } = event.metadata
  rows.row()
  rows.bigint(event.position)
  rows.uuid(event.id)
  rows.text(event.stream)
  rows.bigint(event.revision)
  rows.text(event.type)
  rows.int(event.version)
  rows.text(namespace)
  rows.time(event.at)
  rows.text(actor)
  rows.uuid(correlationId)
  rows.uuid(causationId)
  rows.uuid(commandId)
  rows.json(JSON.stringify(event.data))
}
