import type { ExecutionCommand } from '../../src/domain/execution/commands.ts'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import type { ExecutionEvent } from '../../src/domain/execution/events.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import type { CompiledWorkflow } from '../../src/domain/workflow/definition.ts'
import { asRecorded } from './as-recorded.ts'
import { later, start } from './executions.ts'

/** One inner array for each command that was accepted, a second after the one before. */
export type Batches = readonly (readonly ExecutionEvent[])[]

/** What the engine decides on the commands, given one a second, whatever time they say. */
export function decidedOn(first: ExecutionCommand, ...commands: readonly ExecutionCommand[]): Batches {
  let state = executionDecider.initialState
  return [first, ...commands].map((command, index) => {
    const events = executionDecider.decide({ ...command, at: later(index * 1_000) }, state)
    state = events.reduce(executionDecider.evolve, state)
    return events
  })
}

export const decidedLog = (definition: CompiledWorkflow, ...commands: readonly ExecutionCommand[]): Batches =>
  decidedOn(start(definition), ...commands)

export const recordedLogOf = (batches: Batches, stream?: string, position?: number): RecordedEvent[] =>
  asRecorded(
    batches.map((events, index) => ({ at: later(index * 1_000), events })),
    stream,
    position,
  )
