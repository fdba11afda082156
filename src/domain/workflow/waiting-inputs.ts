import * as z from 'zod'
import { parseDurationMs } from './units.ts'

/** What stages are given that wait for somebody: the resolved `with`, judged where the attempt is scheduled. */

const patience = z
  .string()
  .transform((text) => parseDurationMs(text) ?? 0)
  .refine((ms) => ms > 0, 'expected a duration such as 30m, 4h or 1d')

const who = z.string().min(1).max(255)

/** `approvers` are names of people or groups, anybody without them; `required` of them have to agree. */
export const approvalSchema = z
  .strictObject({
    approvers: z.union([z.array(who).min(1).max(100), who.transform((one) => [one])]).optional(),
    required: z.int().min(1).max(100).optional(),
    selfApproval: z.boolean().optional(),
    message: z.string().max(4_096).optional(),
    timeout: patience.optional(),
  })
  .meta({ description: 'Waits until people have approved.' })

/** `name` is that in `POST …/signals/{name}`. */
export const signalSchema = z.strictObject({
  name: z.string().regex(/^[a-zA-Z][a-zA-Z0-9._-]{0,62}$/, 'a signal is named in letters, digits, dots, hyphens and underscores'),
  timeout: patience.optional(),
})
