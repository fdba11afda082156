import type { Context } from './handle.ts'

/** Who sent a command, as the edge knows it. `actor` is `<kind>:<name>`. */
export type Caller = {
  readonly namespace: string
  readonly actor: string
  /** What the actor is known to be in; approvals may name them. */
  readonly groups?: readonly string[]
  /** Milliseconds since 1970. */
  readonly nowMs: number
  readonly traceparent?: string
  /** Name of the command, the address it came from, and why, where that was said. */
  readonly command?: string
  readonly source?: string
  readonly reason?: string
}

/** @param correlationId what belongs together: the id of the run; a new UUID where there is none */
export function contextOf(caller: Caller, correlationId: string): Context {
  const { namespace, actor, nowMs, traceparent, command, source, reason } = caller
  return {
    ...{ namespace, actor, correlationId, at: new Date(nowMs).toISOString() },
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(command === undefined ? {} : { command }),
    ...(source === undefined ? {} : { source }),
    ...(reason === undefined ? {} : { reason }),
  }
}
