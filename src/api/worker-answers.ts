// What the API answers about workers and the queues that they serve.
import { z } from 'zod'
import type { RouteStats } from '../ports/work-queue.ts'
import { time } from './answers.ts'

const labels = z.array(z.string()).readonly()

const workerSchema = z.object({
  id: z.string(),
  status: z
    .enum(['running', 'draining', 'stopped', 'lost'])
    .meta({ description: 'A worker is lost when it stopped renewing its lease without a word.' }),
  since: time.meta({ description: 'Since when it has this status.' }),
  reason: z.string().optional().meta({ description: 'Why it was taken for lost.' }),
  registeredAt: time,
  host: z.string(),
  pid: z.int(),
  version: z.string().meta({ description: 'Of the program.' }),
  queues: z
    .array(z.object({ name: z.string(), limit: z.int().optional() }))
    .readonly()
    .meta({ description: 'With a limit of attempts at once, where that is less than `concurrency`.' }),
  labels: labels.meta({ description: 'What it has, for stages that ask for it with `runsOn`.' }),
  concurrency: z.int().meta({ description: 'How many attempts it runs at once.' }),
  handlers: z.array(z.object({ name: z.string(), version: z.string().optional() })).readonly(),
  running: z.int().meta({ description: 'Attempts that it runs now, in this namespace.' }),
})

export const workersSchema = z
  .object({
    items: z.array(workerSchema).readonly(),
    nextCursor: z.string().nullable().meta({ description: '`cursor` of the next page; null after the last.' }),
  })
  .meta({ id: 'Workers' })

const queueSchema = z.object({
  queue: z.string(),
  labels: labels.meta({
    description: 'What the work asks for; work of one queue that asks for other labels stands apart.',
  }),
  depth: z.int().meta({ description: 'How much waits.' }),
  oldestAt: time.optional().meta({ description: 'When what has waited longest was scheduled.' }),
  running: z.int().meta({ description: 'How much was taken and is not done.' }),
  perMinute: z.object({ published: z.int(), taken: z.int() }).meta({ description: 'In the last minute.' }),
  consumers: z.int().meta({ description: 'Workers that would take it. With none it waits.' }),
})

export const queuesSchema = z
  .object({ items: z.array(queueSchema).readonly(), nextCursor: z.null() })
  .meta({ id: 'Queues' })

export const toQueues = (routes: readonly RouteStats[]): z.input<typeof queuesSchema> => ({
  items: routes.map(({ queue, labels, depth, oldestAt, running, publishedPerMinute, takenPerMinute, consumers }) => ({
    ...{ queue, labels, depth, running, consumers },
    ...(oldestAt === undefined ? {} : { oldestAt }),
    perMinute: { published: publishedPerMinute, taken: takenPerMinute },
  })),
  nextCursor: null,
})
