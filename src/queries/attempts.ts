import type { Pool } from 'pg'
import type { FailureClass, Recovery, StageError } from '../domain/execution/events.ts'

/** One try of a stage. What is not known is not there: of an attempt that is under way its end, of one that did not fail its failure. */
export type AttemptView = {
  readonly attempt: number
  readonly worker?: string
  readonly scheduledAt?: string
  readonly startedAt?: string
  readonly finishedAt?: string
  readonly outcome?: 'completed' | 'failed' | 'cancelled'
  readonly error?: StageError
  readonly class?: FailureClass
  /** The rule that said so, and what followed. */
  readonly rule?: string
  readonly recovery?: Recovery
}

/** More than any stage has. */
const MOST = 1_000
const SQL = `
  SELECT attempt, worker, scheduled_at AS "scheduledAt", started_at AS "startedAt", finished_at AS "finishedAt", outcome, error, class, rule,
    recovery FROM attempts WHERE execution_id = $1 AND stage = $2 ORDER BY attempt LIMIT ${MOST}`

/** Of a stage of a run, whatever its namespace; none where there is no such stage. */
export async function listAttempts(pool: Pool, id: string, stage: string): Promise<readonly AttemptView[]> {
  const { rows } = await pool.query({ name: 'attempts', text: SQL, values: [id, stage] })
  return rows.map(toAttempt)
}

const toAttempt = (row: Readonly<Record<string, unknown>>): AttemptView =>
  Object.fromEntries(
    Object.entries(row)
      .filter(([, value]) => value !== null)
      .map(([name, value]) => [name, value instanceof Date ? value.toISOString() : value]),
  ) as AttemptView
