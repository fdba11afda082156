import type { EventInLog } from '../domain/projection/events.ts'
import type { Difference, Rebuild } from '../projections/rebuild/record.ts'

/** How far a read model is, and what becomes of it. */
export type ProjectionView = {
  readonly name: string
  readonly version: number
  readonly status: 'running' | 'failed'
  readonly position: number
  readonly lagEvents: number
  readonly lagSeconds: number
  readonly error?: string
  /** The event before which it has stopped. */
  readonly stoppedBefore?: EventInLog
  /** The newest that was asked for. */
  readonly rebuild?: RebuildView
  /** The rows that were live before the last rebuild, or the last going back; they stand where they stood then. */
  readonly kept?: { readonly version: number; readonly position: number; readonly since: string }
}

export type RebuildView = {
  readonly status: 'running' | 'swapped' | 'failed' | 'cancelled'
  readonly phase: Rebuild['phase']
  readonly version: number
  /** From 0 to 1: how much of the log it has gone through. */
  readonly progress: number
  readonly position: number
  /** Events it has applied. */
  readonly events: number
  /** Of the log, also those that are not for this projection. */
  readonly eventsPerSecond: number
  /** Until it can be swapped in, where that can be told. */
  readonly etaSeconds?: number
  readonly hold: boolean
  readonly reason: string
  readonly requestedBy: string
  readonly requestedAt: string
  readonly startedAt?: string
  readonly finishedAt?: string
  readonly error?: string
  readonly difference?: Difference
}
