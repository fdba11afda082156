// How far a projection has got, and the one transaction in which its rows and that number move together.
import type { ClientBase, Pool } from 'pg'
import type { RecordedEvent } from '../domain/message.ts'
import { START } from '../ports/event-store.ts'
import { copyInto } from './copy.ts'
import { Poisoned } from './poison.ts'
import { eventsFor, type Projection, type Write } from './projection.ts'
import { goBack, isFree, readPrevious } from './rebuild/previous.ts'
import { requestRebuild } from './rebuild/record.ts'
import { inTransaction } from './transaction.ts'

/** The checkpoint lies before where the reader of the log began: rows were exchanged, or PostgreSQL lost its last moments. */
export class CheckpointMoved extends Error {
  constructor(name: string) {
    super(`the checkpoint of ${name} went back; reading again from there`)
    this.name = 'CheckpointMoved'
  }
}

/**
 * Makes the checkpoint where there is none, and answers the position. Where the rows are of another version, those of this one that
 * were kept take their place; else they are built beside them, which go on serving.
 */
export function openCheckpoint(pool: Pool, projection: Projection): Promise<number> {
  const { name, version, tables } = projection
  return inTransaction(pool, async (client) => {
    await client.query(
      `INSERT INTO checkpoints (name, version, position, status, updated_at) VALUES ($1, $2, $3, 'running', now())
       ON CONFLICT (name) DO NOTHING`,
      [name, version, START],
    )
    const { rows } = await client.query('SELECT version, position FROM checkpoints WHERE name = $1 FOR UPDATE', [name])
    const { version: found, position } = rows[0] as { version: number; position: string }
    if (found === version) return Number(position)
    const kept = await readPrevious(client, name)
    if (kept?.version === version && (await isFree(client, name))) return goBack(client, projection, kept)
    if (Number(position) === START && (await isEmpty(client, tables)))
      await client.query('UPDATE checkpoints SET version = $2 WHERE name = $1', [name, version])
    else {
      const reason = `the program makes version ${version} of it, and its rows are of version ${found}`
      await requestRebuild(client, { name, version, by: 'system:projector', reason, hold: false })
    }
    return Number(position)
  })
}

async function isEmpty(client: ClientBase, tables: readonly string[]): Promise<boolean> {
  const { rows } = await client.query(
    `SELECT ${tables.map((name) => `EXISTS (SELECT FROM ${name})`).join(' OR ')} AS any`,
  )
  return !rows[0].any
}

/**
 * Applies what the projection has not seen of `events` and moves its checkpoint to `position`, both or neither.
 * `from` is where the caller believes the checkpoint to be. Answers where it is now.
 * @throws Poisoned | CheckpointMoved
 */
export function advance(
  pool: Pool,
  projection: Projection,
  from: number,
  events: readonly RecordedEvent[],
  position: number,
): Promise<number> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query({
      name: 'checkpoint-lock',
      text: 'SELECT position FROM checkpoints WHERE name = $1 FOR UPDATE',
      values: [projection.name],
    })
    const at = Number(rows[0]?.position)
    if (rows.length === 0 || at < from) throw new CheckpointMoved(projection.name)
    if (at >= position) return at
    const unseen =
      at === from && (events[0]?.position ?? position) > at ? events : events.filter((e) => e.position > at)
    await applyEvents(client, projection, unseen)
    await client.query({
      name: 'checkpoint-move',
      text: `UPDATE checkpoints SET position = $2, event_at = coalesce($3, event_at), status = 'running', error = NULL,
               failed_position = NULL, failed_event = NULL, updated_at = now() WHERE name = $1`,
      values: [projection.name, position, unseen.at(-1)?.at ?? null],
    })
    return position
  })
}

/**
 * Moves the checkpoints of projections for which nothing was in a batch, in one statement for all of them. Answers the names
 * of those that stood where the caller believes them to be; each of the others has to be advanced by itself.
 */
export async function skip(
  pool: Pool,
  idle: readonly { readonly projection: Projection; readonly position: number }[],
  { position, events }: { readonly position: number; readonly events: readonly RecordedEvent[] },
): Promise<ReadonlySet<string>> {
  const columns = [idle.map(({ projection }) => projection.name), idle.map((one) => one.position)]
  const { rows } = await inTransaction(pool, (client) =>
    client.query({
      name: 'checkpoints-skip',
      // Who resets read models takes these locks in an order of its own; nobody waits for it here.
      text: `WITH idle AS (
               SELECT name FROM checkpoints JOIN unnest($1::text[], $2::bigint[]) AS at (name, position)
                 USING (name, position) FOR UPDATE OF checkpoints SKIP LOCKED)
             UPDATE checkpoints SET position = $3, event_at = coalesce($4, event_at), status = 'running', error = NULL,
               failed_position = NULL, failed_event = NULL, updated_at = now()
             FROM idle WHERE checkpoints.name = idle.name RETURNING checkpoints.name`,
      values: [...columns, position, events.at(-1)?.at ?? null],
    }),
  )
  return new Set(rows.map(({ name }) => name as string))
}

export type Checkpoint = {
  readonly version: number
  readonly position: number
  readonly status: string
  readonly error: string | null
}

/** Every checkpoint by the name of its projection. */
export async function readCheckpoints(client: Pick<ClientBase, 'query'>): Promise<ReadonlyMap<string, Checkpoint>> {
  const { rows } = await client.query('SELECT name, version, position, status, error FROM checkpoints')
  return new Map(rows.map(({ name, position, ...row }) => [name, { ...row, position: Number(position) }]))
}

/** Records that the projection stands before `event` and why. */
export async function recordFailure(pool: Pool, name: string, event: RecordedEvent, reason: string): Promise<void> {
  await pool.query(
    `UPDATE checkpoints SET status = 'failed', error = $2, failed_position = $3, failed_event = $4, updated_at = now()
     WHERE name = $1 AND position < $3`,
    [name, reason.replaceAll('\0', '\ufffd'), event.position, JSON.stringify(event)],
  )
}

/** Applies events to the tables that the connection sees under their names, and leaves the checkpoint alone; answers how many rows that added. @throws Poisoned */
export async function applyEvents(
  client: ClientBase,
  projection: Projection,
  events: readonly RecordedEvent[],
): Promise<number> {
  let added = 0
  for (const write of await fold(client, projection, events)) {
    await perform(client, write)
    if (write.kind === 'copy') added += write.count
  }
  return added
}

async function fold(
  client: ClientBase,
  projection: Projection,
  events: readonly RecordedEvent[],
): Promise<readonly Write[]> {
  const before = await projection.before?.(client, events).catch((error: Error) => {
    // What the database says may pass with time; that an event lacks what is asked of it does not.
    throw error instanceof TypeError || isAboutData(error) ? new Poisoned(error) : error
  })
  try {
    return projection.apply(eventsFor(projection, events), before)
  } catch (error) {
    throw new Poisoned(error)
  }
}

async function perform(client: ClientBase, write: Write): Promise<void> {
  const touched = await send(client, write).catch((error: Error) => {
    throw isAboutData(error) ? new Poisoned(error) : error
  })
  if (touched === write.count || write.count === 'any') return
  const what = write.kind === 'copy' ? write.table : write.name
  throw new Poisoned(
    new Error(`${what} touched ${touched} rows, not ${write.count}: a row is missing that should be there`),
  )
}

async function send(client: ClientBase, write: Write): Promise<number> {
  if (write.count === 0) return 0
  if (write.kind === 'copy') return copyInto(client, write.table, write.columns, write.rows)
  const { name, sql: text, columns } = write
  return (await client.query({ name, text, values: [...columns] })).rowCount ?? 0
}

/** SQLSTATE classes that speak of the values: cardinality, data, integrity, limits. All others may pass with time. */
export const isAboutData = (error: Error): boolean => /^(?:21|22|23|54)/.test((error as { code?: string }).code ?? '')
