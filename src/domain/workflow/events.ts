import type { Upcaster } from '../execution/upcast.ts'
import type { Json } from '../message.ts'
import type { CompiledSchedules } from '../schedule/commands.ts'
import type { CompiledWorkflow } from './definition.ts'

export type WorkflowEvent =
  | {
      type: 'WorkflowRegistered'
      data: WorkflowVersionData
    }
  | { type: 'WorkflowRevised'; data: WorkflowVersionData }
  | { type: 'WorkflowRetired'; data: { readonly name: string; readonly reason: string } }

/** The newest schema version of each event. */
export const workflowEventVersions: Readonly<Record<WorkflowEvent['type'], number>> = {
  WorkflowRegistered: 2,
  WorkflowRevised: 2,
  WorkflowRetired: 1,
}

/** Version 2 may have schedules, and nothing else is new: what was written as version 1 has none. */
const hasNoSchedules: Upcaster = ({ data }) => data
export const workflowUpcasters: { readonly [type: string]: readonly Upcaster[] } = {
  WorkflowRegistered: [hasNoSchedules],
  WorkflowRevised: [hasNoSchedules],
}

/** One immutable version, counted from 1. `source` is the document as it was sent, parsed; `definition` is what runs. */
export type WorkflowVersionData = {
  readonly name: string
  readonly version: number
  readonly source: Json
  readonly definition: CompiledWorkflow
  /** JSON Schema of the input, where the document gives one. */
  readonly inputSchema?: { readonly [key: string]: Json }
  /** By name; absent where there are none. */
  readonly schedules?: CompiledSchedules
  /** SHA-256 of the canonical source: an identical document is no new version. */
  readonly fingerprint: string
}

/** The stream of one workflow; names have no dot before the namespace ends, so the pair is unambiguous. */
export const workflowStream = (namespace: string, name: string): string => `workflow-${namespace}.${name}`
