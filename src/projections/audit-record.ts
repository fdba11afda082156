// The audit as a chain: each event of a namespace has a hash over its own record and the hash before it. What is hashed is text, made in
// this one place, and an export carries that very text; who verifies it needs no rule but "hash the bytes".
import { hash } from 'node:crypto'

/** What stands in the record of an event; `data` is JSON as text, as the log has it. Times are ISO 8601 to the millisecond. */
export type AuditRecord = {
  readonly namespace: string
  /** From 1, without a gap, in the namespace. */
  readonly sequence: number
  readonly position: number
  readonly at: string
  readonly stream: string
  readonly revision: number
  readonly id: string
  readonly type: string
  readonly version: number
  readonly actor: string
  readonly command: string | null
  readonly source: string | null
  readonly reason: string | null
  readonly correlationId: string
  readonly causationId: string | null
  readonly commandId: string
  readonly data: string
}

/** SHA-256, in hexadecimal digits. */
export type Link = string

/** The hash before the first. */
export const NO_LINK: Link = '0'.repeat(64)

export function recordText(record: AuditRecord): string {
  const { data, ...rest } = record
  return `${JSON.stringify(rest).slice(0, -1)},"data":${data}}`
}

/** Of what was before and the text of a record. */
export const linkOf = (previous: Link, text: string): Link => hash('sha256', `${previous}${text}`)
