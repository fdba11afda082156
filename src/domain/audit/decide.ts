import type { Decider } from '../message.ts'
import type { AuditEvent } from './events.ts'

/** What is to be put on record. */
export type AuditCommand = { readonly type: 'Record'; readonly event: AuditEvent }

/** Everything that is put on record is an event; nothing is decided on what came before. */
export const auditDecider: Decider<null, AuditCommand, AuditEvent> = {
  initialState: null,
  evolve: () => null,
  decide: ({ event }) => [event],
  isBase: () => true,
}
