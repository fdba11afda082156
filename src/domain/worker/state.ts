import type { WorkerEvent, WorkerRegistration } from './events.ts'

export type WorkerState =
  | { readonly status: 'unknown' }
  | { readonly status: 'running' | 'draining' | 'stopped' | 'lost'; readonly registration: WorkerRegistration }

export const initialState: WorkerState = { status: 'unknown' }

export function evolve(state: WorkerState, event: WorkerEvent): WorkerState {
  switch (event.type) {
    case 'WorkerRegistered':
      return { status: 'running', registration: event.data }
    case 'WorkerDraining':
      return { status: 'draining', registration: registrationOf(state) }
    case 'WorkerStopped':
      return { status: 'stopped', registration: registrationOf(state) }
    case 'WorkerLost':
      return { status: 'lost', registration: registrationOf(state) }
  }
}

function registrationOf(state: WorkerState): WorkerRegistration {
  if (state.status === 'unknown') throw new Error('a worker registers before anything else becomes of it')
  return state.registration
}
