// Which tables were read whole, as PostgreSQL counts it: whatever the plans were, also those of prepared statements and of the ORM.
import type { Pool } from 'pg'

type Counted = { readonly table: string; readonly rows: number; readonly scans: number; readonly read: number }

/** More rows than that are a large table. */
const LARGE = 10_000

export async function watchPlans(pool: Pool): Promise<{ since(): Promise<readonly Counted[]> }> {
  const look = async () => {
    // What other connections have counted they tell once a second at the latest, when they are idle.
    await pool.query('SELECT pg_stat_force_next_flush()')
    const { rows } = await pool.query(
      `SELECT s.relname AS table, c.reltuples::float8 AS rows, s.seq_scan::float8 AS scans, s.seq_tup_read::float8 AS read
       FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid WHERE s.schemaname = current_schema()`,
    )
    return new Map(rows.map((row) => [row.table as string, row as Counted]))
  }
  let before = await look()
  return {
    async since() {
      const now = await look()
      const counted = [...now.values()].map((one) => ({
        ...one,
        scans: one.scans - (before.get(one.table)?.scans ?? 0),
        read: one.read - (before.get(one.table)?.read ?? 0),
      }))
      before = now
      return counted
    },
  }
}

export const largeScans = (counted: readonly Counted[]): readonly string[] =>
  counted.filter(({ rows, read }) => rows > LARGE && read > LARGE).map(({ table }) => table)
