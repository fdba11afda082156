/** An event of the log, as far as it takes to find it again. */
export type EventInLog = {
  readonly id: string
  readonly type: string
  readonly stream: string
  readonly revision: number
  readonly position: number
}

/** What people decide about a read model. Everything else of it follows from the log. */
export type ProjectionEvent =
  /** The read model leaves this event out, from now on and whenever it is built again, since it cannot take it. */
  {
    type: 'ProjectionEventSkipped'
    data: { readonly event: EventInLog; readonly error: string; readonly reason: string }
  }

/** The newest schema version of each event. */
export const projectionEventVersions: Readonly<Record<ProjectionEvent['type'], number>> = { ProjectionEventSkipped: 1 }

/** How the names begin of the streams of decisions about read models. */
export const PROJECTION_STREAMS = 'projection-'
export const projectionStream = (name: string): string => `${PROJECTION_STREAMS}${name}`
