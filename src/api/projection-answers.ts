// How the read models are, and what can be done about them, as HTTP has it: positions are text, as everywhere.
import { z } from 'zod'
import type { EventInLog } from '../domain/projection/events.ts'
import type { ProjectionView, RebuildView } from '../queries/projection-view.ts'
import { pageOf, position, revision, time } from './answers.ts'

const difference = z
  .union([
    z.object({
      position: position.meta({ description: 'Where both stood when they were compared.' }),
      total: z.int(),
      items: z
        .array(z.object({ where: z.string(), key: z.string(), what: z.string() }))
        .readonly()
        .meta({ description: 'The first of the live rows that are not among those built, or differ from them.' }),
    }),
    z.object({ notCompared: z.string().meta({ description: 'Why.' }) }),
  ])
  .meta({ description: 'How the live rows differed from those that were built.' })

const rebuildSchema = z.object({
  status: z.enum(['running', 'swapped', 'failed', 'cancelled']),
  phase: z.enum(['queued', 'replaying', 'indexing', 'comparing', 'held', 'swapping', 'done']),
  version: z.int(),
  progress: z.number().meta({ description: 'From 0 to 1: how much of the log it has gone through.' }),
  position,
  events: z.int().meta({ description: 'Events it has applied.' }),
  eventsPerSecond: z.number().meta({ description: 'Of the log, also those that are not for this projection.' }),
  etaSeconds: z.number().optional().meta({ description: 'Until it can be swapped in, where that can be told.' }),
  hold: z.boolean().meta({ description: 'It waits to be swapped in by hand.' }),
  reason: z.string(),
  requestedBy: z.string(),
  requestedAt: time,
  startedAt: time.optional(),
  finishedAt: time.optional(),
  error: z.string().optional(),
  difference: difference.optional(),
})

export const projectionSchema = z
  .object({
    name: z.string(),
    version: z.int().meta({ description: 'Of its rows.' }),
    status: z.enum(['running', 'failed']),
    position,
    lagEvents: z.number(),
    lagSeconds: z.number(),
    error: z.string().optional(),
    stoppedBefore: z
      .object({ id: z.string(), type: z.string(), stream: z.string(), revision, position })
      .optional()
      .meta({ description: 'The event that it cannot take.' }),
    rebuild: rebuildSchema.optional().meta({ description: 'The newest.' }),
    kept: z
      .object({ version: z.int(), position, since: time })
      .optional()
      .meta({ description: 'The rows that were live before; `rollback` exchanges them and the live ones.' }),
  })
  .meta({ id: 'Projection' })
export const projectionsSchema = pageOf(projectionSchema).meta({ id: 'Projections' })

export const toProjection = (view: ProjectionView): z.input<typeof projectionSchema> => {
  const { stoppedBefore, rebuild, kept, ...rest } = view
  return {
    ...rest,
    position: String(view.position),
    ...(stoppedBefore ? { stoppedBefore: toEventInLog(stoppedBefore) } : {}),
    ...(rebuild ? { rebuild: toRebuild(rebuild) } : {}),
    ...(kept ? { kept: { ...kept, position: String(kept.position) } } : {}),
  }
}

export const toProjections = (views: readonly ProjectionView[]) => ({
  items: views.map(toProjection),
  nextCursor: null,
})

const toEventInLog = (event: EventInLog) => ({
  ...event,
  revision: String(event.revision),
  position: String(event.position),
})

function toRebuild({ difference: found, ...rebuild }: RebuildView): z.input<typeof rebuildSchema> {
  const told =
    found === undefined ? {} : { difference: 'total' in found ? { ...found, position: String(found.position) } : found }
  return { ...rebuild, position: String(rebuild.position), ...told }
}
