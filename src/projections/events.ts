import type { RecordedEvent } from '../domain/message.ts'
import { type Link, linkOf, NO_LINK, recordText } from './audit-record.ts'
import { plainText, Rows } from './copy.ts'
import type { Projection, Write } from './projection.ts'
import { agedRemovalsIn } from './removals.ts'

const COLUMNS = `position, id, stream, revision, type, version, namespace, at, actor, correlation_id, causation_id, command_id, data,
  command, source, reason, sequence, leads, hash`
// One that is there has its namespace from the first event on.
const MOVE_CHAINS = `
  INSERT INTO audit_chains (namespace, sequence, hash, command_id, position)
  SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::uuid[], $5::bigint[])
  ON CONFLICT (namespace) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash, command_id = excluded.command_id,
    position = excluded.position`

/** The end of a namespace's chain. */
type End = { readonly sequence: number; readonly hash: Link; readonly commandId: string; readonly position: number }
type Ends = Map<string, End>

/** The audit: every event as it stands in the log, linked to the one before it in its namespace. */
export const events: Projection = {
  name: 'events',
  version: 2,
  tables: ['events', 'audit_chains'],
  rowForEach: {
    ...{ table: 'events', column: 'position' },
    gone: (schema) =>
      `EXISTS (SELECT FROM ${schema}.audit_chains a WHERE a.namespace = c.namespace AND c.sequence <= a.removed_to)`,
  },
  streams: [''],
  handles: 'everything',
  async before(client, batch): Promise<Ends> {
    const namespaces = [...new Set(batch.map(({ metadata }) => plainText(metadata.namespace)))]
    const { rows } = await client.query({
      name: 'audit-chains',
      text: 'SELECT namespace, sequence, hash, command_id AS "commandId", position FROM audit_chains WHERE namespace = ANY($1)',
      values: [namespaces],
    })
    return new Map(
      rows.map(({ namespace, sequence, position, ...end }) => [
        namespace,
        { ...end, sequence: Number(sequence), position: Number(position) },
      ]),
    )
  },
  apply(batch, before): readonly Write[] {
    const ends: Ends = new Map(before as Ends)
    const moved = new Set<string>()
    const rows = new Rows(COLUMNS.split(',').length)
    for (const event of batch) moved.add(addRow(rows, event, ends))
    return [
      { kind: 'copy', table: 'events', columns: COLUMNS, rows: rows.finish(), count: rows.count },
      moveChains([...moved].map((namespace) => [namespace, ends.get(namespace)!] as const)),
      // By sequence, so it goes as well after the rows of what came later.
      ...agedRemovalsIn(['audit'], batch),
    ]
  },
}

/** Adds the event to its chain, and answers the namespace. */
function addRow(rows: Rows, event: RecordedEvent, ends: Ends): string {
  const { actor, correlationId, causationId, commandId, command, source, reason } = event.metadata
  const namespace = plainText(event.metadata.namespace)
  const data = JSON.stringify(event.data)
  const end = ends.get(namespace)
  const sequence = (end?.sequence ?? 0) + 1
  const { position, at, stream, revision, id, type, version } = event
  const text = recordText({
    ...{ namespace, sequence, position, at: instant(at), stream: plainText(stream), revision, id, type, version },
    ...{ actor: plainText(actor), command: command ?? null, source: source ?? null, reason: reason ?? null },
    ...{ correlationId, causationId: causationId ?? null, commandId, data },
  })
  const hash = linkOf(end?.hash ?? NO_LINK, text)
  ends.set(namespace, { sequence, hash, commandId, position })
  rows.row()
  rows.bigint(position)
  rows.uuid(id)
  rows.text(stream)
  rows.bigint(revision)
  rows.text(type)
  rows.int(version)
  rows.text(namespace)
  rows.time(at)
  rows.text(actor)
  rows.uuid(correlationId)
  rows.uuid(causationId)
  rows.uuid(commandId)
  rows.json(data)
  rows.text(command)
  rows.text(source)
  rows.text(reason)
  rows.bigint(sequence)
  // What a command decided stands together in the log.
  rows.bool(end?.commandId !== commandId)
  rows.text(hash)
  return namespace
}

/** As PostgreSQL gives it back. */
const instant = (at: string): string => (at.length === 24 && at.endsWith('Z') ? at : new Date(at).toISOString())

const moveChains = (ends: readonly (readonly [string, End])[]): Write => ({
  kind: 'merge',
  name: 'audit-chains-move',
  sql: MOVE_CHAINS,
  columns: [
    ends.map(([namespace]) => namespace),
    ends.map(([, { sequence }]) => sequence),
    ends.map(([, { hash }]) => hash),
    ends.map(([, { commandId }]) => commandId),
    ends.map(([, { position }]) => position),
  ],
  count: ends.length,
})
