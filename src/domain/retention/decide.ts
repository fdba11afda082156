import type { Decider } from '../message.ts'
import type { RemovalEvent, RetentionEvent } from './events.ts'
import type { RetentionPolicy } from './policy.ts'

export type RetentionCommand = { readonly type: 'SetRetentionPolicy'; readonly policy: RetentionPolicy }

/** The policy that holds; an empty one before there was any. */
export const retentionDecider: Decider<RetentionPolicy, RetentionCommand, RetentionEvent> = {
  initialState: {},
  evolve: (_, { data }) => data.policy,
  decide: ({ policy }, now) =>
    JSON.stringify(policy) === JSON.stringify(now) ? [] : [{ type: 'RetentionPolicySet', data: { policy } }],
  isBase: () => true,
}

export type RemovalCommand = { readonly type: 'RecordRemoval'; readonly event: RemovalEvent }

/** Removing twice is removing once, so nothing is decided on what came before. */
export const removalDecider: Decider<null, RemovalCommand, RemovalEvent> = {
  initialState: null,
  evolve: () => null,
  decide: ({ event }) => [event],
  isBase: () => true,
}
