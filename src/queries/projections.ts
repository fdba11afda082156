import type { EntityManager } from '@mikro-orm/postgresql'
import { projections } from '../projections/all.ts'
import { Checkpoint } from '../projections/entities.ts'
import type { ProjectionView } from './queries.ts'

/**
 * How far each read model is. The lag in seconds is the age of the newest event applied, as long as there are newer ones;
 * the lag in events is reckoned from
 * positions, which lie about `spacing` apart, and has in it those of streams that no read model shows.
 */
export async function listProjections(
  em: EntityManager,
  head: number,
  spacing: number,
  nowMs: number = Date.now(),
): Promise<readonly ProjectionView[]> {
  const rows = await em.find(
    Checkpoint,
    { name: { $in: projections.map(({ name }) => name) } },
    { orderBy: { name: 'asc' } },
  )
  return rows.map(({ name, version, status, position, error, eventAt }) => {
    const lagEvents = Math.ceil(Math.max(0, head - position) / spacing)
    const lagSeconds = lagEvents === 0 || !eventAt ? 0 : Math.max(0, (nowMs - eventAt.getTime()) / 1000)
    const shown = status === 'failed' ? 'failed' : 'running'
    return { name, version, status: shown, position, lagEvents, lagSeconds, ...(error == null ? {} : { error }) }
  })
}
