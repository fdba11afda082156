import type { Json } from '../message.ts'
import { Rejected } from '../rejected.ts'
import type { CompiledWorkflow } from './definition.ts'
import type { WorkflowEvent, WorkflowVersionData } from './events.ts'

/** What starting a run needs of one version. */
export type WorkflowVersion = {
  readonly version: number
  readonly definition: CompiledWorkflow
  readonly inputSchema?: { readonly [key: string]: Json }
  readonly fingerprint: string
}

/** `versions[n - 1]` is version n, and the last one is the newest. */
export type WorkflowState =
  | { readonly status: 'unknown' }
  | { readonly status: 'active'; readonly name: string; readonly versions: readonly WorkflowVersion[] }
  | { readonly status: 'retired'; readonly name: string; readonly versions: readonly WorkflowVersion[] }

export const initialState: WorkflowState = { status: 'unknown' }

export function evolve(state: WorkflowState, event: WorkflowEvent): WorkflowState {
  switch (event.type) {
    case 'WorkflowRegistered':
    case 'WorkflowRevised':
      return { status: 'active', name: event.data.name, versions: [...versionsOf(state), versionFrom(event.data)] }
    case 'WorkflowRetired':
      return { status: 'retired', name: event.data.name, versions: versionsOf(state) }
  }
}

const versionsOf = (state: WorkflowState): readonly WorkflowVersion[] =>
  state.status === 'unknown' ? [] : state.versions

const versionFrom = ({ version, definition, inputSchema, fingerprint }: WorkflowVersionData): WorkflowVersion => ({
  version,
  definition,
  ...(inputSchema === undefined ? {} : { inputSchema }),
  fingerprint,
})

export const newestVersion = (state: WorkflowState): WorkflowVersion | undefined => versionsOf(state).at(-1)

/** The version that a run is to start with, the newest unless one is named; throws `Rejected` where none can start. */
export function versionToRun(state: WorkflowState, version?: number): WorkflowVersion {
  if (state.status === 'unknown') throw new Rejected('WORKFLOW_UNKNOWN', 'there is no such workflow')
  if (state.status === 'retired')
    throw new Rejected('WORKFLOW_RETIRED', `the workflow ${state.name} is retired; register it again to start runs`)
  const found = version === undefined ? newestVersion(state) : state.versions[version - 1]
  if (found) return found
  const message = `the workflow ${state.name} has no version ${version}; its newest is ${state.versions.length}`
  throw new Rejected('WORKFLOW_VERSION_UNKNOWN', message)
}
