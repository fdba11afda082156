// Lines that came from workers of other processes, in a table of the database of the read models. They are no part of the log, so no
// rebuild makes them anew: they are as durable as the database is.
import type { Pool } from 'pg'
import type { LogLine, StageLogs } from '../../ports/stage-logs.ts'
import type { Lines } from './messages.ts'

const STAGE_LOGS = 'stage_logs'

const PUT = `
  INSERT INTO ${STAGE_LOGS} (execution_id, stage, attempt, line, at, stream, text)
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::timestamptz[], $6::text[], $7::text[]) ON CONFLICT DO NOTHING`
const READ = `
  SELECT line, at, stream, text FROM ${STAGE_LOGS}
  WHERE execution_id = $1 AND stage = $2 AND attempt = $3 AND line > $4 ORDER BY line LIMIT $5`

/** PostgreSQL's text has no NUL. */
const textOf = (text: string): string => text.replaceAll('\0', '\ufffd')

export async function putLines(pool: Pool, some: readonly Lines[]): Promise<void> {
  const all = some.flatMap(({ executionId, stage, attempt, lines }) =>
    lines.map((line) => [executionId, stage, attempt, line.line, line.at, line.stream, textOf(line.text)] as const),
  )
  if (all.length === 0) return
  const columns = [0, 1, 2, 3, 4, 5, 6].map((column) => all.map((row) => row[column]))
  await pool.query({ name: 'stage-logs-put', text: PUT, values: columns })
}

/** Lines of this process's own files first; where those have none, the table's. */
export const withTable = (own: StageLogs, pool: Pool): StageLogs => ({
  open: (...attempt) => own.open(...attempt),
  async read(executionId, stage, attempt, options = {}) {
    const lines = await own.read(executionId, stage, attempt, options)
    const { after = 0, limit = 1_000 } = options
    if (lines.length > 0 || limit <= 0) return lines
    const values = [executionId, stage, attempt, after, limit]
    const { rows } = await pool.query({ name: 'stage-logs', text: READ, values })
    return rows.map(
      (row): LogLine => ({ line: row.line, at: row.at.toISOString(), stream: row.stream, text: row.text }),
    )
  },
  async remove(executionId) {
    await own.remove(executionId)
    await pool.query(`DELETE FROM ${STAGE_LOGS} WHERE execution_id = $1`, [executionId])
  },
})
