import type { Decider } from '../message.ts'
import { Rejected } from '../rejected.ts'
import { admitExecution, admitStage, deferExecution, deferStage, refuseStage } from './admission.ts'
import { beginRun } from './advance.ts'
import type { ExecutionCommand, StartExecution } from './commands.ts'
import { concurrencyOf } from './concurrency.ts'
import { abandon, cancel, pause, resume, retry, skip, timeOut } from './control.ts'
import { Draft } from './draft.ts'
import type { ExecutionEvent } from './events.ts'
import { evolve } from './evolve.ts'
import { report } from './report.ts'
import { answer, signal, wake } from './respond.ts'
import { type Execution, isOpen, type OpenExecution } from './state.ts'

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
    case 'PauseExecution':
      return pause(command, state)
    case 'ResumeExecution':
      return resume(command, state)
    case 'CancelExecution':
      return cancel(command, state)
    case 'TimeOutExecution':
      return timeOut(command, state)
    case 'RetryStage':
      return retry(command, state)
    case 'SkipStage':
      return skip(command, state)
    case 'AbandonStage':
      return abandon(command, state)
    case 'ApproveStage':
    case 'RejectStage':
      return answer(command, state)
    case 'ReceiveSignal':
      return signal(command, state)
    case 'WakeStage':
      return wake(command, state)
    case 'AdmitStage':
      return admitStage(command, state)
    case 'DeferStage':
      return deferStage(command, state)
    case 'RefuseStage':
      return refuseStage(command, state)
    case 'AdmitExecution':
      return admitExecution(command, state)
    case 'DeferExecution':
      return deferExecution(command, state)
    default:
      return report(command, state)
  }
}

function start(command: StartExecution, state: Execution): readonly ExecutionEvent[] {
  const { type: _, at, restored = [], ...data } = command
  if (state.status !== 'none') {
    if (state.run.fingerprint === command.fingerprint) return []
    throw new Rejected(
      'IDEMPOTENCY_KEY_REUSED',
      'this idempotency key started a run with another request; use a new key',
    )
  }
  const timeoutAt = new Date(Date.parse(at) + data.definition.timeoutMs).toISOString()
  const concurrency = concurrencyOf(data)
  const group = concurrency === undefined ? {} : { concurrency }
  const started: ExecutionEvent = { type: 'ExecutionStarted', data: { ...data, timeoutAt, ...group } }
  const draft = new Draft(evolve(state, started) as OpenExecution, at)
  for (const event of restored) draft.emit(event)
  draft.take(data.definition)
  draft.take({ input: data.input, restored })
  // A run of a group begins when its turn has come.
  if (concurrency === undefined) beginRun(draft)
  return [started, ...draft.events]
}
