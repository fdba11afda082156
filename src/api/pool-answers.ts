// What is answered about pools.
import { z } from 'zod'
import type { Page } from '../queries/page.ts'
import type { PoolView } from '../queries/queries.ts'
import { blockers, pageOf, placed, position, resourceName, revision, time } from './answers.ts'

const amounts = z
  .object({ slots: z.number(), cpu: z.number(), memory: z.number(), disk: z.number() })
  .meta({ id: 'Amounts', description: 'Cores, and bytes of memory and disk; 0 of what there is none of.' })

export const poolDefinedSchema = z.object({ name: z.string(), position }).meta({ id: 'PoolDefined' })

export const poolSchema = z
  .object({
    name: z.string(),
    capacity: amounts,
    inUse: amounts.meta({ description: 'More than the capacity where the pool has shrunk under those who hold it.' }),
    held: z
      .array(
        z.object({
          executionId: z.string(),
          stage: z.string(),
          attempt: z.int(),
          fence: z.string().meta({ description: 'Grows with each grant of the pool.' }),
          since: time,
          amounts,
        }),
      )
      .readonly()
      .meta({ description: 'Who holds it, at most 100, the oldest first.' }),
    heldCount: z.int(),
    waiting: z
      .array(
        z.object({
          executionId: z.string(),
          stage: z.string(),
          workflow: z.string(),
          priority: z.int(),
          reason: z.enum(['asked', 'capacity', 'turn']).optional(),
          short: z.array(resourceName).readonly().optional(),
          blockers: blockers.optional(),
        }),
      )
      .readonly()
      .meta({ description: 'Who waits for it and why, at most 100, those of the oldest runs first.' }),
    waitingCount: z.int(),
    updatedAt: time,
    revision,
    position,
  })
  .meta({ id: 'Pool' })
export const poolsSchema = pageOf(poolSchema).meta({ id: 'Pools' })

export const utilisationSchema = z
  .object({
    items: z
      .array(
        z.object({
          from: time,
          inUse: amounts.meta({ description: 'On average over the step.' }),
          capacity: amounts.meta({ description: 'On average over the step.' }),
          most: amounts.meta({ description: 'The most that was in use at once.' }),
        }),
      )
      .readonly(),
    from: time,
    to: time,
    stepMs: z.int(),
  })
  .meta({ id: 'PoolUtilisation', description: 'Steps before the pool was defined are left out.' })

export const toPool = (view: PoolView) => placed(view)
export const toPools = ({ items, nextCursor }: Page<PoolView>) => ({ items: items.map(placed), nextCursor })
