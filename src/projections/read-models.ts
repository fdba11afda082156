import type { Pool } from 'pg'
import { START } from '../ports/event-store.ts'
import { projections } from './all.ts'

const tables = projections.flatMap((projection) => projection.tables)

/**
 * Empties the read models, or those of the projections named, and sets their checkpoints before the first event; a running
 * projector then builds them again.
 */
export async function resetReadModels(pool: Pool, names?: readonly string[]): Promise<void> {
  const reset = projections.filter(({ name }) => names?.includes(name) ?? true)
  if (reset.length === 0) return
  const moved = reset.map(({ name, version }) => `('${name}', ${version}, ${START}, 'running', now())`).join(', ')
  // One message is one transaction. The checkpoints go first: that is the order in which a projector takes its locks.
  await pool.query(`
    INSERT INTO checkpoints (name, version, position, status, updated_at) VALUES ${moved}
      ON CONFLICT (name) DO UPDATE SET version = excluded.version, position = excluded.position, status = 'running',
        error = NULL, failed_position = NULL, failed_event = NULL, event_at = NULL, updated_at = now();
    TRUNCATE ${reset.flatMap((projection) => projection.tables).join(', ')}`)
}

/** A hash of the rows of each table, whatever order they stand in. Equal logs give equal hashes. */
export async function hashReadModels(pool: Pool): Promise<Readonly<Record<string, string>>> {
  const hashes: Record<string, string> = {}
  for (const table of tables) {
    const { rows } = await pool.query(
      `SELECT count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) || ':' ||
         coalesce(sum(hashtextextended(t::text, 1)::numeric), 0) AS hash FROM ${table} t`,
    )
    hashes[table] = rows[0].hash
  }
  return hashes
}
