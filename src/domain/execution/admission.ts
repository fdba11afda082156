// What pools and groups say: that an attempt or a run may begin, or why it may not yet.
import { Rejected } from '../rejected.ts'
import { beginRun, settle } from './advance.ts'
import type { ControlCommand } from './commands.ts'
import { Draft } from './draft.ts'
import type { ExecutionEvent, ExecutionEventOf, Grant } from './events.ts'
import { findStage, requireOpen } from './find.ts'
import { admit } from './schedule.ts'
import type { Execution, StageState, Waiting } from './state.ts'

type Of<T extends ControlCommand['type']> = Extract<ControlCommand, { type: T }>
type Deferred = StageState & { status: 'waiting'; waits: Waiting & { for: 'pool' } }

const waitsForPool = (stage: StageState, attempt: number): stage is Deferred =>
  stage.status === 'waiting' && stage.waits.for === 'pool' && stage.attempt === attempt

const isUnderWay = (stage: StageState, attempt: number, { fence }: Grant): boolean =>
  (stage.status === 'scheduled' || stage.status === 'running') && stage.attempt === attempt && stage.fence === fence

/** @throws Rejected where the attempt wants it no more, or not now: whoever granted it takes it back */
export function admitStage({ stage: id, attempt, grant, at }: Of<'AdmitStage'>, state: Execution) {
  const { index, stage } = findStage(id, state)
  const open = requireOpen(state)
  // Two who allocate may both have seen the grant: the second takes nothing back that the first has given.
  if (isUnderWay(stage, attempt, grant)) return []
  if (!waitsForPool(stage, attempt))
    throw new Rejected('ATTEMPT_STALE', `attempt ${attempt} of ${id} does not wait for a pool: it is ${stage.status}`)
  if (stage.waits.pool !== grant.pool)
    throw new Rejected('ATTEMPT_STALE', `attempt ${attempt} of ${id} waits for ${stage.waits.pool}, not ${grant.pool}`)
  if (open.status === 'paused')
    throw new Rejected('EXECUTION_PAUSED', `the execution is paused; ${id} asks again once it goes on`)
  const draft = new Draft(open, at)
  if (!draft.mayStart(index)) throw new Rejected('EXECUTION_CANCELLING', `the execution is ${open.status}`)
  admit(draft, index, attempt, grant)
  settle(draft)
  return draft.events
}

export function deferStage(command: Of<'DeferStage'>, state: Execution): readonly ExecutionEvent[] {
  const { type: _, at: __, ...said } = command
  const { stage } = findStage(said.stage, state)
  if (!waitsForPool(stage, said.attempt) || stage.waits.reason === said.reason) return []
  const { workflow, priority } = requireOpen(state).run
  const { pool, amounts } = stage.waits
  const data: ExecutionEventOf<'StageDeferred'>['data'] = { ...said, pool, amounts, workflow, priority }
  return [{ type: 'StageDeferred', data }]
}

/** The pool can never grant it. The attempt was not scheduled, so what fails is the stage before it. */
export function refuseStage({ stage: id, attempt, error, at }: Of<'RefuseStage'>, state: Execution) {
  const { index, stage } = findStage(id, state)
  if (!waitsForPool(stage, attempt)) return []
  const draft = new Draft(requireOpen(state), at)
  draft.failed.push({ index, attempt: attempt - 1, error })
  settle(draft)
  return draft.events
}

/** Its own time begins now. */
export function admitExecution({ grant, at }: Of<'AdmitExecution'>, state: Execution): readonly ExecutionEvent[] {
  const open = requireOpen(state)
  if (open.fence === grant.fence) return []
  if (open.status !== 'queued') throw new Rejected('ATTEMPT_STALE', `the execution waits no more: it is ${open.status}`)
  const draft = new Draft(open, at)
  const timeoutAt = new Date(Date.parse(at) + open.run.definition.timeoutMs).toISOString()
  draft.emit({ type: 'ExecutionAdmitted', data: { grant, timeoutAt } })
  draft.take({ input: open.run.input })
  beginRun(draft)
  return draft.events
}

export function deferExecution({ blockers }: Of<'DeferExecution'>, state: Execution): readonly ExecutionEvent[] {
  if (state.status !== 'queued' || state.blockers || !state.run.concurrency) return []
  const { group } = state.run.concurrency
  return [{ type: 'ExecutionDeferred', data: { group, reason: 'limit', blockers } }]
}
