import type { Json } from '../message.ts'
import type { CompiledSchedules } from '../schedule/commands.ts'
import type { CompiledWorkflow } from './definition.ts'

export type WorkflowCommand =
  | {
      type: 'RegisterWorkflow'
      data: {
        readonly namespace: string
        readonly name: string
        /** The document as it was sent, parsed. */
        readonly source: Json
        readonly definition: CompiledWorkflow
        readonly inputSchema?: { readonly [key: string]: Json }
        readonly schedules?: CompiledSchedules
        /** SHA-256 of the canonical source. */
        readonly fingerprint: string
        /** The version the caller believes to be the newest; 0 for a workflow that must be new. */
        readonly expectedVersion?: number
      }
    }
  | { type: 'RetireWorkflow'; data: { readonly name: string; readonly reason: string } }

export type WorkflowCommandOf<T extends WorkflowCommand['type']> = Extract<WorkflowCommand, { type: T }>
