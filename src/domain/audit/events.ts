/** What leaves no event in the stream of what it is about, and belongs in the audit all the same. */
export type AuditEvent =
  /** A command was refused. `subject` is the path it was sent to. */
  | {
      type: 'CommandRefused'
      data: {
        readonly command: string
        readonly subject: string
        readonly status: number
        readonly code: string
        readonly detail: string
      }
    }
  /** Something was done to the installation, not to what runs in it. */
  | { type: 'OperationPerformed'; data: { readonly command: string; readonly subject: string } }

/** The newest schema version of each event. */
export const auditEventVersions: Readonly<Record<AuditEvent['type'], number>> = {
  CommandRefused: 1,
  OperationPerformed: 1,
}

/** How the names begin of the streams of what is only on record; each namespace has one. */
export const AUDIT_STREAMS = 'audit-'
export const auditStream = (namespace: string): string => `${AUDIT_STREAMS}${namespace}`
