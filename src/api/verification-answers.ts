// What a verification answers, a line at a time; positions and revisions are text, as everywhere.
import { z } from 'zod'
import type { Line } from '../verification/verify.ts'

const listed = <T extends z.ZodType>(item: T, what: string) =>
  z.object({ total: z.int(), items: z.array(item).readonly() }).meta({ description: `${what} At most 100 are listed.` })

const progressSchema = z.object({
  kind: z.literal('progress'),
  phase: z.enum(['reading the log', 'comparing the read models', 'looking at open work', 'repairing']),
  events: z.int().meta({ description: 'Events read so far.' }),
  of: z.int().meta({ description: 'About how many there are.' }),
  eventsPerSecond: z.int(),
  etaSeconds: z.int().meta({ description: 'Until the log is read.' }),
})

const violationSchema = z.object({ invariant: z.int(), stream: z.string(), revision: z.string(), what: z.string() })
const driftSchema = z.object({
  where: z.string().meta({ description: 'A table, `checkpoints`, `queue`, `dispatcher`, `timers`, `leases`, …' }),
  key: z.string(),
  what: z.string(),
})

const resultSchema = z.object({
  kind: z.literal('result'),
  clean: z.boolean().meta({ description: 'Neither a violation nor drift was found.' }),
  position: z.string().meta({ description: 'The head of the log when it began, up to which it was read.' }),
  events: z.int(),
  streams: z.object({ open: z.int(), ended: z.int().meta({ description: 'Of runs that have ended.' }) }),
  seconds: z.number(),
  eventsPerSecond: z.int(),
  invariants: z
    .array(z.object({ number: z.int(), says: z.string(), events: z.int(), violations: z.int() }))
    .readonly()
    .meta({ description: 'What was checked, over how many events.' }),
  violations: listed(violationSchema, 'Events that break an invariant. No repair touches the log.'),
  drift: listed(driftSchema, 'What is derived and not as the log says.'),
  repaired: z.array(z.string()).readonly(),
  before: z
    .object({ violations: z.int(), drift: z.int() })
    .optional()
    .meta({ description: 'How it was before the repair.' }),
  notChecked: z.array(z.string()).readonly().meta({ description: 'What could not be checked, and why.' }),
})

const failedSchema = z.object({ kind: z.literal('failed'), detail: z.string() })

export const verificationSchema = z
  .discriminatedUnion('kind', [progressSchema, resultSchema, failedSchema])
  .meta({ id: 'VerificationLine', description: 'The last line is the result, or says that there is none.' })

export function toVerificationLine(line: Line): z.input<typeof verificationSchema> {
  if (line.kind !== 'result') return line
  const { violations, position } = line
  const items = violations.items.map((one) => ({ ...one, revision: String(one.revision) }))
  return { ...line, position: String(position), violations: { ...violations, items } }
}
