// Who asks pools and groups for a part of them, and what those are known to have given.
import type { Concurrency } from '../domain/execution/events.ts'
import { parseStream, type RecordedEvent } from '../domain/message.ts'
import type { Amounts } from '../domain/pool/amounts.ts'
import type { Holder } from '../domain/pool/events.ts'
import { holderKey } from '../domain/pool/holders.ts'
import type { Request, WaitingLine } from './waiting-line.ts'

/** An attempt of a stage, or a run of a group, from when it asks until it ends; its key is that of its holder. */
export type Asking = Request & {
  readonly holder: Holder
  readonly namespace: string
  /** Stream and name of the pool or the group. */
  readonly stream: string
  readonly pool: string
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
  readonly line: WaitingLine<Asking>
  readonly shares: Map<string, Share>
  /** How many ask it and have not ended, whether they wait, hold a part of it, or are paused. */
  askings: number
  /** What it was asked to grant and has not been read to have granted. */
  readonly requested: Map<string, Amounts>
}

/** What is to be given back, and the event that ended its use. */
export type Surplus = { readonly pool: PoolSeen; readonly share: Share; readonly causationId: string }

export type Dump = {
  readonly pools: readonly (Pick<PoolSeen, 'stream' | 'capacity' | 'inUse'> & { readonly shares: readonly Share[] })[]
  readonly asking: readonly Asking[]
  readonly paused: readonly string[]
}

/** Whose pool or group it is: `category-namespace.name`. */
export function namespaceOf(stream: string): string {
  const { id } = parseStream(stream)
  return id.slice(0, id.indexOf('.'))
}

export const requestOf = (
  holder: Holder,
  asked: { readonly workflow: string; readonly priority: number; readonly amounts: Amounts },
  { id, at, position, metadata: { namespace } }: RecordedEvent,
): Omit<Asking, 'stream' | 'pool' | 'admitted'> => ({
  key: holderKey(holder),
  ...{ holder, namespace, position, askedBy: id },
  flow: asked.workflow,
  amounts: asked.amounts,
  priority: asked.priority,
  atMs: Date.parse(at),
})
