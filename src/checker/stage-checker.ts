// The invariants of one stage of a run: its attempts, what they wait for, and their outcomes.
import {
  hasEnded,
  hasSucceeded,
  maxParallelOf,
  type Recorded,
  type Run,
  runningIn,
  type Seen,
  said,
  verdictOn,
} from './run-seen.ts'

type OfStage = Exclude<
  Recorded,
  { type: `Execution${string}` | 'SignalReceived' | 'CompensationStarted' | 'StagesGenerated' }
>

export function takeOfStage(run: Run, seen: Seen, event: OfStage): void {
  takeAlone(run, seen, event)
  // Whatever else happens to a stage, it then waits for its pool no more.
  if (event.type !== 'StageDeferred') seen.asks = undefined
}

function takeAlone(run: Run, seen: Seen, event: OfStage): void {
  switch (event.type) {
    case 'StageDeferred':
      takeDeferred(run, seen, event)
      return
    case 'StageScheduled':
      takeScheduled(run, seen, event)
      return
    case 'StageStarted':
      if (seen.status !== 'scheduled' || event.data.attempt !== seen.attempt)
        run.accuse(event, 13, `attempt ${event.data.attempt} starts while ${said(seen)}`)
      seen.status = 'running'
      return
    case 'StageCheckpointed': {
      const { attempt, sequence } = event.data
      if (seen.status !== 'running' || attempt !== seen.attempt)
        run.accuse(event, 13, `attempt ${attempt} saves something while ${said(seen)}`)
      if (sequence <= seen.sequence) run.accuse(event, 13, `checkpoint ${sequence} comes after ${seen.sequence}`)
      seen.sequence = sequence
      return
    }
    case 'StageCompleted':
      takeCompleted(run, seen, event)
      return
    case 'StageFailed':
      takeFailed(run, seen, event)
      return
    case 'StageAbandoned':
      if (seen.status !== 'asking') run.accuse(event, 13, `it is given up while ${said(seen)}`)
      fails(run, seen, event.data.recovery)
      return
    case 'StageRetried':
      takeRetried(run, seen, event)
      return
    case 'StageSkipped':
      takeSkipped(run, seen, event)
      return
    case 'StageCancelled':
      // Of a stage between two attempts the one before is named, whose outcome stands already.
      if ((seen.status !== 'idle' && seen.status !== 'asking') || event.data.attempt !== seen.attempt)
        checkOutcome(run, seen, event)
      seen.status = 'cancelled'
      return
    case 'ApprovalRequested':
    case 'ApprovalGranted':
    case 'ApprovalRejected':
      takeApproval(run, seen, event)
      return
    case 'StageRestored':
      takeRestored(run, seen, event)
  }
}

/** The attempt is as good as begun, but for the pool: it asks once, and hears why not once for each reason. */
function takeDeferred(run: Run, seen: Seen, event: Recorded<'StageDeferred'>): void {
  const { attempt, pool, reason } = event.data
  if (seen.status !== 'idle') run.accuse(event, 11, `attempt ${attempt} asks for ${pool} while ${said(seen)}`)
  if (attempt !== seen.attempt + 1) run.accuse(event, 12, `attempt ${attempt} asks after ${seen.attempt}`)
  if (seen.stage.resources?.pool !== pool) run.accuse(event, 17, `its stage does not ask for ${pool}`)
  if ((reason === 'asked') !== (seen.asks === undefined)) run.accuse(event, 17, `it asks (${reason}) out of turn`)
  if (reason === 'asked') checkBegins(run, seen, event)
  // It is due when it asks; clocks may be set back until it hears of its pool.
  if (reason === 'asked' && seen.dueAt !== undefined && event.at < seen.dueAt)
    run.accuse(event, 16, `attempt ${attempt} is due at ${seen.dueAt}, not at ${event.at}`)
  seen.asks = pool
}

function takeScheduled(run: Run, seen: Seen, event: Recorded<'StageScheduled'>): void {
  const { accuse } = run
  const { stage, attempt, waitsFor } = event.data
  if (seen.restored) accuse(event, 33, `${stage} had completed in the run restored from`)
  if (hasEnded(seen)) accuse(event, 9, `${stage} is scheduled although it is ${seen.status}`)
  else if (seen.status !== 'idle') accuse(event, 11, `attempt ${attempt} begins while ${said(seen)}`)
  checkBegins(run, seen, event)
  if (attempt !== seen.attempt + 1) accuse(event, 12, `attempt ${attempt} follows ${seen.attempt}`)
  const work = seen.fallback ?? seen.own
  work.tried++
  const { maxAttempts } = (seen.fallback && seen.stage.fallback ? seen.stage.fallback : seen.stage).retry
  const most = Math.max(maxAttempts, seen.granted) + work.lost + seen.manual
  if (work.tried > most) accuse(event, 12, `attempt ${attempt} of at most ${most}`)
  if (seen.attempt > 0 && seen.dueAt === undefined) accuse(event, 16, `attempt ${attempt} was not announced`)
  if (seen.asks === undefined && seen.dueAt !== undefined && event.at < seen.dueAt)
    accuse(event, 16, `attempt ${attempt} is due at ${seen.dueAt}, not at ${event.at}`)
  if (seen.asks !== event.data.grant?.pool)
    accuse(event, 17, `attempt ${attempt} holds ${event.data.grant?.pool}, and asked for ${seen.asks}`)
  const status = waitsFor ? 'waiting' : 'scheduled'
  Object.assign(seen, { status, attempt, waits: waitsFor, approval: undefined, sequence: 0, dueAt: undefined })
  const group = seen.stage.parent === undefined ? undefined : run.stages.get(seen.stage.parent)
  if (group && runningIn(group).length > maxParallelOf(group))
    accuse(event, 17, `${runningIn(group).length} stages of ${group.stage.id} run at once`)
}

/** Whether the run lets the stage begin, be it an attempt or a group. */
export function checkBegins(
  run: Run,
  seen: Seen,
  event: Recorded<'StageScheduled' | 'StageDeferred' | 'StagesGenerated'>,
): void {
  const { id, trigger, needs, parent, compensates } = seen.stage
  // What has asked its pool has begun, whatever a person has reopened since.
  if (seen.attempt === 0 && seen.asks === undefined && verdictOn(run, seen) !== 'start') {
    const states = needs.map((need) => `${need} ${run.stages.get(need)?.status}`).join(', ')
    run.accuse(event, 9, `${trigger} does not hold over ${states}`)
  }
  if (parent !== undefined && run.stages.get(parent)?.status !== 'expanded')
    run.accuse(event, 9, `${id} begins while the stage that generated it does not wait for it`)
  if (run.queued) run.accuse(event, 10, `${id} begins while the run waits for its group`)
  if (run.paused) run.accuse(event, 10, `${id} begins while the run is paused`)
  const undoes = compensates !== undefined && run.cancellation?.data.outcome === 'failed'
  if (run.cancellation && !undoes) run.accuse(event, 10, `${id} begins after cancellation was requested`)
  if (run.failing && seen.attempt > 0 && compensates === undefined)
    run.accuse(event, 10, `${id} begins again although the run is failing`)
  if (compensates === undefined) return
  const others = [...run.stages.values()].filter((one) => one !== seen && !hasEnded(one))
  const early = others.find((one) => one.stage.compensates === undefined || one.status !== 'idle' || one.attempt > 0)
  if (early) run.accuse(event, 24, `${id} begins while ${said(early)}`)
}

function takeCompleted(run: Run, seen: Seen, event: Recorded<'StageCompleted'>): void {
  const { waits, approval } = seen
  if (waits?.for === 'timer' && event.at < waits.until)
    run.accuse(event, 19, `the wait was to end at ${waits.until}, not at ${event.at}`)
  if (waits?.for === 'signal') takeSignal(run, waits.name, event)
  if (approval && (approval.rejected || approval.granted.length < approval.required))
    run.accuse(event, 23, `it is approved by ${approval.granted.length} of ${approval.required}`)
  checkOutcome(run, seen, event)
  for (const child of seen.status === 'expanded' ? seen.children : [])
    if (!hasSucceeded(child) && child.skipped !== 'trigger') run.accuse(event, 22, `it completes, but ${said(child)}`)
  if (seen.stage.compensate && seen.attempt > 0) run.undoable.push(seen.stage.id)
  seen.status = 'completed'
}

function takeSignal(run: Run, wanted: string, event: Recorded<'StageCompleted'>): void {
  const at = run.signals.findIndex(({ name }) => name === wanted)
  const payload = run.signals[at]?.payload
  if (payload !== JSON.stringify(event.data.output)) run.accuse(event, 14, `no signal ${wanted} has brought its output`)
  if (at >= 0) run.signals.splice(at, 1)
}

function takeFailed(run: Run, seen: Seen, event: Recorded<'StageFailed'>): void {
  const { error, recovery, attempt } = event.data
  const { waits } = seen
  // An expression without an answer fails the stage before the attempt is there; the last one that was is named.
  const unanswered = error.code === 'EXPRESSION_FAILED' || error.code === 'INPUT_INVALID'
  const refused = seen.asks !== undefined && (error.code === 'POOL_UNKNOWN' || error.code === 'POOL_TOO_SMALL')
  const beforeAttempt = (unanswered || refused) && seen.status === 'idle' && attempt === seen.attempt
  if (!beforeAttempt) checkOutcome(run, seen, event)
  if (
    seen.status === 'waiting' &&
    error.code === 'TIMED_OUT' &&
    !(waits?.until !== undefined && waits.until <= event.at)
  )
    run.accuse(event, 19, `patience was to end at ${waits?.until}, not at ${event.at}`)
  const granted = run.rules.find(({ name }) => name === event.data.rule)?.recover
  if (granted?.action === 'retry') seen.granted = granted.maxAttempts ?? 0
  if (recovery === 'retry' && error.retryable === false)
    run.accuse(event, 16, 'what is not retryable is to be tried again')
  if (recovery === 'fallback' && (seen.fallback || !seen.stage.fallback))
    run.accuse(event, 12, 'it has no fallback, or has fallen back already')
  if (recovery === 'retry' || recovery === 'fallback' || recovery === 'skip') seen.status = 'failing'
  else if (recovery === 'ask') seen.status = 'asking'
  else fails(run, seen, recovery)
}

/** The stage has failed for good; only of the run's own stages does that fail the run at once. */
function fails(run: Run, seen: Seen, recovery: 'fail-fast' | 'compensate' | 'continue'): void {
  seen.status = 'failed'
  if (recovery === 'compensate') run.failing = 'compensate'
  else if (recovery === 'fail-fast' && seen.stage.parent === undefined) run.failing ||= 'fail-fast'
}

function takeRetried(run: Run, seen: Seen, event: Recorded<'StageRetried'>): void {
  const { attempt, dueAt, backoffMs, reason } = event.data
  const byPerson = seen.status === 'asking' || seen.status === 'failed' || seen.dueAt !== undefined
  if (reason === 'manual' ? !byPerson : seen.status !== 'failing')
    run.accuse(event, 14, `it is to be retried (${reason}) while ${said(seen)}`)
  if (attempt !== seen.attempt + 1) run.accuse(event, 12, `attempt ${attempt} is announced after ${seen.attempt}`)
  if (Date.parse(dueAt) < Date.parse(event.at) + backoffMs)
    run.accuse(event, 16, `${dueAt} is less than ${backoffMs} ms after ${event.at}`)
  if ((run.failing || run.cancellation) && seen.stage.compensates === undefined)
    run.accuse(event, 10, 'it is to be tried again although the run is ending')
  if (reason === 'lost') (seen.fallback ?? seen.own).lost++
  if (reason === 'manual') seen.manual++
  if (reason === 'fallback') seen.fallback = { tried: 0, lost: 0 }
  else if (seen.status === 'failed') seen.fallback = undefined
  if (event.data.with) seen.stage = { ...seen.stage, with: event.data.with }
  for (const id of event.data.reopens ?? []) reopen(run, id, event)
  Object.assign(seen, { status: 'idle', dueAt })
}

function reopen(run: Run, id: string, event: Recorded<'StageRetried'>): void {
  const seen = run.stages.get(id)
  if (seen?.status !== 'skipped' || seen.skipped !== 'trigger')
    run.accuse(event, 14, `it reopens ${id}, which was not skipped because of it`)
  else seen.status = 'idle'
}

function takeSkipped(run: Run, seen: Seen, event: Recorded<'StageSkipped'>): void {
  const { reason } = event.data
  const fresh = seen.status === 'idle' && seen.attempt === 0
  const idle = fresh || ['idle', 'asking', 'scheduled', 'waiting'].includes(seen.status)
  const may = reason === 'recovery' ? seen.status === 'failing' : reason === 'person' ? idle : fresh
  if (!may) run.accuse(event, 14, `it is skipped (${reason}) while ${said(seen)}`)
  if (reason === 'trigger' && verdictOn(run, seen) !== 'never')
    run.accuse(event, 9, `its trigger can hold, and it is skipped`)
  Object.assign(seen, { status: 'skipped', skipped: reason })
}

type OfApproval = Recorded<'ApprovalRequested' | 'ApprovalGranted' | 'ApprovalRejected'>

function takeApproval(run: Run, seen: Seen, event: OfApproval): void {
  if (seen.status !== 'waiting' || seen.waits?.for !== 'approval' || event.data.attempt !== seen.attempt)
    run.accuse(event, 23, `${event.type} comes while ${said(seen)}`)
  if (event.type === 'ApprovalRequested') {
    const { required, selfApproval: self } = event.data
    seen.approval = { required, self, granted: [], rejected: false }
    return
  }
  const { by } = event.data
  const { approval } = seen
  if (!approval) run.accuse(event, 23, 'nobody asked for an approval')
  if (approval?.self === false && by === run.startedBy) run.accuse(event, 23, `${by} started the run`)
  if (approval?.granted.includes(by) && event.type === 'ApprovalGranted') run.accuse(event, 23, `${by} grants it twice`)
  if (event.type === 'ApprovalRejected') Object.assign(approval ?? {}, { rejected: true })
  else approval?.granted.push(by)
}

function takeRestored(run: Run, seen: Seen, { data, ...event }: Recorded<'StageRestored'>): void {
  if (seen.status !== 'idle' && seen.status !== 'expanded') run.accuse(event, 33, `it is restored while ${said(seen)}`)
  if (data.as === 'resumable') return
  seen.restored = true
  if (data.as === 'skipped') Object.assign(seen, { status: 'skipped', skipped: data.reason })
  else Object.assign(seen, { status: 'completed', attempt: data.attempt })
  if (data.as === 'completed' && data.attempt > 0 && seen.stage.compensate) run.undoable.push(seen.stage.id)
}

type Outcome = Recorded<'StageCompleted' | 'StageFailed' | 'StageCancelled'>

/** An outcome belongs to the attempt that is under way, or to the group whose stages have all ended. */
function checkOutcome({ accuse }: Run, seen: Seen, event: Outcome): void {
  const { attempt } = event.data
  if (seen.status === 'expanded') {
    const open = seen.children.filter((child) => !hasEnded(child))
    if (attempt !== seen.attempt) accuse(event, 13, `attempt ${attempt} ends while ${said(seen)}`)
    if (open.length > 0) accuse(event, 14, `it ends before ${open.map(({ stage }) => stage.id).join(', ')}`)
  } else if (seen.attempt === 0) accuse(event, 14, `attempt ${attempt} ends and was never scheduled`)
  else if (attempt !== seen.attempt) accuse(event, 13, `attempt ${attempt} ends while ${said(seen)}`)
  else if (!['scheduled', 'running', 'waiting'].includes(seen.status))
    accuse(event, 13, `attempt ${attempt} ends a second time: ${said(seen)}`)
}
