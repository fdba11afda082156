// What a verification says, while it goes on and at its end.
import type { Drift, Listed } from '../projections/findings.ts'
import type { OpenWorkState } from './open-work.ts'

/** An event of the log that breaks an invariant. */
export type Violation = {
  readonly invariant: number
  readonly stream: string
  readonly revision: number
  readonly what: string
}

export type Phase = 'reading the log' | 'comparing the read models' | 'looking at open work' | 'repairing'

/** `events` of about `of` have been read. */
export type Progress = {
  readonly phase: Phase
  readonly events: number
  readonly of: number
  readonly eventsPerSecond: number
  readonly etaSeconds: number
}

type Tally = {
  readonly number: number
  readonly says: string
  readonly events: number
  readonly violations: number
}

/** What the log and the read models said. */
export type LogFindings = {
  /** The head of the log as it was at the beginning, up to which it was read. */
  readonly position: number
  readonly events: number
  readonly streams: { readonly open: number; readonly ended: number }
  readonly invariants: readonly Tally[]
  readonly violations: Listed<Violation>
  /** Names of projections whose rows are not as the log says. */
  readonly drifting: readonly string[]
  readonly drift: Listed<Drift>
  readonly open: OpenWorkState
  readonly notChecked: readonly string[]
}
