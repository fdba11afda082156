import type { Decider } from '../message.ts'
import { Rejected } from '../rejected.ts'
import type { WorkflowCommand, WorkflowCommandOf } from './commands.ts'
import type { WorkflowEvent, WorkflowVersionData } from './events.ts'
import type { WorkflowState } from './state.ts'
import { evolve, initialState, newestVersion } from './state.ts'

export const workflowDecider: Decider<WorkflowState, WorkflowCommand, WorkflowEvent> = { initialState, evolve, decide }

function decide(command: WorkflowCommand, state: WorkflowState): readonly WorkflowEvent[] {
  switch (command.type) {
    case 'RegisterWorkflow':
      return register(command.data, state)
    case 'RetireWorkflow':
      return retire(command.data, state)
  }
}

function register(data: WorkflowCommandOf<'RegisterWorkflow'>['data'], state: WorkflowState): readonly WorkflowEvent[] {
  const newest = newestVersion(state)
  // Before the expected version: a repeat of the command that made the newest version names the one before it.
  if (state.status === 'active' && newest?.fingerprint === data.fingerprint) return []
  const version = newest?.version ?? 0
  if (data.expectedVersion !== undefined && data.expectedVersion !== version) {
    const message = `the newest version of ${data.name} is ${version}, not ${data.expectedVersion}; look at it and send again`
    throw new Rejected('WORKFLOW_VERSION_STALE', message)
  }
  const next: WorkflowVersionData = {
    name: data.name,
    version: version + 1,
    source: data.source,
    definition: data.definition,
    ...(data.inputSchema === undefined ? {} : { inputSchema: data.inputSchema }),
    ...(data.schedules === undefined ? {} : { schedules: data.schedules }),
    fingerprint: data.fingerprint,
  }
  return [{ type: version === 0 ? 'WorkflowRegistered' : 'WorkflowRevised', data: next }]
}

function retire(data: WorkflowCommandOf<'RetireWorkflow'>['data'], state: WorkflowState): readonly WorkflowEvent[] {
  switch (state.status) {
    case 'unknown':
      throw new Rejected('WORKFLOW_UNKNOWN', `there is no workflow called ${data.name}`)
    case 'retired':
      return []
    case 'active':
      return [{ type: 'WorkflowRetired', data: { name: data.name, reason: data.reason } }]
  }
}
