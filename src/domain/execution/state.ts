import type { Json } from '../message.ts'
import type { CompiledStage, CompiledWorkflow } from '../workflow/definition.ts'
import type { Blocker, Concurrency, ExecutionEventOf, ParentStage, SkipReason, StageError, Wait } from './events.ts'
import type { WorkflowGraph } from './graph.ts'

/** `attempt` is 0 for one of the run restored from. */
export type Checkpoint = { readonly attempt: number; readonly sequence: number; readonly state: Json }

/** What a stage has behind it: the current or, between two, the next attempt. */
type Tried = {
  readonly attempt: number
  /** How many attempts ended through no fault of their work. */
  readonly lost: number
  /** The latest that an attempt of this stage saved. */
  readonly checkpoint: Checkpoint | undefined
  /** The stage's fallback has taken over. */
  readonly fallback: boolean
  /** How many attempts were those of the work that the fallback took the place of, lost ones left out. */
  readonly replaced: number
}

/** What the attempt holds of a pool: the number of the grant. */
type Holding = { readonly fence: number | undefined }

/** What a stage that waits waits for; an approval gathers who granted it, a person is asked what to do about a failure. */
export type Waiting =
  | Exclude<Wait, { for: 'approval' }>
  | {
      readonly for: 'approval'
      readonly approvers: readonly string[]
      readonly required: number
      readonly selfApproval: boolean
      readonly granted: readonly string[]
      readonly until?: string
    }
  | { readonly for: 'person'; readonly error: StageError }
  /** The attempt has not been scheduled: `queue` is where it goes, where that is not the stage's own. */
  | ({ readonly for: 'pool'; readonly queue: string | undefined } & Omit<
      ExecutionEventOf<'StageDeferred'>['data'],
      'stage' | 'attempt' | 'workflow' | 'priority'
    >)

export type StageState =
  /** `pending` counts the needs that have not ended; with none, or enough of them, it is held back. */
  | { readonly status: 'blocked'; readonly pending: number; readonly checkpoint: Checkpoint | undefined }
  | (Tried & { readonly status: 'waiting'; readonly waits: Waiting })
  | (Tried & Holding & { readonly status: 'scheduled' })
  /** `stopping`: why it was asked to. */
  | (Tried & Holding & { readonly status: 'running'; readonly worker: string; readonly stopping: string | undefined })
  /** `dueAt` is empty only between `StageFailed` and its `StageRetried`; so is `queue`, which is set where it is not the stage's own. */
  | (Tried & {
      readonly status: 'retrying'
      readonly dueAt: string
      readonly queue: string | undefined
      readonly error: StageError
    })
  /** Goes on as the stages that it generated, by index; `open` of them have not ended. */
  | {
      readonly status: 'expanded'
      readonly attempt: number
      readonly children: readonly number[]
      readonly open: number
      readonly output: Json
    }
  | { readonly status: 'completed'; readonly attempt: number; readonly output: Json }
  | {
      readonly status: 'failed'
      readonly attempt: number
      readonly error: StageError
      readonly checkpoint: Checkpoint | undefined
    }
  /** `error` is set where it failed first. */
  | {
      readonly status: 'skipped'
      readonly attempt: number
      readonly reason: SkipReason
      readonly detail: string
      readonly error: StageError | undefined
    }
  | {
      readonly status: 'cancelled'
      readonly attempt: number
      readonly reason: string
      readonly checkpoint: Checkpoint | undefined
    }

/** What a run was started with. Stages are addressed by their index in `definition.stages`; those generated are added there. */
export type Run = {
  readonly executionId: string
  readonly namespace: string
  readonly workflow: string
  readonly version: number
  readonly definition: CompiledWorkflow
  readonly graph: WorkflowGraph
  readonly input: Json
  readonly labels: { readonly [name: string]: string }
  readonly priority: number
  readonly fingerprint: string
  readonly startedBy: string
  /** The time of a schedule that the run is for. */
  readonly nominalAt: string | undefined
  readonly parent: ParentStage | undefined
  readonly concurrency: Concurrency | undefined
}

type Signal = { readonly id: string; readonly name: string; readonly payload: Json }

type Going = {
  readonly run: Run
  readonly stages: readonly StageState[]
  /** How many stages have not ended. */
  readonly open: number
  /** A stage failed, and the rest is being brought to an end. */
  readonly failing: false | 'fail-fast' | 'compensate'
  /** The completed stages that know how to be undone, in the order of their completion. */
  readonly compensable: readonly number[]
  /** Signals that no stage has taken yet, the oldest first; and the ids of all there were. */
  readonly signals: readonly Signal[]
  readonly signalIds: readonly string[]
  readonly timeoutAt: string
  /** What it holds of its group. */
  readonly fence: number | undefined
}

export type OpenExecution =
  /** It waits for its group, and nothing of it has begun. Before the log says who is in the way, nobody is known to be. */
  | (Going & { readonly status: 'queued'; readonly blockers: readonly Blocker[] | undefined })
  | (Going & { readonly status: 'running' })
  | (Going & { readonly status: 'paused'; readonly remainingMs: number })
  | (Going & { readonly status: 'cancelling'; readonly reason: string; readonly outcome: 'cancelled' | 'failed' })

type EndedExecution = {
  readonly status: 'completed' | 'failed' | 'cancelled'
  readonly run: Run
  readonly stages: readonly StageState[]
  readonly signalIds: readonly string[]
  readonly output: Json | undefined
}

export type Execution = { readonly status: 'none' } | OpenExecution | EndedExecution

export const isOpen = (state: Execution): state is OpenExecution =>
  state.status === 'running' || state.status === 'paused' || state.status === 'cancelling' || state.status === 'queued'

export const hasEnded = (stage: StageState): boolean =>
  stage.status === 'completed' ||
  stage.status === 'failed' ||
  stage.status === 'skipped' ||
  stage.status === 'cancelled'

/** A stage that was passed over on purpose stands in nobody's way. */
export const hasSucceeded = (stage: StageState): boolean =>
  stage.status === 'completed' ||
  (stage.status === 'skipped' &&
    (stage.reason === 'condition' || stage.reason === 'person' || stage.reason === 'recovery'))

/** Ended, or asked to, because another stage failed or the run is to end. */
export const isStopped = (stage: StageState): boolean =>
  stage.status === 'cancelled' ||
  (stage.status === 'skipped' && stage.reason === 'fail-fast') ||
  (stage.status === 'running' && stage.stopping !== undefined)

/** As the trigger of a run has it that is for the same time. */
export const nominalTimeOf = ({ nominalAt }: Pick<Run, 'nominalAt'>): { readonly nominalAt?: string } =>
  nominalAt === undefined ? {} : { nominalAt }

export const stageOf = (run: Run, index: number): CompiledStage => run.definition.stages[index]!
