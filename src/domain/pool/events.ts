import type { Grant } from '../execution/events.ts'
import type { Amounts } from './amounts.ts'

/** Who holds a part of a pool: an attempt of a stage; of a group, a whole run. */
export type Holder = { readonly executionId: string; readonly stage?: string; readonly attempt?: number }

export type Held = { readonly holder: Holder; readonly amounts: Amounts; readonly fence: Grant['fence'] }

export type Usage = { readonly capacity: Amounts; readonly inUse: Amounts }

/**
 * Of a pool, and of a concurrency group, which is a pool whose slots are held by runs and that comes to be with the first of them.
 * `inUse` is what is held altogether after the event, and `capacity` what there is: each event shows the pool as it leaves it.
 */
export type PoolEvent =
  | { type: 'PoolDefined'; data: { readonly name: string; readonly capacity: Amounts } }
  /** What is held already stays so, also where it is more than there is now. */
  | { type: 'PoolResized'; data: Usage }
  /** `fence` counts the grants of the pool, from 1. */
  | { type: 'CapacityGranted'; data: Held & Usage }
  | { type: 'CapacityReleased'; data: Pick<Held, 'holder' | 'fence'> & Usage }
  /** All that the pool's earlier events amount to: a fold may begin with it. */
  | {
      type: 'PoolCarriedForward'
      data: Usage & { readonly name: string; readonly fence: number; readonly held: readonly Held[] }
    }

/** The newest schema version of each event. */
export const poolEventVersions: Readonly<Record<PoolEvent['type'], number>> = {
  PoolDefined: 1,
  PoolResized: 1,
  CapacityGranted: 1,
  CapacityReleased: 1,
  PoolCarriedForward: 1,
}

/** Names have no dot, so the pair is unambiguous. */
export const poolStream = (namespace: string, name: string): string => `pool-${namespace}.${name}`

/** `groupId` is derived from the group's name, which may be any text. */
export const groupStream = (namespace: string, groupId: string): string => `group-${namespace}.${groupId}`
