// The invariants of a single run.
import type { ExecutionEvent, ExecutionEventOf } from '../../src/domain/execution/events.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import type { CompiledStage } from '../../src/domain/workflow/definition.ts'
import type { Accuse, Expectation } from './checker.ts'

type Recorded<T extends ExecutionEvent['type'] = ExecutionEvent['type']> = RecordedEvent<ExecutionEventOf<T>>

/** How a stage ended; `condition` is a skip that stands in nobody's way. */
type End = 'completed' | 'failed' | 'condition' | 'skipped' | 'cancelled'

/** What the log says of a stage so far. `attempt` is the latest that was scheduled, 0 before the first. */
type Seen = {
  readonly stage: CompiledStage
  /** `idle`: before the first attempt, or between two. */
  status: 'idle' | 'scheduled' | 'running' | End
  attempt: number
  lost: number
  manual: number
  /** Of the retry that was announced and has not begun. */
  dueAt: string | undefined
  wakeAt: string | undefined
}

type Run = {
  readonly stages: ReadonlyMap<string, Seen>
  readonly accuse: Accuse
  cancellation: Recorded<'ExecutionCancellationRequested'> | undefined
  failed: string[]
  ended: boolean
}

const ENDS: readonly string[] = ['completed', 'failed', 'condition', 'skipped', 'cancelled'] satisfies End[]
const hasEnded = ({ status }: Seen): boolean => ENDS.includes(status)

export function checkRun(events: readonly Recorded[], expectation: Expectation, accuse: Accuse): void {
  const [first, ...rest] = events
  if (first?.type !== 'ExecutionStarted') {
    if (first) accuse(first, 6, `the run begins with ${first.type}`)
    return
  }
  const run = begin(first, accuse)
  let before: Recorded = first
  for (const event of rest) {
    if (event.metadata.commandId !== before.metadata.commandId) checkSettled(run, before)
    if (run.ended) accuse(event, 7, `${event.type} comes after the end of the run`)
    else take(run, event)
    before = event
  }
  checkSettled(run, before)
  if (expectation.healed && !run.ended) accuse(before, 8, 'the run has not ended')
  checkCancelledInTime(run, before, expectation)
}

function begin({ data }: Recorded<'ExecutionStarted'>, accuse: Accuse): Run {
  const seen = (stage: CompiledStage): Seen => ({
    stage,
    status: 'idle',
    attempt: 0,
    lost: 0,
    manual: 0,
    dueAt: undefined,
    wakeAt: undefined,
  })
  const stages = new Map(data.definition.stages.map((stage) => [stage.id, seen(stage)]))
  return { stages, accuse, cancellation: undefined, failed: [], ended: false }
}

function take(run: Run, event: Recorded): void {
  switch (event.type) {
    case 'ExecutionStarted':
      run.accuse(event, 6, 'the run starts a second time')
      return
    case 'ExecutionCancellationRequested':
      if (run.cancellation) run.accuse(event, 21, 'cancellation is requested a second time')
      run.cancellation = event
      return
    case 'ExecutionCompleted':
    case 'ExecutionFailed':
    case 'ExecutionCancelled':
      takeEnd(run, event)
      return
    default: {
      const seen = run.stages.get(event.data.stage)
      if (seen) takeOfStage(run, seen, event)
      else run.accuse(event, 14, `${event.type} names no stage of the definition: ${event.data.stage}`)
    }
  }
}

type OfStage = Exclude<Recorded, { type: `Execution${string}` }>

function takeOfStage(run: Run, seen: Seen, event: OfStage): void {
  switch (event.type) {
    case 'StageScheduled':
      takeScheduled(run, seen, event)
      return
    case 'StageStarted':
      if (seen.status !== 'scheduled' || event.data.attempt !== seen.attempt)
        run.accuse(event, 13, `attempt ${event.data.attempt} starts while ${said(seen)}`)
      seen.status = 'running'
      return
    case 'StageCompleted':
      if (seen.wakeAt !== undefined && event.at < seen.wakeAt)
        run.accuse(event, 19, `the wait was to end at ${seen.wakeAt}, not at ${event.at}`)
      checkOutcome(run, seen, event)
      seen.status = 'completed'
      return
    case 'StageFailed':
      takeFailed(run, seen, event)
      return
    case 'StageRetried':
      takeRetried(run, seen, event)
      return
    case 'StageSkipped':
      if (seen.status !== 'idle' || seen.attempt > 0) run.accuse(event, 14, `it is skipped while ${said(seen)}`)
      seen.status = event.data.reason === 'condition' ? 'condition' : 'skipped'
      return
    case 'StageCancelled':
      // Of a stage between two attempts the one before is named, whose outcome stands already.
      if (seen.status !== 'idle' || event.data.attempt !== seen.attempt) checkOutcome(run, seen, event)
      seen.status = 'cancelled'
  }
}

function takeScheduled(run: Run, seen: Seen, event: Recorded<'StageScheduled'>): void {
  const { accuse } = run
  const { stage, attempt, wakeAt } = event.data
  if (hasEnded(seen)) accuse(event, 9, `${stage} is scheduled although it is ${seen.status}`)
  else if (seen.status !== 'idle') accuse(event, 11, `attempt ${attempt} begins while ${said(seen)}`)
  if (seen.attempt === 0 && !holds(run, seen.stage)) {
    const needs = seen.stage.needs.map((need) => `${need} ${run.stages.get(need)?.status}`).join(', ')
    accuse(event, 9, `${seen.stage.trigger} does not hold over ${needs}`)
  }
  if (run.cancellation) accuse(event, 10, `${stage} is scheduled after cancellation was requested`)
  if (attempt !== seen.attempt + 1) accuse(event, 12, `attempt ${attempt} follows ${seen.attempt}`)
  const most = seen.stage.retry.maxAttempts + seen.lost + seen.manual
  if (attempt > most) accuse(event, 12, `attempt ${attempt} of at most ${most}`)
  if (seen.attempt > 0 && seen.dueAt === undefined) accuse(event, 16, `attempt ${attempt} was not announced`)
  if (seen.dueAt !== undefined && event.at < seen.dueAt)
    accuse(event, 16, `attempt ${attempt} is due at ${seen.dueAt}, not at ${event.at}`)
  Object.assign(seen, { status: 'scheduled', attempt, wakeAt, dueAt: undefined })
}

function holds(run: Run, { trigger, needs }: CompiledStage): boolean {
  const of = needs.map((need) => run.stages.get(need)!)
  const succeeded = ({ status }: Seen) => status === 'completed' || status === 'condition'
  switch (trigger) {
    case 'all-success':
      return of.every(succeeded)
    case 'all-done':
      return of.every(hasEnded)
    case 'any-success':
      return of.some(succeeded)
    case 'any-failure':
      return of.some(({ status }) => status === 'failed')
  }
}

function takeFailed(run: Run, seen: Seen, event: Recorded<'StageFailed'>): void {
  const { error, recovery, attempt } = event.data
  // An expression without an answer fails the stage before the attempt is there; the last one that was is named.
  const beforeAttempt = error.code === 'EXPRESSION_FAILED' && seen.status === 'idle' && attempt === seen.attempt
  if (!beforeAttempt) checkOutcome(run, seen, event)
  if (recovery === 'retry' && error.retryable === false)
    run.accuse(event, 16, 'what is not retryable is to be tried again')
  if (recovery !== 'retry') run.failed.push(event.data.stage)
  seen.status = recovery === 'retry' ? 'idle' : 'failed'
}

function takeRetried(run: Run, seen: Seen, event: Recorded<'StageRetried'>): void {
  const { attempt, dueAt, backoffMs, reason } = event.data
  if (seen.status !== 'idle' || seen.attempt === 0) run.accuse(event, 14, `it is to be retried while ${said(seen)}`)
  if (attempt !== seen.attempt + 1) run.accuse(event, 12, `attempt ${attempt} is announced after ${seen.attempt}`)
  if (Date.parse(dueAt) < Date.parse(event.at) + backoffMs)
    run.accuse(event, 16, `${dueAt} is less than ${backoffMs} ms after ${event.at}`)
  if (reason === 'lost') seen.lost++
  if (reason === 'manual') seen.manual++
  seen.dueAt = dueAt
}

type Outcome = Recorded<'StageCompleted' | 'StageFailed' | 'StageCancelled'>

/** An outcome belongs to the attempt that is under way; only a cancellation may come before there was any. */
function checkOutcome({ accuse }: Run, seen: Seen, event: Outcome): void {
  const { attempt } = event.data
  if (seen.attempt === 0) accuse(event, 14, `attempt ${attempt} ends and was never scheduled`)
  else if (attempt !== seen.attempt) accuse(event, 13, `attempt ${attempt} ends while ${said(seen)}`)
  else if (seen.status !== 'scheduled' && seen.status !== 'running')
    accuse(event, 13, `attempt ${attempt} ends a second time: ${said(seen)}`)
}

type EndOfRun = Recorded<'ExecutionCompleted' | 'ExecutionFailed' | 'ExecutionCancelled'>

function takeEnd(run: Run, event: EndOfRun): void {
  run.ended = true
  const wanted = { cancelled: 'ExecutionCancelled', failed: 'ExecutionFailed' } as const
  const { cancellation, accuse } = run
  if (cancellation && event.type !== wanted[cancellation.data.outcome])
    accuse(event, 21, `a run that was to end ${cancellation.data.outcome} has ${event.type}`)
  const seen = [...run.stages.values()]
  for (const { stage } of seen.filter((one) => !hasEnded(one)))
    accuse(event, 22, `the run ends before its stage ${stage.id}`)
  if (event.type === 'ExecutionCompleted') {
    for (const one of seen)
      if (one.status === 'failed' || one.status === 'cancelled')
        accuse(event, 22, `the run is completed, but ${said(one)}`)
    const count = seen.filter(({ status }) => status === 'completed').length
    if (event.data.stages !== count) accuse(event, 22, `${event.data.stages} stages are told of, ${count} completed`)
  } else if (event.type === 'ExecutionCancelled') {
    if (!cancellation) accuse(event, 22, 'nobody asked for the cancellation')
  } else if (!cancellation) checkCause(run, event)
}

function checkCause(run: Run, event: Recorded<'ExecutionFailed'>): void {
  const { stages } = event.data.error
  if (stages.length === 0) run.accuse(event, 22, 'the failure has no cause')
  for (const id of stages)
    if (run.stages.get(id)?.status !== 'failed') run.accuse(event, 22, `it blames ${id}, which did not fail`)
}

/** After a whole batch nothing is left that should have been part of it. */
function checkSettled(run: Run, last: Recorded): void {
  if (run.ended) return
  const seen = [...run.stages.values()]
  if (seen.every(hasEnded)) run.accuse(last, 2, 'every stage has ended, and the batch does not end the run')
  for (const one of seen) {
    if (one.status !== 'idle') continue
    const { id, needs } = one.stage
    const left = one.attempt > 0 ? one.dueAt === undefined : needs.every((need) => hasEnded(run.stages.get(need)!))
    if (left) run.accuse(last, 2, `the batch ends without a word on ${id}`)
  }
}

function checkCancelledInTime({ cancellation, ended, accuse }: Run, last: Recorded, { cancelWithinMs }: Expectation) {
  if (!cancellation || !ended || cancelWithinMs === undefined) return
  const took = Date.parse(last.at) - Date.parse(cancellation.at)
  if (took > cancelWithinMs) accuse(last, 21, `the run ended ${took} ms after cancellation was requested`)
}

const said = ({ stage, status, attempt }: Seen): string => `${stage.id} is ${status} at attempt ${attempt}`
