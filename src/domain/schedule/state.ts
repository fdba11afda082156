import type { ScheduleEvent, ScheduleSpec } from './events.ts'

/** A run that has not ended, as far as the schedule knows. Those of a backfill and the others do not wait for each other. */
export type OpenRun = {
  readonly nominalAt: string
  readonly executionId: string
  readonly backfill?: string
  /** It was asked to end. */
  readonly cancelling?: true
}

/** Nominal times after `decidedTo` and before `to` are still to come. */
type Backfill = {
  readonly id: string
  readonly to: string
  readonly maxConcurrent: number
  readonly decidedTo: string
}

/** Plain JSON, and of bounded size: it is carried forward in the stream as it is. */
export type KnownSchedule = {
  readonly status: 'active' | 'paused' | 'deleted'
  readonly namespace: string
  readonly name: string
  readonly spec: ScheduleSpec
  readonly definedBy?: string
  /** Every nominal time up to this has been decided on; it never goes back, so none is decided on twice. */
  readonly decidedTo: string
  readonly open: readonly OpenRun[]
  /** Nominal times that wait, the oldest first. */
  readonly queue: readonly string[]
  readonly backfill?: Backfill
  /** Id of the newest backfill, whether it goes on or not. */
  readonly lastBackfill?: string
  /** Events since the state was last carried forward. */
  readonly events: number
}

export type ScheduleState = { readonly status: 'unknown' } | KnownSchedule

export const initialState: ScheduleState = { status: 'unknown' }

export function evolve(state: ScheduleState, event: ScheduleEvent): ScheduleState {
  if (event.type === 'ScheduleCarriedForward') return { ...event.data.state, events: 0 }
  const next = event.type === 'ScheduleDefined' ? defined(state, event.data) : fold(state as KnownSchedule, event)
  return { ...next, events: (state.status === 'unknown' ? 0 : state.events) + 1 }
}

type DefinedData = Extract<ScheduleEvent, { type: 'ScheduleDefined' }>['data']

/** Of one that was deleted what still runs is kept. */
function defined(state: ScheduleState, { namespace, name, spec, definedBy, after }: DefinedData): KnownSchedule {
  const open = state.status === 'unknown' ? [] : state.open
  const about = { namespace, name, spec, ...(definedBy === undefined ? {} : { definedBy }) }
  return { status: 'active', ...about, decidedTo: after, open, queue: [], events: 0 }
}

function fold(
  state: KnownSchedule,
  event: Exclude<ScheduleEvent, { type: 'ScheduleDefined' | 'ScheduleCarriedForward' }>,
): KnownSchedule {
  switch (event.type) {
    case 'ScheduleRevised':
      return { ...state, spec: event.data.spec, decidedTo: event.data.after }
    case 'SchedulePaused':
      return { ...state, status: 'paused' }
    case 'ScheduleResumed':
      return { ...state, status: 'active' }
    case 'ScheduleDeleted':
      return { ...withoutBackfill(state), status: 'deleted', queue: [] }
    case 'ScheduleQueued':
      return queued(state, event.data)
    case 'ScheduleFired':
      return fired(state, event.data)
    case 'ScheduleTimesPassed':
      return passed(state, event.data)
    case 'ScheduledRunEnded':
    case 'ScheduledRunRefused':
      return { ...state, open: state.open.filter(({ executionId }) => executionId !== event.data.executionId) }
    case 'BackfillRequested': {
      const { id, from, to, maxConcurrent } = event.data
      return { ...state, backfill: { id, to, maxConcurrent, decidedTo: justBefore(from) }, lastBackfill: id }
    }
    case 'BackfillEnded':
      return withoutBackfill(state)
  }
}

const withoutBackfill = ({ backfill: _, ...rest }: KnownSchedule): KnownSchedule => rest

const later = (a: string, b: string): string => (a > b ? a : b)

/** What comes after this begins at the moment itself. */
const justBefore = (moment: string): string => new Date(Date.parse(moment) - 1).toISOString()

type DataOf<T extends ScheduleEvent['type']> = Extract<ScheduleEvent, { type: T }>['data']

function queued(state: KnownSchedule, { nominalAt, cancels = [] }: DataOf<'ScheduleQueued'>): KnownSchedule {
  const asked = new Set(cancels)
  const open = state.open.map((run): OpenRun => (asked.has(run.executionId) ? { ...run, cancelling: true } : run))
  return { ...state, open, queue: [...state.queue, nominalAt], decidedTo: later(state.decidedTo, nominalAt) }
}

function fired(state: KnownSchedule, data: DataOf<'ScheduleFired'>): KnownSchedule {
  const { nominalAt, backfill } = data
  const open = [...state.open, data]
  if (backfill !== undefined)
    return { ...state, open, ...(state.backfill ? { backfill: { ...state.backfill, decidedTo: nominalAt } } : {}) }
  const queue = state.queue.filter((waiting) => waiting !== nominalAt)
  return { ...state, open, queue, decidedTo: later(state.decidedTo, nominalAt) }
}

function passed(state: KnownSchedule, { from, to, reason, backfill }: DataOf<'ScheduleTimesPassed'>): KnownSchedule {
  if (backfill !== undefined)
    return state.backfill ? { ...state, backfill: { ...state.backfill, decidedTo: to } } : state
  const replaced = (waiting: string) => reason === 'replaced' && waiting >= from && waiting <= to
  const queue = state.queue.filter((waiting) => !replaced(waiting))
  return { ...state, queue, decidedTo: later(state.decidedTo, to) }
}
