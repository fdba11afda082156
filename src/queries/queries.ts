import type { StageError } from '../domain/execution/events.ts'
import type { Json } from '../domain/message.ts'
import type { Advice } from './advice/advice.ts'

export type ExecutionStatus = 'running' | 'paused' | 'cancelling' | 'completed' | 'failed' | 'cancelled'
export type StageStatus =
  | 'blocked'
  | 'waiting'
  | 'scheduled'
  | 'running'
  | 'retrying'
  | 'completed'
  | 'failed'
  | 'skipped'
  | 'cancelled'

/** A stage in an answer. Times are ISO 8601 in UTC. */
export type StageView = {
  readonly status: StageStatus
  /** The latest attempt; 0 before the first. */
  readonly attempt: number
  readonly startedAt?: string
  readonly finishedAt?: string
  readonly output?: Json
  readonly error?: StageError
  /** What a stage that is `waiting` or `retrying` waits for, and until when. */
  readonly waiting?: {
    readonly for: 'timer' | 'retry' | 'approval' | 'signal' | 'person'
    readonly until?: string
  }
  /** Why a stage was skipped or cancelled. */
  readonly reason?: string
}

export type ExecutionView = {
  readonly id: string
  readonly namespace: string
  readonly workflow: string
  readonly version: number
  readonly status: ExecutionStatus
  readonly input: Json
  readonly labels: { readonly [name: string]: string }
  readonly priority: number
  readonly error?: { readonly code: string; readonly message: string; readonly stages: readonly string[] }
  readonly startedAt: string
  readonly finishedAt?: string
  readonly stages: { readonly [id: string]: StageView }
  readonly revision: number
  readonly position: number
}

export type ExecutionSummary = Omit<ExecutionView, 'stages' | 'input'>

export type WorkflowView = {
  readonly namespace: string
  readonly name: string
  /** The newest version, counted from 1. */
  readonly version: number
  readonly status: 'active' | 'retired'
  readonly createdAt: string
  readonly updatedAt: string
  /** The document of the newest version as it was sent, parsed. */
  readonly source: Json
}

export type WorkflowVersionView = { readonly version: number; readonly createdAt: string; readonly source: Json }

export type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | null }
/** `limit` is 1 to 200; `cursor` is what an earlier page answered. A forged cursor throws `BadCursor`. */
export type PageRequest = { readonly limit: number; readonly cursor?: string }

export type ProjectionName = 'workflows' | 'executions' | 'events'

export type ProjectionView = {
  readonly name: string
  readonly version: number
  readonly status: 'running' | 'failed'
  readonly position: number
  readonly lagEvents: number
  readonly lagSeconds: number
  readonly error?: string
}

/** Everything that the read models answer. `undefined` means that there is no such thing in that namespace. */
export interface Queries {
  workflow(namespace: string, name: string): Promise<WorkflowView | undefined>
  workflows(namespace: string, page: PageRequest): Promise<Page<WorkflowView>>
  workflowVersions(namespace: string, name: string, page: PageRequest): Promise<Page<WorkflowVersionView> | undefined>
  /** Over the newest version where none is named, and its newest `runs` ended runs. */
  advice(
    namespace: string,
    name: string,
    over: { readonly version?: number; readonly runs: number },
  ): Promise<Advice | undefined>
  execution(namespace: string, id: string): Promise<ExecutionView | undefined>
  executions(
    namespace: string,
    filter: { workflow?: string; status?: ExecutionStatus; label?: string; from?: string; to?: string },
    page: PageRequest,
  ): Promise<Page<ExecutionSummary>>
  projections(): Promise<readonly ProjectionView[]>
  /** Position of the last event of the log, -1 of an empty one. */
  head(): Promise<number>
  /** Resolves true once the named projections, or else all, have reached `position`; false when `waitMs` ran out first. */
  reached(position: number, waitMs: number, names?: readonly ProjectionName[]): Promise<boolean>
}

/** The cursor was not one that a page answered. */
export class BadCursor extends Error {
  constructor() {
    super('the cursor is not one that an earlier page answered')
    this.name = 'BadCursor'
  }
}
