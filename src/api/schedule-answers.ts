// What the API answers about schedules.
import { z } from 'zod'
import type { Page } from '../queries/page.ts'
import type { ScheduleDetail, ScheduleView } from '../queries/queries.ts'
import { json, time } from './answers.ts'

const position = z.string().meta({ description: 'A place in the whole log.', examples: ['4711'] })

export const scheduledSchema = z.object({ name: z.string(), position }).meta({ id: 'Scheduled' })
export const backfillSchema = z.object({ id: z.string(), name: z.string(), position }).meta({ id: 'Backfill' })

const status = z.enum(['open', 'completed', 'failed', 'cancelled', 'refused'])
const summary = z.object({
  namespace: z.string(),
  name: z.string(),
  workflow: z.string(),
  status: z.enum(['active', 'paused']),
  definedBy: z.string().optional().meta({ description: 'The workflow whose definition has it.' }),
  spec: z.record(z.string(), json).meta({ description: 'As it could be sent, with its defaults.' }),
  nextAt: time.optional().meta({ description: 'Its next nominal time; none while it is paused.' }),
  lastRun: z.object({ nominalAt: time, executionId: z.string(), status }).optional(),
  counts: z
    .object({
      fired: z.int(),
      completed: z.int(),
      failed: z.int(),
      cancelled: z.int(),
      refused: z.int().meta({ description: 'Runs that could not be started.' }),
      passed: z.int().meta({ description: 'Nominal times without a run.' }),
    })
    .meta({ description: 'Over its whole life.' }),
  open: z.int().meta({ description: 'How many of its runs go on.' }),
  queued: z.int().meta({ description: 'How many nominal times wait for their turn.' }),
  backfill: z
    .object({ id: z.string(), from: time, to: time, maxConcurrent: z.int(), count: z.int() })
    .optional()
    .meta({ description: 'The one that goes on.' }),
  createdAt: time,
  updatedAt: time,
  revision: z.string().meta({ description: 'A place in the stream, from 0.', examples: ['12'] }),
  position,
})
export const schedulesSchema = z
  .object({
    items: z.array(summary).readonly(),
    nextCursor: z.string().nullable().meta({ description: '`cursor` of the next page; null after the last.' }),
  })
  .meta({ id: 'Schedules' })
export const scheduleAnswer = summary
  .extend({
    openRuns: z
      .array(z.object({ nominalAt: time, executionId: z.string(), backfill: z.string().optional() }))
      .readonly()
      .meta({ description: 'Runs that go on.' }),
    queue: z.array(time).readonly().meta({ description: 'Nominal times that wait for their turn.' }),
  })
  .meta({ id: 'Schedule' })

export const upcomingSchema = z
  .object({
    items: z
      .array(
        z.object({
          nominalAt: time,
          dueAt: time.optional().meta({ description: 'Later than the nominal time by the jitter.' }),
        }),
      )
      .readonly(),
  })
  .meta({ id: 'UpcomingTimes' })

const placed = <T extends ScheduleView>(view: T) => ({
  ...view,
  revision: String(view.revision),
  position: String(view.position),
})

export const toSchedule = (view: ScheduleDetail) => placed(view)
export const toSchedules = ({ items, nextCursor }: Page<ScheduleView>) => ({ items: items.map(placed), nextCursor })
