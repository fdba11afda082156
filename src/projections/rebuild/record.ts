// What is on record of each projection's newest rebuild: a row, which whoever asks for it, watches it or does it shares.
import type { ClientBase } from 'pg'
import { START } from '../../ports/event-store.ts'
import type { Drift, Listed } from '../findings.ts'
import { describePoison, type Poison } from '../poison.ts'
import type { Projection } from '../projection.ts'
import { dropTables, schemasOf } from './shadow-tables.ts'

type Client = Pick<ClientBase, 'query'>

type RebuildStatus = 'running' | 'swapped' | 'failed' | 'cancelled'
export type RebuildPhase = 'queued' | 'replaying' | 'indexing' | 'comparing' | 'held' | 'swapping' | 'done'

/** How the rows that were built differ from the live ones as both were at one position, or why that is not known. */
export type Difference = ({ readonly position: number } & Listed<Drift>) | { readonly notCompared: string }

export type Rebuild = {
  readonly id: string
  readonly name: string
  readonly version: number
  readonly status: RebuildStatus
  readonly phase: RebuildPhase
  /** It waits to be swapped in by somebody who has looked at the difference. */
  readonly hold: boolean
  readonly reason: string
  readonly requestedBy: string
  readonly requestedAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  readonly position: number
  /** Of the log, as it was when last looked at. */
  readonly head: number
  /** How many it has applied. */
  readonly events: number
  readonly eventsPerSecond: number
  readonly etaSeconds: number | null
  readonly error: string | null
  readonly difference: Difference | null
}

/** Somebody has cancelled the rebuild, or asked for another. */
export class RebuildEnded extends Error {
  constructor(name: string) {
    super(`the rebuild of ${name} was ended`)
    this.name = 'RebuildEnded'
  }
}

const COLUMNS = `name, id, version, status, phase, hold, reason, requested_by AS "requestedBy", requested_at AS "requestedAt",
  started_at AS "startedAt", finished_at AS "finishedAt", position, head, events, events_per_second AS "eventsPerSecond",
  eta_seconds AS "etaSeconds", error, difference`

/** The newest of each projection. */
export async function readRebuilds(client: Client): Promise<readonly Rebuild[]> {
  const { rows } = await client.query(`SELECT ${COLUMNS} FROM projection_rebuilds ORDER BY requested_at, name`)
  return rows.map((row) => ({
    ...row,
    position: Number(row.position),
    head: Number(row.head),
    events: Number(row.events),
  }))
}

type Request = {
  readonly name: string
  readonly version: number
  readonly by: string
  readonly reason: string
  readonly hold: boolean
}

/** False where one is running already that makes the same version. */
export async function requestRebuild(client: Client, { name, version, by, reason, hold }: Request): Promise<boolean> {
  const { rowCount } = await client.query(
    `INSERT INTO projection_rebuilds AS r (name, id, version, status, phase, hold, reason, requested_by, requested_at, position,
       head, events, events_per_second, updated_at)
     VALUES ($1, gen_random_uuid(), $2, 'running', 'queued', $3, $4, $5, now(), ${START}, ${START}, 0, 0, now())
     ON CONFLICT (name) DO UPDATE SET id = excluded.id, version = excluded.version, status = 'running', phase = 'queued',
       hold = excluded.hold, reason = excluded.reason, requested_by = excluded.requested_by, requested_at = now(),
       started_at = NULL, finished_at = NULL, position = ${START}, head = ${START}, events = 0, events_per_second = 0,
       eta_seconds = NULL, error = NULL, failed_position = NULL, failed_event = NULL, difference = NULL, updated_at = now()
     WHERE r.status <> 'running' OR r.version <> excluded.version`,
    [name, version, hold, reason, by],
  )
  return rowCount === 1
}

/** Ends one that is running. False where none is. */
export async function cancelRebuild(client: Client, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `UPDATE projection_rebuilds SET status = 'cancelled', phase = 'done', eta_seconds = NULL, finished_at = now(), updated_at = now()
     WHERE name = $1 AND status = 'running'`,
    [name],
  )
  return rowCount === 1
}

/** Drops what a rebuild has built that has ended without being swapped in. What holds the tables is not waited for long. */
export async function dropIfEnded(client: Client, { name, tables }: Projection): Promise<void> {
  await client.query(`SET LOCAL lock_timeout = '1s'`)
  const { rowCount } = await client.query(
    `SELECT FROM projection_rebuilds WHERE name = $1 AND status IN ('cancelled', 'failed') FOR UPDATE`,
    [name],
  )
  if (rowCount === 1) await dropTables(client, (await schemasOf(client)).next, tables)
}

/** Lets one that is held be swapped in. False where none is. */
export async function releaseRebuild(client: Client, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `UPDATE projection_rebuilds SET hold = false, updated_at = now() WHERE name = $1 AND status = 'running' AND phase = 'held'`,
    [name],
  )
  return rowCount === 1
}

/** Keeps everybody else from it until the transaction ends. @throws RebuildEnded */
export async function lockRebuild(
  client: Client,
  name: string,
  id: string,
): Promise<{ position: number; hold: boolean; skips: number; version: number; begun: boolean }> {
  const { rows } = await client.query({
    name: 'rebuild-lock',
    text: `SELECT position, hold, skips, version, started_at IS NOT NULL AS begun FROM projection_rebuilds WHERE name = $1 AND id = $2 AND status = 'running' FOR UPDATE`,
    values: [name, id],
  })
  if (rows[0] === undefined) throw new RebuildEnded(name)
  return { ...rows[0], position: Number(rows[0].position) }
}

/** Sets a rebuild that is locked to its beginning. */
export const beginRebuild = (client: Client, name: string, version: number, skips: number) =>
  client.query(
    `UPDATE projection_rebuilds SET version = $2, skips = $3, position = ${START}, events = 0, started_at = now(),
       phase = 'replaying', updated_at = now() WHERE name = $1`,
    [name, version, skips],
  )

/** Has a rebuild that is locked begin anew. */
export const beginAnew = (client: Client, name: string) =>
  client.query('UPDATE projection_rebuilds SET started_at = NULL WHERE name = $1', [name])

export type Progress = {
  readonly position: number
  /** How many more were applied. */
  readonly events: number
  readonly head: number
  readonly eventsPerSecond: number
  readonly etaSeconds: number | undefined
}

/** Moves a rebuild that is locked. */
export const moveRebuild = (client: Client, name: string, progress: Progress) =>
  client.query({
    name: 'rebuild-move',
    text: `UPDATE projection_rebuilds SET error = NULL, position = $2, events = events + $3, head = $4, events_per_second = $5, eta_seconds = $6,
       updated_at = now() WHERE name = $1`,
    values: [name, progress.position, progress.events, progress.head, progress.eventsPerSecond, progress.etaSeconds],
  })

/** @throws RebuildEnded */
export async function enterPhase(
  client: Client,
  { name, id }: Pick<Rebuild, 'name' | 'id'>,
  phase: RebuildPhase,
  difference?: Difference,
): Promise<void> {
  const { rowCount } = await client.query(
    `UPDATE projection_rebuilds SET phase = $3, difference = coalesce($4, difference), updated_at = now()
     WHERE name = $1 AND id = $2 AND status = 'running'`,
    [name, id, phase, difference === undefined ? null : JSON.stringify(difference).replaceAll('\\u0000', '\\ufffd')],
  )
  if (rowCount !== 1) throw new RebuildEnded(name)
}

/** An event that cannot be taken, or rows that do not fit together. */
export type Failure = Poison | { readonly error: Error }

export const describeFailure = (failure: Failure): string =>
  'event' in failure ? describePoison(failure) : failure.error.message

/** Says what keeps a rebuild from going on, until it does. */
export const noteObstacle = (client: Client, name: string, id: string, what: string) =>
  client.query(
    `UPDATE projection_rebuilds SET error = $3, updated_at = now() WHERE name = $1 AND id = $2 AND status = 'running'`,
    [name, id, what.replaceAll('\0', '\ufffd')],
  )

/** Ends a rebuild that cannot go on, and drops what it has built. */
export async function failRebuild(client: Client, projection: Projection, id: string, failure: Failure): Promise<void> {
  const { name, tables } = projection
  const { rowCount } = await client.query(
    `UPDATE projection_rebuilds SET status = 'failed', phase = 'done', error = $3, failed_position = $4, failed_event = $5,
       eta_seconds = NULL, finished_at = now(), updated_at = now() WHERE name = $1 AND id = $2 AND status = 'running'`,
    [
      ...[name, id, describeFailure(failure).replaceAll('\0', '\ufffd')],
      ...('event' in failure ? [failure.event.position, JSON.stringify(failure.event)] : [null, null]),
    ],
  )
  if (rowCount === 1) await dropTables(client, (await schemasOf(client)).next, tables)
}

/** Ends a rebuild that is locked and has been swapped in. */
export const endRebuild = (client: Client, name: string, position: number) =>
  client.query(
    `UPDATE projection_rebuilds SET status = 'swapped', phase = 'done', error = NULL, position = $2, eta_seconds = 0, finished_at = now(),
       updated_at = now() WHERE name = $1`,
    [name, position],
  )
