// Holds what a process decided against the log: the state that it had in memory is the fold of the stream, and deciding the
// command again on that gives the same events.
import type { ExecutionCommand } from '../../src/domain/execution/commands.ts'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import type { ExecutionEvent } from '../../src/domain/execution/events.ts'
import type { Execution } from '../../src/domain/execution/state.ts'

type Decided = { readonly command: ExecutionCommand; readonly state: Execution }
type Listener = (command: ExecutionCommand, state: Execution) => void

/** By the payload of the first event: an append hands on the very object that was decided. */
const decisions = new WeakMap<object, Decided>()
const { decide, evolve, initialState } = executionDecider
let heard: Listener = () => {}

const watched: typeof decide = (command, state) => {
  heard(command, state)
  const events = decide(command, state)
  if (events[0]) decisions.set(events[0].data, { command, state })
  return events
}
Object.assign(executionDecider, { decide: watched })

/** From now on `listener` hears of every command that some process decides, each time it does. */
export function listen(listener: Listener): void {
  heard = listener
}

export const foldRun = (state: Execution | undefined, event: ExecutionEvent): Execution =>
  evolve(state ?? initialState, event)

/** What is wrong with a decision that was appended to a stream which folds to `folded`; `payloads` are as they were given. */
export function faultOfDecision(
  folded: Execution | undefined,
  events: readonly ExecutionEvent[],
  payload: object,
): string | undefined {
  const known = decisions.get(payload)
  if (known === undefined) return 'invariant 32: an append that nobody decided'
  const state = folded ?? initialState
  if (asText(known.state) !== asText(state))
    return `invariant 32: ${known.command.type} was decided on another state than the log's`
  const again = JSON.stringify(decide(known.command, state))
  if (again === JSON.stringify(events.map(({ type, data }) => ({ type, data })))) return undefined
  return `invariant 32: deciding ${known.command.type} again gives other events`
}

/** Without the graph, which follows from the definition. */
function asText(state: Execution): string {
  if (state.status === 'none') return 'none'
  const { run, ...rest } = state
  const { graph: _, ...told } = run
  return JSON.stringify({ ...rest, stages: rest.stages, labels: told.labels, count: told.definition.stages.length })
}
