import type { PassedReason, ScheduleEvent } from './events.ts'
import { countedTimes, dueTime, newestTimes, nextTime } from './nominal-times.ts'
import { evolve, type KnownSchedule } from './state.ts'

/** The id of the run for a nominal time: the same for whoever works it out. */
export type RunIdOf = (namespace: string, schedule: string, nominalAt: string) => string

/** What has not ended: more is passed over, so that the state of a schedule that allows overlap stays bounded. */
export const MAX_OPEN = 1_000

export const iso = (ms: number): string => new Date(ms).toISOString()

/** A decision in the making: the events so far and the state after them. */
export class Draft {
  state: KnownSchedule
  readonly atMs: number
  readonly events: ScheduleEvent[] = []
  readonly #runIdOf: RunIdOf
  /** Times in a row that are passed for the same reason become one event. */
  #passing: { reason: PassedReason; fromMs: number; toMs: number; count: number } | undefined

  constructor(state: KnownSchedule, at: string, runIdOf: RunIdOf) {
    this.state = state
    this.atMs = Date.parse(at)
    this.#runIdOf = runIdOf
  }

  get live(): KnownSchedule['open'] {
    return this.state.open.filter(({ backfill }) => backfill === undefined)
  }

  emit(event: ScheduleEvent): void {
    this.flush()
    this.#take(event)
  }

  /** The nominal time after all that have been decided on. */
  next(): number | undefined {
    const decidedMs = this.#passing?.toMs ?? Date.parse(this.state.decidedTo)
    return nextTime(this.state.spec.timing, decidedMs)
  }

  dueOf(nominalMs: number): number {
    return dueTimeOf(this.state, nominalMs)
  }

  fire(nominalAt: string, backfill?: string): void {
    const { namespace, name } = this.state
    const executionId = this.#runIdOf(namespace, name, nominalAt)
    const asked = backfill === undefined ? {} : { backfill }
    this.emit({ type: 'ScheduleFired', data: { nominalAt, executionId, ...asked } })
  }

  pass(nominalMs: number, reason: PassedReason): void {
    if (this.#passing?.reason === reason) {
      this.#passing.toMs = nominalMs
      this.#passing.count++
      return
    }
    this.flush()
    this.#passing = { reason, fromMs: nominalMs, toMs: nominalMs, count: 1 }
  }

  /** Passes over every nominal time that is not decided on, up to `untilMs`. */
  passUntil(untilMs: number, reason: PassedReason): void {
    this.flush()
    const { timing } = this.state.spec
    const afterMs = Date.parse(this.state.decidedTo)
    const first = nextTime(timing, afterMs)
    if (first === undefined || first > untilMs) return
    const { count, more } = countedTimes(timing, afterMs, untilMs)
    const last = newestTimes(timing, afterMs, untilMs, 1)[0] ?? first
    const counted = more ? { count, more } : { count }
    this.#take({ type: 'ScheduleTimesPassed', data: { from: iso(first), to: iso(last), ...counted, reason } })
  }

  flush(): void {
    if (!this.#passing) return
    const { reason, fromMs, toMs, count } = this.#passing
    this.#passing = undefined
    this.#take({ type: 'ScheduleTimesPassed', data: { from: iso(fromMs), to: iso(toMs), count, reason } })
  }

  #take(event: ScheduleEvent): void {
    this.events.push(event)
    this.state = evolve(this.state, event) as KnownSchedule
  }
}

/** Milliseconds since 1970 at which a nominal time of the schedule is due. */
const dueTimeOf = ({ namespace, name, spec }: KnownSchedule, nominalMs: number): number =>
  dueTime(nominalMs, spec.jitterMs, `${namespace}.${name}`)

/** When there is something to decide without anything else happening; undefined where there never is. */
export function wakeTime(state: KnownSchedule): number | undefined {
  if (state.status !== 'active') return undefined
  const next = nextTime(state.spec.timing, Date.parse(state.decidedTo))
  return next === undefined ? undefined : dueTimeOf(state, next)
}
