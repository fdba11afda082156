import type { Decider } from '../message.ts'
import type { EventInLog, ProjectionEvent } from './events.ts'

export type ProjectionCommand = {
  readonly type: 'SkipEvent'
  readonly event: EventInLog
  /** Why the read model cannot take it, and why it may be left out. */
  readonly error: string
  readonly reason: string
}

/** Positions of the events that are left out. */
export type ProjectionState = { readonly skipped: ReadonlySet<number> }

export const projectionDecider: Decider<ProjectionState, ProjectionCommand, ProjectionEvent> = {
  initialState: { skipped: new Set() },
  evolve: ({ skipped }, { data }) => ({ skipped: new Set(skipped).add(data.event.position) }),
  decide({ event, error, reason }, { skipped }) {
    return skipped.has(event.position) ? [] : [{ type: 'ProjectionEventSkipped', data: { event, error, reason } }]
  },
}
