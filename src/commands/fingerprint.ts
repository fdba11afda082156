import { createHash } from 'node:crypto'
import { v5 as uuidv5 } from 'uuid'
import type { Json } from '../domain/message.ts'

/** The namespace (RFC 9562) of every id that Millrace derives; changing it would break idempotency across an upgrade. */
const MILLRACE = '6f1d4e0c-7a52-5b1e-9c57-2f1f0c6d8a44'

/** SHA-256, in hexadecimal, of the value as JSON with its keys in order: the same for documents that mean the same. */
export function fingerprint(json: Json): string {
  return createHash('sha256').update(canonical(json)).digest('hex')
}

/** Keys in the order of their UTF-16 code units, no spaces: RFC 8785, whose numbers are those of JavaScript. */
function canonical(json: Json): string {
  if (Array.isArray(json)) return `[${json.map(canonical).join(',')}]`
  if (typeof json !== 'object' || json === null) return JSON.stringify(json)
  const members = Object.keys(json)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(json[key]!)}`)
  return `{${members.join(',')}}`
}

/** The id of the run that a caller's idempotency key stands for: the same key, the same run. */
export function executionIdFor(namespace: string, workflow: string, key: string): string {
  return derivedId([namespace, workflow, key])
}

/** The same id for the same words, as JSON, because a word may hold whatever separator one could choose. */
export const derivedId = (words: readonly (string | number)[]): string => uuidv5(JSON.stringify(words), MILLRACE)

/** The id of the run that a schedule starts for one of its nominal times: one run, however often that is tried. */
export function scheduledRunIdFor(namespace: string, schedule: string, nominalAt: string): string {
  return derivedId(['schedule', namespace, schedule, nominalAt])
}

/** The id of the run that does the work of one attempt of a sub-workflow: whoever starts it twice starts it once. */
export function subWorkflowIdFor(executionId: string, stage: string, attempt: number): string {
  return derivedId([executionId, stage, attempt])
}

/** What stands for a concurrency group in the name of its stream; the group itself may be called anything. */
export const groupIdFor = (group: string): string => derivedId(['group', group])
