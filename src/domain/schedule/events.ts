import type { Json } from '../message.ts'
import type { KnownSchedule } from './state.ts'

/** When runs are to start. `every` counts from `from`, ISO 8601, in both directions. */
export type Timing =
  | { readonly kind: 'cron'; readonly expression: string; readonly timezone: string }
  | { readonly kind: 'every'; readonly everyMs: number; readonly from: string }
  | { readonly kind: 'at'; readonly at: string }

/** What happens at a nominal time at which runs of the schedule have not ended. */
type Overlap = 'skip' | 'queue' | 'cancel-running' | 'allow'

/** Which of the nominal times that nobody was there for are made up for: the newest, as many as `catchUp.max`, or none. */
type Misfire = 'once' | 'all' | 'none'

/** A schedule with every default filled in. */
export type ScheduleSpec = {
  readonly workflow: string
  /** The newest without it. */
  readonly version?: number
  readonly input?: Json
  readonly labels?: { readonly [name: string]: string }
  readonly priority: number
  readonly timing: Timing
  readonly overlap: Overlap
  readonly misfire: Misfire
  /** What was missed longer ago than `withinMs` is not made up for. */
  readonly catchUp: { readonly max: number; readonly withinMs: number }
  /** Each run starts up to this much later than its nominal time. */
  readonly jitterMs: number
  /** How many nominal times wait at most, where the overlap is `queue`. */
  readonly queueLimit: number
}

/**
 * Why there is no run for nominal times. `missed`: nobody was there; `overlap`: another run went on; `queue-full`: too many
 * waited; `replaced`: a later time took the place of one that waited; `paused`: the schedule was; `revised`: it became another one.
 */
export type PassedReason = 'missed' | 'overlap' | 'queue-full' | 'replaced' | 'paused' | 'revised'

type RunOf<T> = T & { readonly nominalAt: string; readonly executionId: string }

/** Times are ISO 8601 in UTC. */
export type ScheduleEvent =
  | {
      type: 'ScheduleDefined'
      data: {
        readonly namespace: string
        readonly name: string
        readonly spec: ScheduleSpec
        /** The workflow whose definition has it. */
        readonly definedBy?: string
        /** Nominal times later than this are its. */
        readonly after: string
      }
    }
  | { type: 'ScheduleRevised'; data: { readonly spec: ScheduleSpec; readonly after: string } }
  | { type: 'SchedulePaused' | 'ScheduleResumed'; data: { readonly reason: string } }
  /** `discarded` are the nominal times that waited. */
  | { type: 'ScheduleDeleted'; data: { readonly reason: string; readonly discarded: readonly string[] } }
  /** It waits until the runs before it have ended; `cancels` are those that are asked to. */
  | { type: 'ScheduleQueued'; data: { readonly nominalAt: string; readonly cancels?: readonly string[] } }
  /** The run of this id is to start; `backfill` is the one that asked for it. */
  | { type: 'ScheduleFired'; data: RunOf<{ readonly backfill?: string }> }
  /** One event for many: from the first to the last of them; `more` says that `count` stopped counting. */
  | {
      type: 'ScheduleTimesPassed'
      data: {
        readonly from: string
        readonly to: string
        readonly count: number
        readonly more?: true
        readonly reason: PassedReason
        /** The backfill that passed over them. */
        readonly backfill?: string
      }
    }
  | { type: 'ScheduledRunEnded'; data: RunOf<{ readonly outcome: RunOutcome }> }
  /** The run could not be started. */
  | {
      type: 'ScheduledRunRefused'
      data: RunOf<{ readonly error: { readonly code: string; readonly message: string } }>
    }
  /** Runs for the `count` nominal times from `from` on and before `to`, at most `maxConcurrent` at once. */
  | {
      type: 'BackfillRequested'
      data: {
        readonly id: string
        readonly from: string
        readonly to: string
        readonly maxConcurrent: number
        readonly count: number
      }
    }
  | { type: 'BackfillEnded'; data: { readonly id: string; readonly outcome: 'completed' | 'cancelled' } }
  /** Nothing happened: what is before this in the stream need not be read to know the state. */
  | { type: 'ScheduleCarriedForward'; data: { readonly state: KnownSchedule } }

export type RunOutcome = 'completed' | 'failed' | 'cancelled'

/** The newest schema version of each event. */
export const scheduleEventVersions: Readonly<Record<ScheduleEvent['type'], number>> = {
  ScheduleDefined: 1,
  ScheduleRevised: 1,
  SchedulePaused: 1,
  ScheduleResumed: 1,
  ScheduleDeleted: 1,
  ScheduleQueued: 1,
  ScheduleFired: 1,
  ScheduleTimesPassed: 1,
  ScheduledRunEnded: 1,
  ScheduledRunRefused: 1,
  BackfillRequested: 1,
  BackfillEnded: 1,
  ScheduleCarriedForward: 1,
}

/** The stream of one schedule; a namespace has no dot, so the pair is unambiguous. */
export const scheduleStream = (namespace: string, name: string): string => `schedule-${namespace}.${name}`
