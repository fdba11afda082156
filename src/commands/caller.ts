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
}

/** @param correlationId what belongs together: the id of the run; a new UUID where there is none */
export function contextOf({ namespace, actor, nowMs, traceparent }: Caller, correlationId: string): Context {
  const at = new Date(nowMs).toISOString()
  return { namespace, actor, correlationId, at, ...(traceparent === undefined ? {} : { traceparent }) }
}
