import { Rejected } from '../rejected.ts'
import { type Execution, isOpen, type OpenExecution, type StageState } from './state.ts'

/** @throws Rejected STAGE_UNKNOWN */
export function findStage(id: string, state: Execution): { index: number; stage: StageState } {
  const index = state.status === 'none' ? -1 : state.run.graph.indexOf(id)
  if (state.status === 'none' || index === -1)
    throw new Rejected('STAGE_UNKNOWN', `the execution has no stage ${JSON.stringify(id)}`)
  return { index, stage: state.stages[index]! }
}

/** @throws Rejected EXECUTION_ALREADY_ENDED */
export function requireOpen(state: Execution): OpenExecution {
  if (isOpen(state)) return state
  throw new Rejected('EXECUTION_ALREADY_ENDED', `the execution has ended: it is ${state.status}`)
}

/**
 * The run, or of a run that is being cancelled the stage at `index` where it undoes what that did.
 * @throws Rejected EXECUTION_ALREADY_ENDED, EXECUTION_CANCELLING
 */
export function requireGoing(state: Execution, index = -1): OpenExecution {
  const open = requireOpen(state)
  if (open.status !== 'cancelling' || open.run.definition.stages[index]?.compensates !== undefined) return open
  throw new Rejected('EXECUTION_CANCELLING', 'the execution is being cancelled; nothing of it goes on')
}
