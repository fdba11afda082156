import type { Decider } from '../message.ts'
import { Rejected } from '../rejected.ts'
import { begin, Draft, fail, requestEnd, schedule, settle } from './advance.ts'
import type { ExecutionCommand, StageReport, StartExecution } from './commands.ts'
import type { ExecutionEvent, StageError } from './events.ts'
import { backoffMs, classify, lostDelayMs, MAX_LOST_ATTEMPTS, seedOf } from './failure.ts'
import { type Execution, evolve, isOpen, type OpenExecution, type StageState, stageOf } from './state.ts'

/** The aggregate of one run: `execution-<uuid>`. */
export const executionDecider: Decider<Execution, ExecutionCommand, ExecutionEvent> = {
  initialState: { status: 'none' },
  evolve,
  decide,
  isTerminal: (state) => state.status !== 'none' && !isOpen(state),
}

function decide(command: ExecutionCommand, state: Execution): readonly ExecutionEvent[] {
  if (command.type === 'StartExecution') return start(command, state)
  if (state.status === 'none') throw new Rejected('EXECUTION_UNKNOWN', 'there is no such execution')
  switch (command.type) {
    case 'CancelExecution':
      return cancel(command.reason, command.at, state)
    case 'TimeOutExecution':
      return timeOut(command.at, state)
    case 'RetryStage':
      return retry(command, state)
    case 'WakeStage':
      return wake(command, state)
    default:
      return report(command, state)
  }
}

function start(command: StartExecution, state: Execution): readonly ExecutionEvent[] {
  const { type: _, at, ...data } = command
  if (state.status !== 'none') {
    if (state.run.fingerprint === command.fingerprint) return []
    throw new Rejected(
      'IDEMPOTENCY_KEY_REUSED',
      'this idempotency key started a run with another request; use a new key',
    )
  }
  const started: ExecutionEvent = { type: 'ExecutionStarted', data }
  const draft = new Draft(evolve(state, started) as OpenExecution, at)
  begin(draft)
  return [started, ...draft.events]
}

function cancel(reason: string, at: string, state: Execution): readonly ExecutionEvent[] {
  if (state.status === 'cancelled' || state.status === 'cancelling') return []
  const draft = new Draft(requireOpen(state), at)
  requestEnd(draft, reason, 'cancelled')
  return draft.events
}

function timeOut(at: string, state: Execution): readonly ExecutionEvent[] {
  if (state.status !== 'running') return []
  const draft = new Draft(state, at)
  requestEnd(draft, `the run took longer than ${state.run.definition.timeoutMs} ms`, 'failed')
  return draft.events
}

function report(command: StageReport, state: Execution): readonly ExecutionEvent[] {
  const { index, stage } = find(command.stage, state)
  if (isRepeat(command, stage)) return []
  const open = requireOpen(state)
  const { attempt } = command
  if ((stage.status !== 'scheduled' && stage.status !== 'running') || stage.attempt !== attempt)
    throw stale(command.stage, attempt, stage)
  if (stage.status === 'running' && command.worker !== undefined && command.worker !== stage.worker)
    throw new Rejected(
      'ATTEMPT_STALE',
      `attempt ${attempt} of ${command.stage} is ${stage.worker}'s, not ${command.worker}'s`,
    )
  const draft = new Draft(open, command.at)
  // A short attempt is reported by its outcome alone: that it started is then part of the same news.
  if (stage.status === 'scheduled' && command.worker !== undefined)
    draft.emit({
      type: 'StageStarted',
      data: { stage: command.stage, attempt, worker: command.worker, timeoutMs: stageOf(open.run, index).timeoutMs },
    })
  settle(draft, outcome(draft, command, index, stage))
  return draft.events
}

function outcome(draft: Draft, command: StageReport, index: number, stage: StageState & { lost: number }): number[] {
  const { stage: id, attempt } = command
  switch (command.type) {
    case 'StartStage':
      return []
    case 'CompleteStage':
      draft.emit({ type: 'StageCompleted', data: { stage: id, attempt, output: command.output } })
      return [index]
    case 'StopStage': {
      if (!ending(draft)) return lose(draft, index, attempt, stage.lost, STOPPED_UNASKED)
      const reason = draft.state.status === 'cancelling' ? draft.state.reason : 'another stage failed'
      draft.emit({ type: 'StageCancelled', data: { stage: id, attempt, reason } })
      return [index]
    }
    case 'FailStage': {
      const { retry } = stageOf(draft.state.run, index)
      const used = attempt - stage.lost
      if (command.error.retryable === false || used >= retry.maxAttempts || ending(draft)) break
      const seed = seedOf(`${draft.state.run.executionId}:${id}:${attempt}`)
      return tryAgain(draft, index, attempt, command.error, 'policy', backoffMs(retry, used, seed))
    }
    case 'LoseStage':
      return lose(draft, index, attempt, stage.lost, command.error)
  }
  return fail(draft, index, attempt, command.error)
}

/** An attempt that nobody asked to stop is made again, like one that was lost. */
const STOPPED_UNASKED: StageError = { code: 'WORKER_LOST', message: 'the attempt stopped without being asked to' }

function lose(draft: Draft, index: number, attempt: number, lostBefore: number, error: StageError): number[] {
  if (ending(draft)) {
    const { id } = stageOf(draft.state.run, index)
    draft.emit({ type: 'StageCancelled', data: { stage: id, attempt, reason: error.message } })
    return [index]
  }
  if (lostBefore >= MAX_LOST_ATTEMPTS) return fail(draft, index, attempt, error)
  return tryAgain(draft, index, attempt, error, 'lost', lostDelayMs(lostBefore))
}

const ending = (draft: Draft): boolean => draft.state.status === 'cancelling' || draft.state.failing

function tryAgain(
  draft: Draft,
  index: number,
  attempt: number,
  error: StageError,
  reason: 'policy' | 'lost',
  delayMs: number,
): number[] {
  const { id } = stageOf(draft.state.run, index)
  draft.emit({ type: 'StageFailed', data: { stage: id, attempt, error, ...classify(error), recovery: 'retry' } })
  const dueAt = new Date(Date.parse(draft.at) + delayMs).toISOString()
  draft.emit({ type: 'StageRetried', data: { stage: id, attempt: attempt + 1, dueAt, backoffMs: delayMs, reason } })
  return delayMs === 0 ? schedule(draft, index, attempt + 1) : []
}

function retry(command: ExecutionCommand & { type: 'RetryStage' }, state: Execution): readonly ExecutionEvent[] {
  const { index, stage } = find(command.stage, state)
  if (command.by === 'timer') {
    // The timer may be late, early or double; only the attempt that is due now concerns anybody.
    const due = stage.status === 'retrying' && stage.attempt === command.attempt && stage.dueAt <= command.at
    if (!due || state.status !== 'running') return []
  }
  const open = requireOpen(state)
  if (stage.status !== 'retrying' || open.status === 'cancelling')
    throw new Rejected(
      'STAGE_NOT_RETRYABLE',
      `${command.stage} is ${stage.status}; only a stage that waits to be retried can be`,
    )
  const draft = new Draft(open, command.at)
  const { attempt } = stage
  if (command.by === 'person')
    draft.emit({
      type: 'StageRetried',
      data: { stage: command.stage, attempt, dueAt: command.at, backoffMs: 0, reason: 'manual' },
    })
  settle(draft, schedule(draft, index, attempt))
  return draft.events
}

function wake(command: ExecutionCommand & { type: 'WakeStage' }, state: Execution): readonly ExecutionEvent[] {
  const { index, stage } = find(command.stage, state)
  const due = stage.status === 'waiting' && stage.attempt === command.attempt && stage.wakeAt <= command.at
  if (!due || !isOpen(state)) return []
  const draft = new Draft(state, command.at)
  draft.emit({ type: 'StageCompleted', data: { stage: command.stage, attempt: command.attempt, output: null } })
  settle(draft, [index])
  return draft.events
}

function find(id: string, state: Execution): { index: number; stage: StageState } {
  const index = state.status === 'none' ? -1 : state.run.graph.indexOf(id)
  if (state.status === 'none' || index === -1)
    throw new Rejected('STAGE_UNKNOWN', `the execution has no stage ${JSON.stringify(id)}`)
  return { index, stage: state.stages[index]! }
}

function requireOpen(state: Execution): OpenExecution {
  if (isOpen(state)) return state
  throw new Rejected('EXECUTION_ALREADY_ENDED', `the execution has ended: it is ${state.status}`)
}

/** True where the log already says exactly this. */
function isRepeat(command: StageReport, stage: StageState): boolean {
  switch (command.type) {
    case 'StartStage':
      return stage.status === 'running' && stage.attempt === command.attempt && stage.worker === command.worker
    case 'CompleteStage':
      return stage.status === 'completed' && stage.attempt === command.attempt
    case 'FailStage':
    case 'LoseStage':
      return stage.status === 'failed' && stage.attempt === command.attempt
    case 'StopStage':
      return stage.status === 'cancelled' && stage.attempt === command.attempt
  }
}

const stale = (id: string, attempt: number, stage: StageState): Rejected =>
  new Rejected(
    'ATTEMPT_STALE',
    `attempt ${attempt} of ${id} is not under way: the stage is ${stage.status}${'attempt' in stage ? ` at attempt ${stage.attempt}` : ''}`,
  )
