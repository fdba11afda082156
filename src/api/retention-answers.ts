import { z } from 'zod'
import type { RetentionPolicy } from '../domain/retention/policy.ts'
import { writtenPolicy } from '../domain/retention/written.ts'
import type { CleanedUp } from '../retention/clean-up.ts'
import type { DueOfTarget } from '../retention/preview.ts'
import type { RetentionView, StorageView } from '../retention/retention.ts'
import { time } from './answers.ts'

const target = z
  .enum(['streams', 'executions', 'audit', 'analyticsByHour', 'analyticsByDay', 'pools', 'scheduleRuns'])
  .meta({ description: 'What a rule of the policy is about.' })
const policy = z
  .record(z.string(), z.unknown())
  .meta({ description: 'As it was set, ages in their largest unit; empty where nothing was.' })

export const retentionSchema = z
  .object({
    policy,
    targets: z.array(z.object({ target, rows: z.int(), oldest: time.optional(), newest: time.optional() })),
    recommendations: z.array(
      z.object({ target: z.enum([...target.options, 'labels']), says: z.string(), because: z.string() }),
    ),
  })
  .meta({ id: 'Retention' })

export const retentionSetSchema = z.object({ policy, position: z.string() }).meta({ id: 'RetentionSet' })

export const previewSchema = z
  .object({
    items: z.array(
      z.object({
        target,
        count: z.int().meta({ description: 'Runs or rows that a clean-up would take now.' }),
        oldest: time.optional(),
        because: z.array(z.string()),
        examples: z.array(z.string()).optional().meta({ description: 'Ids of runs, at most 5.' }),
      }),
    ),
  })
  .meta({ id: 'RetentionPreview' })

export const cleanedUpSchema = z
  .object({
    removed: z.partialRecord(target, z.int()).meta({ description: 'How many runs or rows of each went.' }),
    done: z.boolean().meta({ description: 'False where the limit came first: ask again.' }),
  })
  .meta({ id: 'CleanedUp' })

export const storageSchema = z
  .object({
    tables: z.array(
      z.object({
        table: z.string(),
        rows: z.int().meta({ description: 'As PostgreSQL reckons it.' }),
        bytes: z.int().meta({ description: 'With indexes.' }),
      }),
    ),
    archive: z.object({ files: z.int(), bytes: z.int() }),
  })
  .meta({ id: 'Storage', description: 'Of all namespaces.' })

export const toPolicy = (given: RetentionPolicy): Record<string, unknown> => ({ ...writtenPolicy(given) })

export const toRetention = (view: RetentionView): z.input<typeof retentionSchema> => ({
  policy: toPolicy(view.policy),
  targets: [...view.targets],
  recommendations: [...view.recommendations],
})

export const toPreview = (due: readonly DueOfTarget[]): z.input<typeof previewSchema> => ({
  items: due.map(({ because, examples, ...one }) => ({
    ...one,
    because: [...because],
    ...(examples === undefined ? {} : { examples: [...examples] }),
  })),
})

export const toCleanedUp = ({ removed, done }: CleanedUp): z.input<typeof cleanedUpSchema> => ({ removed, done })

export const toStorage = ({ tables, archive }: StorageView): z.input<typeof storageSchema> => ({
  tables: [...tables],
  archive,
})
