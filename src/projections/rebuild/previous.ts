// The rows that were live before a rebuild was swapped in: they are kept, so that one can go back to them.
import type { ClientBase } from 'pg'
import type { Projection } from '../projection.ts'
import { areThere, dropTables, exchange, schemasOf } from './shadow-tables.ts'

type Client = Pick<ClientBase, 'query'>

/** What is kept of a projection: its version, and the position that its rows stand at. */
export type Previous = {
  readonly name: string
  readonly version: number
  readonly position: number
  readonly replacedAt: Date
}

export async function readAllPrevious(client: Client): Promise<readonly Previous[]> {
  const { rows } = await client.query(
    'SELECT name, version, position, replaced_at AS "replacedAt" FROM projection_previous',
  )
  return rows.map((row) => ({ ...row, position: Number(row.position) }))
}

export const readPrevious = async (client: Client, name: string): Promise<Previous | undefined> =>
  (await readAllPrevious(client)).find((one) => one.name === name)

export const keep = (client: Client, name: string, version: number, position: number) =>
  client.query(
    `INSERT INTO projection_previous (name, version, position, replaced_at) VALUES ($1, $2, $3, now())
     ON CONFLICT (name) DO UPDATE SET version = excluded.version, position = excluded.position, replaced_at = now()`,
    [name, version, position],
  )

/** Says what the live rows are now, other than by following the log. */
export const setCheckpoint = (client: Client, name: string, version: number, position: number) =>
  client.query(
    `INSERT INTO checkpoints (name, version, position, status, updated_at) VALUES ($1, $2, $3, 'running', now())
     ON CONFLICT (name) DO UPDATE SET version = excluded.version, position = excluded.position, status = 'running',
       error = NULL, failed_position = NULL, failed_event = NULL, updated_at = now()`,
    [name, version, position],
  )

/** Whether nothing is being built that would be in the way. */
export async function isFree(client: Client, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT FROM projection_rebuilds WHERE name = $1 AND status = 'running' FOR UPDATE`,
    [name],
  )
  return rowCount === 0
}

/**
 * Exchanges the live rows, whose checkpoint is locked, and those that were kept, from whose position the projector then goes on.
 * Answers that position.
 */
export async function goBack(client: Client, { name, tables }: Projection, kept: Previous): Promise<number> {
  const schemas = await schemasOf(client)
  await dropTables(client, schemas.next, tables)
  await exchange(client, schemas, tables)
  const { rows } = await client.query('SELECT version, position FROM checkpoints WHERE name = $1', [name])
  await keep(client, name, rows[0].version, Number(rows[0].position))
  await setCheckpoint(client, name, kept.version, kept.position)
  return kept.position
}

/** Drops what is kept. False where nothing is. */
export async function forget(client: Client, { name, tables }: Projection): Promise<boolean> {
  const { previous } = await schemasOf(client)
  const { rowCount } = await client.query('DELETE FROM projection_previous WHERE name = $1', [name])
  if (await areThere(client, previous, tables)) await dropTables(client, previous, tables)
  return rowCount === 1
}
