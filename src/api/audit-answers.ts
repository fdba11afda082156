// What the audit answers, and the lines of an export. The format of an export is described in docs/audit.md; who verifies one hashes
// the text of each record as it stands there.
import { z } from 'zod'
import type { Signer } from '../ports/signer.ts'
import type { AuditEntry, ChainEnd, ChainLine } from '../queries/audit.ts'
import type { ReplayStep } from '../queries/replay.ts'
import { pageOf, position, revision, time } from './answers.ts'

const sequence = z.string().meta({ description: 'A place in the chain of the namespace, from 1.', examples: ['12'] })
const hash = z.string().meta({ description: 'SHA-256, hexadecimal.' })

export const auditSchema = pageOf(
  z.object({
    commandId: z.string(),
    sequence,
    position,
    at: time,
    actor: z.string(),
    command: z
      .string()
      .optional()
      .meta({ description: 'Where somebody sent it.', examples: ['CancelExecution'] }),
    source: z.string().optional().meta({ description: 'The address it came from.' }),
    reason: z.string().optional().meta({ description: 'What `Millrace-Reason` said.' }),
    outcome: z.enum(['accepted', 'refused']),
    refusal: z.object({ subject: z.string(), status: z.int(), code: z.string(), detail: z.string() }).optional(),
    correlationId: z.string().meta({ description: 'What belongs together: the id of the run.' }),
    stream: z.string(),
    events: z
      .array(z.object({ sequence, type: z.string(), stage: z.string().optional() }))
      .readonly()
      .meta({ description: 'What it led to; at most 40 of them.' }),
    hash,
  }),
).meta({ id: 'Audit' })

export const toAudit = (entry: AuditEntry): z.input<typeof auditSchema>['items'][number] => ({
  ...entry,
  sequence: String(entry.sequence),
  position: String(entry.position),
  events: entry.events.map((event) => ({ ...event, sequence: String(event.sequence) })),
})

export const checkpointSchema = z
  .object({
    checkpoint: z.object({
      namespace: z.string(),
      from: z.int(),
      sequence: z.int(),
      hash,
      position: z.int(),
      at: time,
    }),
    key: z.string().optional().meta({ description: 'Id of the key.' }),
    signature: z.string().optional().meta({ description: 'Ed25519 over the text of `checkpoint`, hexadecimal.' }),
  })
  .meta({ id: 'AuditCheckpoint', description: 'Where the chain ended at that time, for whoever keeps it elsewhere.' })

export const auditKeySchema = z
  .object({ keyId: z.string(), publicKey: z.string().meta({ description: 'Ed25519, SPKI in PEM.' }) })
  .meta({ id: 'AuditKey' })

/** The last line of an export: where the chain stood, signed where there is a key. `from` is where the export begins. */
export function checkpointText(
  namespace: string,
  from: number,
  { sequence: end, hash: link, position: at }: ChainEnd,
  nowMs: number,
  signer: Signer | undefined,
): string {
  const text = JSON.stringify({
    ...{ namespace, from, sequence: end, hash: link, position: at, at: new Date(nowMs).toISOString() },
  })
  if (signer === undefined) return `{"checkpoint":${text}}`
  return `{"checkpoint":${text},"key":"${signer.keyId}","signature":"${signer.sign(text)}"}`
}

/** The first line of an export: what it is, and the hash before its first record. */
export const headText = (namespace: string, from: number, previous: string): string =>
  `{"audit":${JSON.stringify({ version: 1, namespace, from, previous })}}`

export const lineText = ({ text, hash: link }: ChainLine): string => `{"record":${text},"hash":"${link}"}`

export const replaySchema = pageOf(
  z.object({
    revision,
    at: time,
    actor: z.string(),
    type: z.string(),
    says: z.string().meta({ description: 'What happened, in words.' }),
    status: z.enum(['running', 'paused', 'cancelling', 'completed', 'failed', 'cancelled']),
    stages: z.record(z.string(), z.int()).meta({ description: 'How many stages were in each status after it.' }),
  }),
).meta({ id: 'Replay' })

export const toReplay = (step: ReplayStep): z.input<typeof replaySchema>['items'][number] => ({
  ...step,
  revision: String(step.revision),
  stages: { ...step.stages } as Record<string, number>,
})
