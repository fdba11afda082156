import * as z from 'zod'
import { cpu, duration, memory } from './quantities.ts'
import { MAX_LABELS } from './route.ts'

/** What several members of a workflow's syntax are made of. */

export const namePattern = /^[a-z][a-z0-9_-]{0,62}$/
const nameRule =
  'starts with a lower-case letter and has at most 63 lower-case letters, digits, hyphens and underscores'
export const name = (what: string) => z.string().regex(namePattern, `the name of ${what} ${nameRule}`)

const label = name('a label')
const labelRule = `expected a label, or a list of at most ${MAX_LABELS}`

/** What the worker of a stage has to have; `least` is 0 where an empty list takes back what would be inherited. */
export const runsOn = (least: 0 | 1) =>
  z
    .union([label, z.array(label).min(least, 'expected at least one label').max(MAX_LABELS)], { error: labelRule })
    .meta({ description: 'Labels that a worker must have to run it, all of them.' })

export const backoff = z
  .strictObject({
    type: z.enum(['fixed', 'linear', 'exponential']).optional(),
    initial: duration.optional(),
    max: duration.optional(),
    jitter: z.number().min(0).max(1).optional(),
  })
  .refine(({ initial, max }) => initial === undefined || max === undefined || initial <= max, {
    error: '`initial` is longer than `max`',
    path: ['max'],
  })
  .meta({ description: 'The pause between attempts; by default exponential from 1s to 1m, give or take a fifth.' })

/** Sums of amounts up to this stay exact. */
const bytes = memory.refine((amount) => amount <= 2 ** 50, 'at most 1024Ti')

export const resources = z
  .strictObject({
    pool: name('a pool'),
    slots: z.number().int().min(1).max(10_000).optional(),
    cpu: cpu.optional(),
    memory: bytes.optional(),
    disk: bytes.optional(),
  })
  .meta({ description: 'What each attempt holds of a pool while it runs; one slot where no amount is named.' })

/** What a pool has; nothing of what is left out. */
export const capacity = z.strictObject({
  slots: z.number().int().min(0).max(1_000_000).optional(),
  cpu: z.union([cpu, z.literal(0)]).optional(),
  memory: z.union([bytes, z.literal(0)]).optional(),
  disk: z.union([bytes, z.literal(0)]).optional(),
})
