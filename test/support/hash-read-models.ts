import type { Pool } from 'pg'
import { projections } from '../../src/projections/all.ts'

const tables = projections.flatMap((projection) => projection.tables)

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
