// Lines of attempts as records of a topic, by execution id.
import { z } from 'zod'
import type { LogLine } from '../../ports/stage-logs.ts'
import type { StoredRecord } from '../kafka/client.ts'
import type { Outgoing } from '../kafka/sender.ts'
import { TEXT_LIMIT } from './limits.ts'

const VERSION = '1'
/** Two flushes of text of which every unit has to be escaped. */
export const MAX_LINES_BYTES = 2_097_152
const MOST_LINES = 100_000

export const logTopic = (prefix: string): string => `${prefix}.logs`

export type Lines = {
  readonly executionId: string
  readonly stage: string
  readonly attempt: number
  readonly lines: readonly LogLine[]
}

const schema = z.object({
  executionId: z.uuid(),
  stage: z.string().regex(/^[A-Za-z0-9_][\w.-]{0,127}$/),
  attempt: z
    .int()
    .min(1)
    .max(2 ** 31 - 1),
  lines: z
    .array(
      z.object({
        line: z
          .int()
          .min(1)
          .max(2 ** 31 - 1),
        at: z.iso.datetime(),
        stream: z.enum(['stdout', 'stderr', 'log']),
        text: z.string().max(TEXT_LIMIT),
      }),
    )
    .max(MOST_LINES),
})

export const linesMessage = (prefix: string, lines: Lines): Outgoing => ({
  ...{ topic: logTopic(prefix), key: lines.executionId, value: JSON.stringify(lines) },
  headers: { version: VERSION },
})

/** The lines, or why they are none. */
export function parseLines({ key, value, headers }: StoredRecord): Lines | string {
  const version = headers.version?.toString()
  if (version !== VERSION) return `unknown version ${JSON.stringify(version?.slice(0, 80))}`
  if (value === null || value.length > MAX_LINES_BYTES) return `no value, or one over ${MAX_LINES_BYTES} bytes`
  const parsed = schema.safeParse(jsonOf(value))
  if (!parsed.success) return `malformed: ${parsed.error.issues[0]!.path.join('/')}: ${parsed.error.issues[0]!.message}`
  return parsed.data.executionId === key?.toString() ? parsed.data : 'the key is that of another run'
}

function jsonOf(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString())
  } catch {
    return undefined
  }
}
