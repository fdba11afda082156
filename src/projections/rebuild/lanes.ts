// Who looks which rebuilds are asked for, and has some of them done at once.
import type { Pool } from 'pg'
import { CheckpointMoved } from '../checkpoint.ts'
import type { Projection } from '../projection.ts'
import { BACKOFF_MS, pause } from '../retrying.ts'
import { inTransaction } from '../transaction.ts'
import { RebuildLane, type RebuildOptions } from './lane.ts'
import { describeFailure, dropIfEnded, noteObstacle, type Rebuild, RebuildEnded, readRebuilds } from './record.ts'

/** More would only share the same processors and the same disk. */
const AT_ONCE = 2
const LOOK_EVERY_MS = 250
/** Any number will do that no other program uses as the first half of its advisory locks in this database. */
const LOCK = 730_461_302

/** Runs until `signal` aborts and what is under way has stopped; nothing of it is lost. */
export async function runRebuilds(options: RebuildOptions, projections: readonly Projection[]): Promise<void> {
  const { signal, pool } = options
  const lanes = new Map<string, Promise<void>>()
  while (!signal.aborted) {
    // PostgreSQL may be away; then nothing is asked for.
    const asked = await readRebuilds(pool).catch((): readonly Rebuild[] => [])
    for (const rebuild of asked) {
      const projection = projections.find(({ name }) => name === rebuild.name)
      if (projection === undefined || rebuild.status !== 'running' || lanes.has(rebuild.name)) continue
      if (lanes.size >= AT_ONCE) break
      const lane = alone(pool, rebuild.name, (lost) =>
        runRebuild({ ...options, signal: AbortSignal.any([signal, lost]) }, projection, rebuild),
      ).then(() => void lanes.delete(rebuild.name))
      lanes.set(rebuild.name, lane)
    }
    await pause(LOOK_EVERY_MS, signal)
  }
  await Promise.all(lanes.values())
}

/** Runs until it has been swapped in, failed or cancelled, or `signal` aborts. Never rejects. */
async function runRebuild(options: RebuildOptions, projection: Projection, rebuild: Rebuild): Promise<void> {
  const { logger, signal } = options
  const about = { projection: projection.name, rebuild: rebuild.id }
  try {
    const outcome = await new RebuildLane(options, projection, rebuild.id).run()
    if (outcome === undefined) logger.info(about, `the read model ${projection.name} was built again and swapped in`)
    else logger.error(about, `the rebuild of ${projection.name} failed: ${describeFailure(outcome)}`)
  } catch (error) {
    if (error instanceof RebuildEnded) {
      logger.info(about, error.message)
      await inTransaction(options.pool, (client) => dropIfEnded(client, projection)).catch(() => {})
    }
    if (error instanceof CheckpointMoved) logger.warn(about, error.message)
    else if (!(error instanceof RebuildEnded) && !signal.aborted) {
      logger.error({ err: error, ...about }, `the rebuild of ${projection.name} stopped; it goes on by itself`)
      await noteObstacle(options.pool, projection.name, rebuild.id, (error as Error).message).catch(() => {})
      await pause(BACKOFF_MS.most, signal)
    }
  }
}

/**
 * Does it unless another projector does, which may be in another process: two would wait for each other where the database cannot see it.
 * The lock is the connection's, and `lost` aborts with that. Never rejects: what could not be done is asked for again.
 */
async function alone(pool: Pool, name: string, work: (lost: AbortSignal) => Promise<void>): Promise<void> {
  const client = await pool.connect().catch(() => undefined)
  if (client === undefined) return
  const lost = new AbortController()
  client.on('error', () => lost.abort())
  try {
    const { rows } = await client.query(
      `SELECT pg_try_advisory_lock($1, hashtext(current_schema() || '.' || $2)) AS taken`,
      [LOCK, name],
    )
    if (rows[0].taken) await work(lost.signal)
  } catch {
    // The connection is gone.
  } finally {
    client.release(true)
  }
}
