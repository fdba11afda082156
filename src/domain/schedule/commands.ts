import type { RunOutcome, ScheduleSpec, Timing } from './events.ts'

/** Every command carries the time it is decided at, ISO 8601 in UTC. */
type Timed<T> = T & { readonly at: string }
type Why = { readonly reason: string }

/** An interval that does not say what it counts from goes on as it did, or counts from its definition. */
export type AskedTiming =
  | Exclude<Timing, { kind: 'every' }>
  | (Omit<Extract<Timing, { kind: 'every' }>, 'from'> & { readonly from?: string })
export type AskedSpec = Omit<ScheduleSpec, 'timing'> & { readonly timing: AskedTiming }

/** The schedules of a workflow's definition, by name. */
export type CompiledSchedules = { readonly [name: string]: AskedSpec }

export type DefineSchedule = Timed<{
  type: 'DefineSchedule'
  readonly namespace: string
  readonly name: string
  readonly spec: AskedSpec
  readonly definedBy?: string
}>

export type RequestBackfill = Timed<{
  type: 'RequestBackfill'
  /** The same again is the same backfill. */
  readonly id: string
  readonly from: string
  readonly to: string
  readonly maxConcurrent: number
}>

export type ScheduleCommand =
  | DefineSchedule
  /** `definedBy` is the workflow that no longer has it. */
  | Timed<{ type: 'DeleteSchedule'; readonly definedBy?: string } & Why>
  | Timed<{ type: 'PauseSchedule' | 'ResumeSchedule' } & Why>
  /** Decides on every nominal time that is due. */
  | Timed<{ type: 'FireDue' }>
  | Timed<{ type: 'RecordRunEnd'; readonly executionId: string; readonly outcome: RunOutcome }>
  | Timed<{
      type: 'RefuseRun'
      readonly executionId: string
      readonly error: { readonly code: string; readonly message: string }
    }>
  | RequestBackfill
  | Timed<{ type: 'CancelBackfill' }>
