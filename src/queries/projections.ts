import type { Pool } from 'pg'
import type { EventInLog } from '../domain/projection/events.ts'
import { START } from '../ports/event-store.ts'
import { projections } from '../projections/all.ts'
import { type Previous, readAllPrevious } from '../projections/rebuild/previous.ts'
import { type Rebuild, readRebuilds } from '../projections/rebuild/record.ts'
import type { ProjectionView, RebuildView } from './projection-view.ts'

type Row = {
  readonly name: string
  readonly version: number
  readonly position: string
  readonly status: string
  readonly error: string | null
  readonly event_at: Date | null
  readonly failed_event: EventInLog | null
}

/**
 * How far each read model is, and what becomes of it. The lag in seconds is the age of the newest event applied, as long as there
 * are newer ones; the lag in events is reckoned from positions, which lie about `spacing` apart, and has in it those of streams
 * that no read model shows.
 */
export async function listProjections(
  pool: Pool,
  head: number,
  spacing: number,
  nowMs: number = Date.now(),
): Promise<readonly ProjectionView[]> {
  const names = projections.map(({ name }) => name)
  const { rows } = await pool.query<Row>(
    `SELECT name, version, position, status, error, event_at, failed_event FROM checkpoints WHERE name = ANY($1) ORDER BY name`,
    [names],
  )
  const rebuilds = await readRebuilds(pool)
  const previous = await readAllPrevious(pool)
  return rows.map((row) => ({
    ...lagOf(row, head, spacing, nowMs),
    ...rebuildOf(rebuilds.find(({ name }) => name === row.name)),
    ...keptOf(previous.find(({ name }) => name === row.name)),
  }))
}

function lagOf(row: Row, head: number, spacing: number, nowMs: number): ProjectionView {
  const { name, version, status, error, event_at: eventAt, failed_event: stopped } = row
  const position = Number(row.position)
  const lagEvents = Math.ceil(Math.max(0, head - position) / spacing)
  const lagSeconds = lagEvents === 0 || !eventAt ? 0 : Math.max(0, (nowMs - eventAt.getTime()) / 1000)
  const shown = status === 'failed' ? 'failed' : 'running'
  return {
    ...{ name, version, status: shown, position, lagEvents, lagSeconds },
    ...(error === null ? {} : { error }),
    ...(stopped === null ? {} : { stoppedBefore: placeOf(stopped) }),
  }
}

const placeOf = ({ id, type, stream, revision, position }: EventInLog): EventInLog => ({
  ...{ id, type, stream, revision, position },
})

function rebuildOf(rebuild: Rebuild | undefined): { readonly rebuild?: RebuildView } {
  if (rebuild === undefined) return {}
  const { status, phase, version, position, head, events, hold, reason, requestedBy, requestedAt } = rebuild
  const { startedAt, finishedAt, error, difference, etaSeconds, eventsPerSecond } = rebuild
  const passed = (position - START) / Math.max(1, head - START)
  return {
    rebuild: {
      ...{ status, phase, version, position, events, eventsPerSecond, hold, reason, requestedBy },
      progress: status === 'swapped' ? 1 : Math.min(1, Math.round(passed * 10_000) / 10_000),
      requestedAt: requestedAt.toISOString(),
      ...(etaSeconds === null ? {} : { etaSeconds }),
      ...(startedAt === null ? {} : { startedAt: startedAt.toISOString() }),
      ...(finishedAt === null ? {} : { finishedAt: finishedAt.toISOString() }),
      ...(error === null ? {} : { error }),
      ...(difference === null ? {} : { difference }),
    },
  }
}

const keptOf = (kept: Previous | undefined): Pick<ProjectionView, 'kept'> =>
  kept === undefined
    ? {}
    : { kept: { version: kept.version, position: kept.position, since: kept.replacedAt.toISOString() } }
