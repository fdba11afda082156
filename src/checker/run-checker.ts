// The invariants of a single run: how it starts, stops and ends. `stage-checker.ts` has those of its stages.

import { takeGenerated } from './group-checker.ts'
import { hasEnded, hasSucceeded, type Recorded, type Run, type Seen, said, seenOf } from './run-seen.ts'
import { checkSettled } from './settled-checker.ts'
import { takeOfStage } from './stage-checker.ts'
import type { Accuse, Expectation } from './violations.ts'

export function createRunChecker(expectation: Expectation, accuse: Accuse) {
  let run: Run | undefined
  let before: Recorded | undefined
  return {
    take(event: Recorded): void {
      if (before === undefined) {
        if (event.type === 'ExecutionStarted') run = begin(event, accuse)
        else accuse(event, 6, `the run begins with ${event.type}`)
      } else if (run) {
        if (event.metadata.commandId !== before.metadata.commandId) checkSettled(run, before)
        take(run, event)
      }
      before = event
    },
    end(): void {
      if (!run || !before) return
      checkSettled(run, before)
      if (expectation.healed && !run.ended) accuse(before, 8, 'the run has not ended')
      checkCancelledInTime(run, before, expectation)
    },
    get ended(): boolean {
      return run?.ended === true
    },
  }
}

function begin({ data, metadata }: Recorded<'ExecutionStarted'>, accuse: Accuse): Run {
  return {
    stages: new Map(data.definition.stages.map((stage) => [stage.id, seenOf(stage)])),
    accuse,
    startedBy: data.trigger.by,
    startedWith: metadata.commandId,
    onFailure: data.definition.onFailure,
    rules: data.definition.failures ?? [],
    queued: data.concurrency !== undefined,
    timeoutAt: data.timeoutAt,
    paused: undefined,
    cancellation: undefined,
    failing: false,
    undoable: [],
    compensated: false,
    signals: [],
    signalIds: new Set(),
    ended: false,
  }
}

function take(run: Run, event: Recorded): void {
  switch (event.type) {
    case 'ExecutionStarted':
      run.accuse(event, 6, 'the run starts a second time')
      return
    case 'ExecutionDeferred':
      if (!run.queued) run.accuse(event, 10, 'the run does not wait for a group')
      return
    case 'ExecutionAdmitted':
      if (!run.queued) run.accuse(event, 10, 'the run has begun already, or is in no group')
      run.queued = false
      run.timeoutAt = event.data.timeoutAt
      return
    case 'ExecutionPaused':
    case 'ExecutionResumed':
      takePause(run, event)
      return
    case 'ExecutionCancellationRequested':
      takeCancellation(run, event)
      return
    case 'SignalReceived': {
      const { id, name, payload } = event.data
      if (run.signalIds.has(id)) run.accuse(event, 3, `the signal ${id} is received a second time`)
      run.signalIds.add(id)
      run.signals.push({ name, payload: JSON.stringify(payload) })
      return
    }
    case 'CompensationStarted':
      takeCompensation(run, event)
      return
    case 'ExecutionCompleted':
    case 'ExecutionFailed':
    case 'ExecutionCancelled':
      takeEnd(run, event)
      return
    case 'StagesGenerated':
      takeGenerated(run, event)
      return
    default: {
      const seen = run.stages.get(event.data.stage)
      if (seen) takeOfStage(run, seen, event)
      else run.accuse(event, 14, `${event.type} names no stage of the run: ${event.data.stage}`)
    }
  }
}

/** The run's own time stands still while it is paused. */
function takePause(run: Run, event: Recorded<'ExecutionPaused' | 'ExecutionResumed'>): void {
  const atMs = Date.parse(event.at)
  if (event.type === 'ExecutionPaused') {
    if (run.paused || run.cancellation) run.accuse(event, 10, 'the run is paused already, or ending')
    const left = Math.max(Date.parse(run.timeoutAt) - atMs, 0)
    if (event.data.remainingMs !== left)
      run.accuse(event, 19, `of the run's time ${left} ms are left, not ${event.data.remainingMs}`)
    run.paused = event
    return
  }
  if (!run.paused) run.accuse(event, 10, 'the run was not paused')
  const due = atMs + (run.paused?.data.remainingMs ?? 0)
  if (Date.parse(event.data.timeoutAt) !== due) run.accuse(event, 19, `the time that was left does not end at ${due}`)
  run.timeoutAt = event.data.timeoutAt
  run.paused = undefined
}

function takeCancellation(run: Run, event: Recorded<'ExecutionCancellationRequested'>): void {
  if (run.cancellation) run.accuse(event, 21, 'cancellation is requested a second time')
  const timedOut = event.data.outcome === 'failed'
  if (timedOut && run.queued) run.accuse(event, 19, 'the time of the run has not begun')
  if (timedOut && (run.paused || event.at < run.timeoutAt))
    run.accuse(event, 19, `the run's time ends at ${run.timeoutAt}, not at ${event.at}, and not while it is paused`)
  if (timedOut && run.compensated) run.accuse(event, 24, 'the time of the run cuts off what undoes it')
  run.cancellation = event
  run.paused = undefined
}

/** What can be undone, each once, the latest first, after all else has ended. */
function takeCompensation(run: Run, event: Recorded<'CompensationStarted'>): void {
  const { stages } = event.data
  if (run.compensated) run.accuse(event, 24, 'the run is undone a second time')
  run.compensated = true
  const timedOut = run.cancellation?.data.outcome === 'failed' && run.onFailure === 'compensate'
  if (run.failing !== 'compensate' && !timedOut) run.accuse(event, 24, 'nothing says that the run is to be undone')
  if (run.cancellation?.data.outcome === 'cancelled') run.accuse(event, 24, 'the run was cancelled, not failed')
  for (const one of run.stages.values())
    if (!hasEnded(one)) run.accuse(event, 24, `the run is undone while ${said(one)}`)
  const undone = stages.map(({ compensates }) => compensates)
  const expected = run.undoable.toReversed()
  if (JSON.stringify(undone) !== JSON.stringify(expected))
    run.accuse(event, 24, `${undone.join(', ')} are undone, which is not ${expected.join(', ')}`)
  for (const stage of stages) {
    if (run.stages.has(stage.id)) run.accuse(event, 24, `the run has a stage ${stage.id} already`)
    run.stages.set(stage.id, seenOf(stage))
  }
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
  const undo = run.undoable.length > 0 && !run.compensated && cancellation?.data.outcome !== 'cancelled'
  if (undo && (run.failing === 'compensate' || (cancellation && run.onFailure === 'compensate')))
    accuse(event, 24, `the run ends without undoing ${run.undoable.join(', ')}`)
  if (event.type === 'ExecutionCompleted') checkCompleted(run, event, seen)
  else if (event.type === 'ExecutionCancelled') {
    if (!cancellation) accuse(event, 22, 'nobody asked for the cancellation')
  } else checkCause(run, event)
}

function checkCompleted(
  { accuse, compensated, stages }: Run,
  event: Recorded<'ExecutionCompleted'>,
  seen: Seen[],
): void {
  if (compensated) accuse(event, 24, 'a run that was undone is completed')
  for (const one of seen) {
    const { parent } = one.stage
    // A stage answers for those that it generated, unless it says that all is well with them.
    if (parent !== undefined && stages.get(parent)?.status !== 'completed') continue
    const passed = one.status === 'skipped' && one.skipped === 'trigger'
    if (!hasSucceeded(one) && !passed) accuse(event, 22, `the run is completed, but ${said(one)}`)
  }
  const count = seen.filter(({ status }) => status === 'completed').length
  if (event.data.stages !== count) accuse(event, 22, `${event.data.stages} stages are told of, ${count} completed`)
}

function checkCause(run: Run, event: Recorded<'ExecutionFailed'>): void {
  const { code, stages } = event.data.error
  const blamed = stages.map((id) => run.stages.get(id))
  if (code === 'EXECUTION_TIMED_OUT') {
    if (!run.cancellation) run.accuse(event, 22, 'the run did not time out')
    if (blamed.some((one) => one?.status !== 'cancelled')) run.accuse(event, 22, 'what it blames was not cancelled')
  } else if (code === 'STAGE_FAILED') {
    if (stages.length === 0) run.accuse(event, 22, 'the failure has no cause')
    for (const [at, id] of stages.entries())
      if (blamed[at]?.status !== 'failed') run.accuse(event, 22, `it blames ${id}, which did not fail`)
      else if (blamed[at].stage.parent !== undefined)
        run.accuse(event, 22, `it blames ${id}, for which ${blamed[at].stage.parent} answers`)
  } else if (code !== 'OUTPUT_FAILED') run.accuse(event, 22, `${code} is no cause`)
  else if (run.cancellation) run.accuse(event, 22, 'a run that was to end has no output')
}

function checkCancelledInTime({ cancellation, ended, accuse }: Run, last: Recorded, { cancelWithinMs }: Expectation) {
  if (!cancellation || !ended || cancelWithinMs === undefined) return
  const took = Date.parse(last.at) - Date.parse(cancellation.at)
  if (took > cancelWithinMs) accuse(last, 21, `the run ended ${took} ms after cancellation was requested`)
}
