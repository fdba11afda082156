// Who asks pools and groups for a part of them, and what those are known to have given.
import type { Concurrency } from '../domain/execution/events.ts'
import type { Amounts } from '../domain/pool/amounts.ts'
import type { Holder } from '../domain/pool/events.ts'
import type { Request, WaitingLine } from './waiting-line.ts'

/** An attempt of a stage, or a run of a group, from when it asks until it ends. */
export type Asking = {
  readonly key: string
  readonly holder: Holder
  readonly namespace: string
  /** Stream and name of the pool or the group. */
  readonly stream: string
  readonly pool: string
  readonly request: Request
  readonly concurrency?: Concurrency
  /** Id of the event that asked. */
  readonly askedBy: string
  /** What the log has said about why it waits. */
  told?: 'capacity' | 'turn' | 'limit'
  admitted: boolean
}

/** A part of a pool that somebody holds, and the event that gave it. */
export type Share = { readonly holder: Holder; readonly fence: number; readonly grantedBy: string }

export type PoolSeen = {
  readonly stream: string
  readonly namespace: string
  /** Undefined where nobody has defined it; of a group, what the last run of it has said. */
  capacity: Amounts | undefined
  inUse: Amounts
  readonly line: WaitingLine
  readonly shares: Map<string, Share>
}

/** What is to be given back, and the event that ended its use. */
export type Surplus = { readonly pool: PoolSeen; readonly share: Share; readonly causationId: string }

export type Dump = {
  readonly pools: readonly (Omit<PoolSeen, 'line' | 'shares'> & { readonly shares: readonly Share[] })[]
  readonly asking: readonly Asking[]
  readonly paused: readonly string[]
}
