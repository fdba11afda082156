import type { Decider } from '../message.ts'
import { Rejected } from '../rejected.ts'
import type { DefineSchedule, RequestBackfill, ScheduleCommand } from './commands.ts'
import { Draft, iso, type RunIdOf } from './draft.ts'
import { fireDue, proceed } from './due.ts'
import type { ScheduleEvent, ScheduleSpec, Timing } from './events.ts'
import { nextTime, timesBetween } from './nominal-times.ts'
import { evolve, initialState, type KnownSchedule, type ScheduleState } from './state.ts'

export type ScheduleDecider = Decider<ScheduleState, ScheduleCommand, ScheduleEvent>

/** So many events after the last time the state is carried forward. */
const CARRY_EVERY = 1_000
/** Characters of a spec as JSON: it is part of events that have to fit into an append. */
const MAX_SPEC_LENGTH = 65_536
/** Nominal times of a backfill: they are counted before it begins. */
const MAX_BACKFILL = 5_000

/** The aggregate of one schedule: `schedule-<namespace>.<name>`. Ids of runs are derived, and how is for the caller to know. */
export const createScheduleDecider = (runIdOf: RunIdOf): ScheduleDecider => ({
  initialState,
  evolve,
  decide: (command, state) => carriedForward(decide(command, state, runIdOf), state),
  isBase: ({ type }) => type === 'ScheduleCarriedForward',
})

/** A stream that goes on for ever says now and then what it has come to, so that nobody needs to read all of it. */
function carriedForward(events: readonly ScheduleEvent[], state: ScheduleState): readonly ScheduleEvent[] {
  const before = state.status === 'unknown' ? 0 : state.events
  if (events.length === 0 || before + events.length < CARRY_EVERY) return events
  const next = events.reduce(evolve, state) as KnownSchedule
  return [...events, { type: 'ScheduleCarriedForward', data: { state: next } }]
}

function decide(command: ScheduleCommand, state: ScheduleState, runIdOf: RunIdOf): readonly ScheduleEvent[] {
  if (command.type === 'DefineSchedule') return define(command, state, runIdOf)
  const isAboutRun = command.type === 'RecordRunEnd' || command.type === 'RefuseRun'
  const draft = new Draft(isAboutRun ? requireKnown(state) : requirePresent(state), command.at, runIdOf)
  take(draft, command)
  return draft.events
}

function take(draft: Draft, command: Exclude<ScheduleCommand, { type: 'DefineSchedule' }>): void {
  switch (command.type) {
    case 'DeleteSchedule':
      remove(draft, command)
      return
    case 'PauseSchedule':
      if (draft.state.status === 'active') draft.emit({ type: 'SchedulePaused', data: { reason: command.reason } })
      return
    case 'ResumeSchedule':
      resume(draft, command.reason)
      return
    case 'FireDue':
      fireDue(draft)
      return
    case 'RecordRunEnd':
    case 'RefuseRun':
      endRun(draft, command)
      return
    case 'RequestBackfill':
      requestBackfill(draft, command)
      return
    case 'CancelBackfill':
      if (draft.state.backfill)
        draft.emit({ type: 'BackfillEnded', data: { id: draft.state.backfill.id, outcome: 'cancelled' } })
      return
  }
}

function requireKnown(state: ScheduleState): KnownSchedule {
  if (state.status === 'unknown') throw new Rejected('SCHEDULE_UNKNOWN', 'there is no such schedule')
  return state
}

function requirePresent(state: ScheduleState): KnownSchedule {
  if (state.status !== 'unknown' && state.status !== 'deleted') return state
  throw new Rejected('SCHEDULE_UNKNOWN', 'there is no such schedule')
}

function define(command: DefineSchedule, state: ScheduleState, runIdOf: RunIdOf): readonly ScheduleEvent[] {
  const { namespace, name, definedBy, at } = command
  const present = state.status === 'unknown' || state.status === 'deleted' ? undefined : state
  if (present) requireOwner(present, definedBy)
  const spec = completed(command, present)
  if (present && isSame(present.spec, spec)) return []
  requireRuns(spec, at)
  const after = iso(
    Math.max(Date.parse(at), beginsMs(spec), state.status === 'unknown' ? 0 : Date.parse(state.decidedTo)),
  )
  if (!present) {
    const owner = definedBy === undefined ? {} : { definedBy }
    return [{ type: 'ScheduleDefined', data: { namespace, name, spec, ...owner, after } }]
  }
  const draft = new Draft(present, at, runIdOf)
  draft.passUntil(draft.atMs, present.status === 'active' ? 'revised' : 'paused')
  draft.emit({ type: 'ScheduleRevised', data: { spec, after } })
  proceed(draft)
  return draft.events
}

/** An interval that begins later has no nominal times before that. */
const beginsMs = ({ timing }: ScheduleSpec): number => (timing.kind === 'every' ? Date.parse(timing.from) - 1 : 0)

function completed({ spec, at }: DefineSchedule, present: KnownSchedule | undefined): ScheduleSpec {
  return { ...spec, timing: completedTiming(spec.timing, present?.spec.timing, at) }
}

function completedTiming(timing: DefineSchedule['spec']['timing'], before: Timing | undefined, at: string): Timing {
  if (timing.kind !== 'every') return timing
  const goesOn = before?.kind === 'every' && before.everyMs === timing.everyMs
  return { ...timing, from: timing.from ?? (goesOn ? before.from : at) }
}

/** Both come from one place, so their members stand in one order. */
const isSame = (a: ScheduleSpec, b: ScheduleSpec): boolean => JSON.stringify(a) === JSON.stringify(b)

/** Whether what a schedule is to be is what it is. */
export const agrees = (asked: DefineSchedule['spec'], present: ScheduleSpec): boolean =>
  isSame({ ...asked, timing: completedTiming(asked.timing, present.timing, '') }, present)

function requireRuns(spec: ScheduleSpec, at: string): void {
  const { length } = JSON.stringify(spec)
  if (length > MAX_SPEC_LENGTH)
    throw new Rejected('EVENT_TOO_LARGE', `the schedule has ${length} characters, the limit is ${MAX_SPEC_LENGTH}`)
  if (nextTime(spec.timing, Date.parse(at)) !== undefined) return
  const fault = { pointer: `/${spec.timing.kind}`, message: 'lies in the past: no run would start by it' }
  throw new Rejected('SCHEDULE_INVALID', 'the schedule has no time to come', [fault])
}

function requireOwner({ name, definedBy }: KnownSchedule, by: string | undefined): void {
  if (definedBy === by) return
  const advice = definedBy === undefined ? 'it was made by itself' : `change the definition of ${definedBy}`
  throw new Rejected('SCHEDULE_OWNED', `the schedule ${name} is not yours to change: ${advice}`)
}

function remove(draft: Draft, { definedBy, reason }: Extract<ScheduleCommand, { type: 'DeleteSchedule' }>): void {
  requireOwner(draft.state, definedBy)
  draft.emit({ type: 'ScheduleDeleted', data: { reason, discarded: draft.state.queue } })
}

/** What would have started meanwhile is not made up for. */
function resume(draft: Draft, reason: string): void {
  if (draft.state.status !== 'paused') return
  draft.passUntil(draft.atMs, 'paused')
  draft.emit({ type: 'ScheduleResumed', data: { reason } })
  proceed(draft)
}

function endRun(draft: Draft, command: Extract<ScheduleCommand, { type: 'RecordRunEnd' | 'RefuseRun' }>): void {
  const run = draft.state.open.find(({ executionId }) => executionId === command.executionId)
  if (!run) return
  const { nominalAt, executionId } = run
  if (command.type === 'RecordRunEnd')
    draft.emit({ type: 'ScheduledRunEnded', data: { nominalAt, executionId, outcome: command.outcome } })
  else draft.emit({ type: 'ScheduledRunRefused', data: { nominalAt, executionId, error: command.error } })
  proceed(draft)
}

function requestBackfill(draft: Draft, { id, from, to, maxConcurrent, at }: RequestBackfill): void {
  const { backfill, lastBackfill, spec } = draft.state
  if (id === lastBackfill) return
  if (backfill) {
    const message = `a backfill up to ${backfill.to} goes on; wait for its end, or cancel it`
    throw new Rejected('BACKFILL_RUNNING', message)
  }
  if (from >= to) impossible('/to', 'lies before `from`, or is the same')
  if (to > at) impossible('/to', `lies in the future; it is ${at}, and what is to come starts by itself`)
  const afterMs = Date.parse(from) - 1
  const { length: count } = timesBetween(spec.timing, afterMs, Date.parse(to) - 1, MAX_BACKFILL + 1)
  if (count === 0) impossible('/from', 'the schedule has no nominal time from here to `to`')
  if (count > MAX_BACKFILL) {
    const [last] = timesBetween(spec.timing, afterMs, Date.parse(to), MAX_BACKFILL + 1).slice(-1)
    impossible('/to', `more than ${MAX_BACKFILL} nominal times; as many are there up to ${iso(last ?? afterMs)}`)
  }
  draft.emit({ type: 'BackfillRequested', data: { id, from, to, maxConcurrent, count } })
  proceed(draft)
}

function impossible(pointer: string, message: string): never {
  throw new Rejected('BACKFILL_IMPOSSIBLE', 'no such backfill can be', [{ pointer, message }])
}
