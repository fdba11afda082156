// What is under way according to the log, held against those that are to carry it out. Each check is a row of the table below.
import { childOf } from '../commands/sub-workflows.ts'
import { executionDecider } from '../domain/execution/decide.ts'
import { type ExecutionEvent, type ExecutionEventOf, executionStream } from '../domain/execution/events.ts'
import type { Timer } from '../domain/execution/timers.ts'
import { workId } from '../domain/execution/work.ts'
import type { RecordedEvent } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import { upcast } from '../domain/upcast.ts'
import type { Clock } from '../ports/clock.ts'
import type { EventStore } from '../ports/event-store.ts'
import { isAttemptLease, type Leases, leaseKey } from '../ports/leases.ts'
import type { WorkQueue } from '../ports/work-queue.ts'
import type { Drift } from '../projections/findings.ts'
import type { Allocator } from '../reactors/allocator.ts'
import type { Dispatcher } from '../reactors/dispatcher.ts'
import type { SubWorkflowReactor } from '../reactors/sub-workflows.ts'
import { commandOf, type Timekeeper } from '../reactors/timekeeper.ts'
import type { OpenAttempt, OpenWorkState } from './open-work.ts'
import { checkAsking, checkHeld } from './pool-checks.ts'

/** The reactors of this process. */
export type Engine = {
  readonly dispatcher: Pick<Dispatcher, 'openAttempt' | 'takeUp'>
  readonly timekeeper: Pick<Timekeeper, 'timer' | 'takeUp'>
  readonly subWorkflows: Pick<SubWorkflowReactor, 'openAttempt' | 'takeUp'>
  readonly allocator: Pick<Allocator, 'knows' | 'streams' | 'takeUp' | 'giveBack'>
  /** The position up to which all of them have done what the log makes them do. */
  acted(): number
}

export type Live = {
  readonly engine: Engine
  readonly store: Pick<EventStore, 'readStream' | 'head'>
  readonly queue: WorkQueue
  readonly leases: Leases
  readonly clock: Clock
}

/** What does not look as the log says; whoever asks looks again before anybody is accused, since work goes on meanwhile. */
export type Suspect = {
  readonly drift: Drift
  /** The stream that says whether it is so. */
  readonly stream: string
  /** Answers what was done. */
  repair(): Promise<string>
}

/** Everything that `open` has is to be found in `live`, and the other way round. */
export type OpenCheck = (open: OpenWorkState, live: Live) => Promise<readonly Suspect[]>

export const openChecks: readonly OpenCheck[] = [
  checkWork,
  checkCalls,
  checkTimers,
  checkLeases,
  checkAsking,
  checkHeld,
]

const nameOf = ({ executionId, stage, attempt }: OpenAttempt): string => `${executionId}/${stage} attempt ${attempt}`
const said = (attempt: number | undefined): string => (attempt === undefined ? 'none' : `attempt ${attempt}`)

/** An attempt waits in the queue, or somebody holds its lease, or it has begun and the timekeeper will find that nobody does. */
async function checkWork({ attempts }: OpenWorkState, live: Live): Promise<readonly Suspect[]> {
  const { queue, leases, engine } = live
  const own = attempts.filter(({ doneBy }) => doneBy === 'worker')
  const idOf = ({ executionId, revision }: OpenAttempt) => workId(executionStream(executionId), revision)
  const keyOf = ({ executionId, stage, attempt }: OpenAttempt) => leaseKey(executionId, stage, attempt)
  const lacking = new Set(await queue.lacking(own.map(idOf)))
  const unheld = new Set(await leases.unheld(own.filter((one) => lacking.has(idOf(one))).map(keyOf)))
  return own.flatMap((one): Suspect[] => {
    const { executionId, stage, attempt, revision } = one
    const timer = engine.timekeeper.timer(`${executionId}:${stage}`)?.does
    const watched = timer?.kind === 'time-out-stage' && timer.leased && timer.attempt === attempt
    const lost = unheld.has(keyOf(one)) && !watched
    const known = engine.dispatcher.openAttempt(executionId, stage)
    if (!lost && known === attempt) return []
    const drift = lost
      ? { where: 'queue', key: nameOf(one), what: 'is scheduled, but neither waits nor runs, and nobody will find out' }
      : { where: 'dispatcher', key: nameOf(one), what: `is under way, but the dispatcher knows ${said(known)}` }
    const repair = async () => {
      const scheduled = await eventAt(live, executionId, revision)
      await engine.dispatcher.takeUp(scheduled as RecordedEvent<ExecutionEventOf<'StageScheduled'>>)
      return `published ${nameOf(one)} again`
    }
    return [{ drift, stream: executionStream(executionId), repair }]
  })
}

/** An attempt whose work is another run is known to the reactor that starts that run and tells its end. */
async function checkCalls({ attempts }: OpenWorkState, live: Live): Promise<readonly Suspect[]> {
  const { subWorkflows } = live.engine
  const own = attempts.filter(({ doneBy }) => doneBy === 'sub-workflow')
  const unknown = own.filter(
    ({ executionId, stage, attempt }) => subWorkflows.openAttempt(executionId, stage) !== attempt,
  )
  return unknown.map((one): Suspect => {
    const known = said(subWorkflows.openAttempt(one.executionId, one.stage))
    const drift = {
      where: 'sub-workflows',
      key: nameOf(one),
      what: `waits for a run, but their reactor knows ${known}`,
    }
    const repair = async () => {
      const child = childOf(one)
      const told = [...(await eventsFrom(live, one.executionId, one.revision)), ...(await eventsFrom(live, child, 0))]
      await subWorkflows.takeUp(told)
      return `took up ${nameOf(one)} again`
    }
    return { drift, stream: executionStream(one.executionId), repair }
  })
}

/** A timer of the log is set. One that was due is not any more where its command would change nothing. */
async function checkTimers({ timers }: OpenWorkState, live: Live): Promise<readonly Suspect[]> {
  const { timekeeper } = live.engine
  const suspects: Suspect[] = []
  for (const timer of timers) {
    if (timekeeper.timer(timer.key)?.causationId === timer.causationId) continue
    if (timer.dueMs <= live.clock.now() && !(await wouldChange(timer, live))) continue
    const due = new Date(timer.dueMs).toISOString()
    suspects.push({
      drift: { where: 'timers', key: timer.key, what: `is to ${timer.does.kind} at ${due}, but is not set` },
      stream: executionStream(timer.executionId),
      async repair() {
        timekeeper.takeUp(timer)
        return `set the timer ${timer.key} for ${due}`
      },
    })
  }
  return suspects
}

async function wouldChange(timer: Timer, live: Live): Promise<boolean> {
  let state = executionDecider.initialState
  for (const event of await eventsFrom(live, timer.executionId, 0)) state = executionDecider.evolve(state, event)
  try {
    return executionDecider.decide(commandOf(timer, new Date(live.clock.now()).toISOString()), state).length > 0
  } catch (error) {
    if (error instanceof Rejected) return false
    throw error
  }
}

/** A lease is of an attempt that has not ended, unless its holder was asked to stop and still may. */
async function checkLeases({ attempts }: OpenWorkState, { leases }: Live): Promise<readonly Suspect[]> {
  const open = new Set(attempts.map(({ executionId, stage, attempt }) => leaseKey(executionId, stage, attempt)))
  const held = (await leases.held()).filter(({ key }) => isAttemptLease(key))
  const orphans = held.filter(({ key, revoked }) => !revoked && !open.has(key))
  return orphans.map(({ key, owner }): Suspect => {
    const drift = { where: 'leases', key, what: `is held by ${owner}, but the attempt has ended` }
    const [executionId = ''] = key.split(':')
    const repair = async () => {
      await leases.release(key, owner)
      return `released the lease ${key} of ${owner}`
    }
    return { drift, stream: executionStream(executionId), repair }
  })
}

async function eventAt(live: Live, executionId: string, revision: number): Promise<RecordedEvent<ExecutionEvent>> {
  const [event] = await eventsFrom(live, executionId, revision, 1)
  if (event === undefined) throw new Error(`execution ${executionId} has no event at revision ${revision}`)
  return event
}

async function eventsFrom({ store }: Live, executionId: string, from: number, limit?: number) {
  const found: RecordedEvent<ExecutionEvent>[] = []
  const options = limit === undefined ? { from } : { from, limit }
  for await (const events of store.readStream(executionStream(executionId), options))
    for (const event of events as readonly RecordedEvent<ExecutionEvent>[]) found.push(upcast(event))
  return found
}
