import type { Decider } from '../message.ts'
import { Rejected } from '../rejected.ts'
import type { WorkerCommand } from './commands.ts'
import type { WorkerEvent, WorkerRegistration } from './events.ts'
import { evolve, initialState, type WorkerState } from './state.ts'

export const workerDecider: Decider<WorkerState, WorkerCommand, WorkerEvent> = {
  initialState,
  evolve,
  decide,
  isTerminal: ({ status }) => status === 'stopped',
}

/** What a worker says of itself holds also where it had been taken for lost: it was merely out of reach. */
function decide(command: WorkerCommand, state: WorkerState): readonly WorkerEvent[] {
  if (state.status === 'unknown' && command.type !== 'RegisterWorker')
    throw new Rejected('WORKER_UNKNOWN', 'there is no such worker')
  if (state.status === 'stopped' && command.type !== 'StopWorker')
    throw new Rejected('WORKER_STOPPED', 'the worker has stopped; the next one registers under an id of its own')
  switch (command.type) {
    case 'RegisterWorker':
      return register(command.registration, state)
    case 'DrainWorker':
      return state.status === 'draining' ? [] : [{ type: 'WorkerDraining', data: { graceMs: command.graceMs } }]
    case 'StopWorker':
      return state.status === 'stopped' ? [] : [{ type: 'WorkerStopped', data: { interrupted: command.interrupted } }]
    case 'LoseWorker':
      return state.status === 'lost' ? [] : [{ type: 'WorkerLost', data: { reason: command.reason } }]
  }
}

function register(registration: WorkerRegistration, state: WorkerState): readonly WorkerEvent[] {
  const isThere = state.status === 'running' || state.status === 'draining'
  if (isThere && isSame(state.registration, registration)) return []
  return [{ type: 'WorkerRegistered', data: registration }]
}

/** Both are written member by member in one order. */
const isSame = (one: WorkerRegistration, other: WorkerRegistration): boolean =>
  JSON.stringify(one) === JSON.stringify(other)
