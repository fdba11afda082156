// What stages wait for that no worker does: people's answers, signals, and time.
import type { Json } from '../message.ts'
import { Rejected } from '../rejected.ts'
import { settle } from './advance.ts'
import type { ControlCommand } from './commands.ts'
import { Draft } from './draft.ts'
import type { ExecutionEvent } from './events.ts'
import { findStage, requireGoing } from './find.ts'
import { type Execution, isOpen, type StageState, type Waiting } from './state.ts'

type Of<T extends ControlCommand['type']> = Extract<ControlCommand, { type: T }>
type Approval = Waiting & { for: 'approval' }

/** More signals than this that a run has ever received are a mistake of whoever sends them. */
const MAX_SIGNALS = 1_000

/** Grants or rejects an approval: once a person, by one who may. */
export function answer(command: Of<'ApproveStage' | 'RejectStage'>, state: Execution): readonly ExecutionEvent[] {
  const { index, stage } = findStage(command.stage, state)
  if (isRepeat(command, stage)) return []
  const open = requireGoing(state, index)
  if (stage.status !== 'waiting' || stage.waits.for !== 'approval')
    throw new Rejected('STAGE_NOT_WAITING', `${command.stage} does not wait for an approval; it is ${stage.status}`)
  const { waits, attempt } = stage
  requireApprover(command, waits, open.run.startedBy)
  const grants = command.type === 'ApproveStage'
  const draft = new Draft(open, command.at)
  const said = command.comment === undefined ? {} : { comment: command.comment }
  draft.emit({
    type: grants ? 'ApprovalGranted' : 'ApprovalRejected',
    data: { stage: command.stage, attempt, by: command.by, ...said },
  })
  if (!grants) {
    const message = `${command.by} rejected it${command.comment === undefined ? '' : `: ${command.comment}`}`
    const details = { by: command.by }
    draft.failed.push({ index, attempt, error: { code: 'APPROVAL_REJECTED', message, retryable: false, details } })
  } else if (waits.granted.length + 1 >= waits.required) {
    const approvedBy = [...waits.granted, command.by]
    draft.emit({ type: 'StageCompleted', data: { stage: command.stage, attempt, output: { approvedBy } } })
    draft.ended.push(index)
  }
  settle(draft)
  return draft.events
}

/** True where the log already has this answer, even if the wait has ended with it. */
function isRepeat({ type, by }: Of<'ApproveStage' | 'RejectStage'>, stage: StageState): boolean {
  if (type === 'RejectStage')
    return stage.status === 'failed' && stage.error.code === 'APPROVAL_REJECTED' && names(stage.error.details, 'by', by)
  if (stage.status === 'completed') return names(stage.output, 'approvedBy', by)
  return stage.status === 'waiting' && stage.waits.for === 'approval' && stage.waits.granted.includes(by)
}

function names(json: Json | undefined, member: string, by: string): boolean {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return false
  const named = json[member]
  return Array.isArray(named) ? named.includes(by) : named === by
}

function requireApprover(
  { by, groups, stage }: Of<'ApproveStage' | 'RejectStage'>,
  waits: Approval,
  startedBy: string,
) {
  const { approvers, selfApproval } = waits
  if (!selfApproval && by === startedBy)
    throw new Rejected('APPROVER_NOT_ALLOWED', `${by} started the run; ${stage} wants somebody else's approval`)
  const names = [by, by.slice(by.indexOf(':') + 1), ...groups]
  if (approvers.length === 0 || names.some((name) => approvers.includes(name))) return
  throw new Rejected('APPROVER_NOT_ALLOWED', `${by} is none of those who may approve ${stage}: ${approvers.join(', ')}`)
}

/** Keeps a signal, or gives it to the first stage that waits for one of its name. */
export function signal(command: Of<'ReceiveSignal'>, state: Execution): readonly ExecutionEvent[] {
  const { id, name, payload } = command
  if (state.status !== 'none' && state.signalIds.includes(id)) return []
  const waits = (stage: StageState) =>
    stage.status === 'waiting' && stage.waits.for === 'signal' && stage.waits.name === name
  const index = state.status === 'none' ? -1 : state.stages.findIndex(waits)
  const open = requireGoing(state, index)
  if (open.signalIds.length >= MAX_SIGNALS)
    throw new Rejected('SIGNALS_FULL', `the execution has received ${MAX_SIGNALS} signals, and takes no more`)
  const draft = new Draft(open, command.at)
  draft.emit({ type: 'SignalReceived', data: { id, name, payload } })
  const stage = draft.state.stages[index]
  if (stage?.status === 'waiting') {
    const { attempt } = stage
    draft.emit({ type: 'StageCompleted', data: { stage: draft.stage(index).id, attempt, output: payload } })
    draft.ended.push(index)
    settle(draft)
  }
  return draft.events
}

/** Time is up: that ends a wait, and the patience with anybody else. */
export function wake(command: Of<'WakeStage'>, state: Execution): readonly ExecutionEvent[] {
  const { index, stage } = findStage(command.stage, state)
  if (stage.status !== 'waiting' || stage.attempt !== command.attempt || !isOpen(state)) return []
  const { waits, attempt } = stage
  if (waits.for === 'person' || waits.for === 'pool') return []
  if (waits.until === undefined || waits.until > command.at) return []
  const draft = new Draft(state, command.at)
  if (waits.for === 'timer') {
    draft.emit({ type: 'StageCompleted', data: { stage: command.stage, attempt, output: null } })
    draft.ended.push(index)
  } else {
    const what = waits.for === 'approval' ? 'nobody who may has approved' : `no signal ${waits.name} came`
    draft.failed.push({ index, attempt, error: { code: 'TIMED_OUT', message: `${what} in time`, retryable: false } })
  }
  settle(draft)
  return draft.events
}
