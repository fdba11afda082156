import { auditDecider } from '../domain/audit/decide.ts'
import { type AuditEvent, auditStream } from '../domain/audit/events.ts'
import { boundedText } from '../domain/bounded-text.ts'
import { type Caller, contextOf } from './caller.ts'
import type { Handle } from './handle.ts'
import { newId } from './new-id.ts'

/** What a refusal says is bounded: it may repeat what was sent. */
const MOST_DETAIL = 1_000
/** The namespace of what belongs to none. */
export const SYSTEM = 'system'

export type Refusal = {
  readonly subject: string
  readonly status: number
  readonly code: string
  readonly detail: string
}

/** Puts on record what leaves no other event: that a command was refused, or that something was done to the installation. */
export function createAuditRecords(handle: Handle) {
  const record = async (caller: Caller, event: AuditEvent): Promise<void> => {
    const own = caller.namespace === '' ? { ...caller, namespace: SYSTEM } : caller
    await handle(auditDecider, auditStream(own.namespace), { type: 'Record', event }, contextOf(own, newId()))
  }
  const commandOf = ({ command = 'unnamed' }: Caller): string => command
  return {
    refused: (caller: Caller, { detail, ...refusal }: Refusal): Promise<void> =>
      record(caller, {
        type: 'CommandRefused',
        data: { command: commandOf(caller), ...refusal, detail: boundedText(detail, MOST_DETAIL) },
      }),
    performed: (caller: Caller, subject: string): Promise<void> =>
      record(caller, { type: 'OperationPerformed', data: { command: commandOf(caller), subject } }),
  }
}
