// Invariant 20: a nominal time of a schedule has at most one run, and is one that the schedule names.
import type { ExecutionEvent } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import type { ScheduleEvent, ScheduleSpec } from '../domain/schedule/events.ts'
import { isNominal } from './cron-reader.ts'
import { IdSet } from './id-set.ts'
import type { StreamChecker } from './stream-checkers.ts'
import type { Accuse, Expectation } from './violations.ts'

type Recorded = RecordedEvent<ScheduleEvent>
type Of<T extends ScheduleEvent['type']> = RecordedEvent<Extract<ScheduleEvent, { type: T }>>

type Seen = {
  readonly accuse: Accuse
  spec: ScheduleSpec | undefined
  status: 'none' | 'active' | 'paused' | 'deleted'
  /** Up to here every nominal time has been decided on. */
  decidedTo: string
  queue: string[]
  /** Runs that go on, and the backfill of each. */
  readonly open: Map<string, string | undefined>
  backfill: Of<'BackfillRequested'>['data'] | undefined
}

/** The stream of one schedule. It may be defined again after it was deleted, and so never ends. */
export function createScheduleChecker(_expectation: Expectation, accuse: Accuse): StreamChecker {
  const seen: Seen = {
    accuse,
    spec: undefined,
    status: 'none',
    decidedTo: '',
    queue: [],
    open: new Map(),
    backfill: undefined,
  }
  return { take: (event) => take(seen, event as Recorded), end: () => {}, ended: false }
}

function take(seen: Seen, event: Recorded): void {
  const { accuse } = seen
  switch (event.type) {
    case 'ScheduleDefined':
    case 'ScheduleRevised':
      begin(seen, event)
      return
    case 'SchedulePaused':
    case 'ScheduleResumed':
      seen.status = event.type === 'SchedulePaused' ? 'paused' : 'active'
      return
    case 'ScheduleDeleted':
      if (event.data.discarded.join() !== seen.queue.join()) accuse(event, 20, 'what it discards is not what waited')
      seen.status = 'deleted'
      seen.queue = []
      seen.backfill = undefined
      return
    case 'ScheduleQueued':
      decidedOnce(seen, event, event.data.nominalAt, event.data.nominalAt)
      seen.queue.push(event.data.nominalAt)
      return
    case 'ScheduleFired':
      takeFired(seen, event)
      return
    case 'ScheduleTimesPassed':
      takePassed(seen, event)
      return
    case 'ScheduledRunEnded':
    case 'ScheduledRunRefused':
      if (!seen.open.delete(event.data.executionId)) accuse(event, 20, `${event.data.executionId} was not open`)
      return
    case 'BackfillRequested':
      if (seen.backfill) accuse(event, 20, `the backfill ${seen.backfill.id} goes on`)
      seen.backfill = event.data
      return
    case 'BackfillEnded':
      if (seen.backfill?.id !== event.data.id) accuse(event, 20, `the backfill ${event.data.id} did not go on`)
      seen.backfill = undefined
      return
    case 'ScheduleCarriedForward':
      carried(seen, event)
  }
}

function begin(seen: Seen, event: Of<'ScheduleDefined' | 'ScheduleRevised'>): void {
  const { spec, after } = event.data
  const present = seen.status === 'active' || seen.status === 'paused'
  if (present !== (event.type === 'ScheduleRevised')) seen.accuse(event, 20, `the schedule was ${seen.status}`)
  if (after < seen.decidedTo) seen.accuse(event, 20, `times up to ${seen.decidedTo} have been decided on`)
  seen.spec = spec
  seen.decidedTo = after
  if (!present) seen.status = 'active'
}

/** Nominal times are decided on in their order, so none comes twice; nothing is before its time. */
function decidedOnce(seen: Seen, event: Recorded, from: string, to: string): void {
  const { accuse, decidedTo, spec } = seen
  if (from <= decidedTo) accuse(event, 20, `${from} is decided on, and everything up to ${decidedTo} has been`)
  if (to > event.at) accuse(event, 19, `${to} has not come yet`)
  for (const time of new Set([from, to]))
    if (!spec || !names(spec, time)) accuse(event, 20, `${time} is no nominal time of the schedule`)
  seen.decidedTo = to
}

function names({ timing }: ScheduleSpec, time: string): boolean {
  const ms = Date.parse(time)
  switch (timing.kind) {
    case 'cron':
      return isNominal(timing.expression, timing.timezone, ms)
    case 'every':
      return (ms - Date.parse(timing.from)) % timing.everyMs === 0
    case 'at':
      return time === timing.at
  }
}

function takeFired(seen: Seen, event: Of<'ScheduleFired'>): void {
  const { nominalAt, executionId, backfill } = event.data
  const { accuse, open, spec } = seen
  if (open.has(executionId)) accuse(event, 20, `${executionId} goes on already`)
  if (seen.status === 'deleted' || seen.status === 'none') accuse(event, 20, `the schedule is ${seen.status}`)
  if (backfill !== undefined) takeBackfilled(seen, event, backfill)
  else {
    if (seen.status === 'paused') accuse(event, 20, 'the schedule is paused')
    if (seen.queue[0] === nominalAt) seen.queue.shift()
    else decidedOnce(seen, event, nominalAt, nominalAt)
    const beside = [...open].find(([, of]) => of === undefined)
    if (beside && spec?.overlap !== 'allow') accuse(event, 20, `${beside[0]} has not ended, and runs may not overlap`)
  }
  open.set(executionId, backfill)
}

function takeBackfilled({ accuse, backfill, open, spec }: Seen, event: Of<'ScheduleFired'>, id: string): void {
  const { nominalAt } = event.data
  if (backfill?.id !== id) {
    accuse(event, 20, `the backfill ${id} does not go on`)
    return
  }
  if (nominalAt < backfill.from || nominalAt >= backfill.to) accuse(event, 20, `${nominalAt} is outside the backfill`)
  if (!spec || !names(spec, nominalAt)) accuse(event, 20, `${nominalAt} is no nominal time of the schedule`)
  const running = [...open.values()].filter((of) => of === id).length
  if (running >= backfill.maxConcurrent) accuse(event, 20, `${running} runs of the backfill go on already`)
}

function takePassed(seen: Seen, event: Of<'ScheduleTimesPassed'>): void {
  const { from, to, reason, backfill } = event.data
  if (backfill !== undefined) return
  if (reason !== 'replaced') decidedOnce(seen, event, from, to)
  else if (seen.queue.shift() !== from) seen.accuse(event, 20, `${from} did not wait`)
}

function carried(seen: Seen, event: Of<'ScheduleCarriedForward'>): void {
  const { status, spec, decidedTo, open, queue } = event.data.state
  const said = JSON.stringify([status, spec, decidedTo, open.map(({ executionId }) => executionId), queue])
  const known = JSON.stringify([seen.status, seen.spec, seen.decidedTo, [...seen.open.keys()], seen.queue])
  if (said !== known) seen.accuse(event, 31, `what it carries forward is ${said}, and not ${known}`)
}

/** The runs that schedules started, over the whole log: one for each nominal time, and each was fired. */
export class ScheduledRunsChecker {
  readonly #accuse: Accuse
  readonly #fired = new IdSet()
  readonly #started = new IdSet()

  constructor(accuse: Accuse) {
    this.#accuse = accuse
  }

  take(event: RecordedEvent<ScheduleEvent | ExecutionEvent>): void {
    if (event.type === 'ScheduleFired') this.#fired.add(keyOf(event.metadata.namespace, event.stream, event.data))
    if (event.type !== 'ExecutionStarted' || event.data.trigger.kind !== 'schedule') return
    const { executionId, namespace, trigger } = event.data
    const stream = `schedule-${namespace}.${trigger.by.slice('schedule:'.length)}`
    const { nominalAt = '' } = trigger
    if (!this.#fired.has(keyOf(namespace, stream, { nominalAt, executionId })))
      this.#accuse(event, 20, `${stream} did not fire it for ${nominalAt}`)
    if (!this.#started.add(`${stream} ${nominalAt}`)) this.#accuse(event, 20, `${nominalAt} has a run already`)
  }
}

const keyOf = (namespace: string, stream: string, run: { readonly nominalAt: string; readonly executionId: string }) =>
  [namespace, stream, run.nominalAt, run.executionId].join(' ')
