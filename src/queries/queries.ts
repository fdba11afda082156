import type { Blocker, ExecutionEventOf, ParentStage, Recovery, StageError } from '../domain/execution/events.ts'
import type { Json } from '../domain/message.ts'
import type { ResourceName } from '../domain/pool/amounts.ts'
import type { WorkerRegistration } from '../domain/worker/events.ts'
import type { Advice } from './advice/advice.ts'
import type { AnalyticsQueries } from './analytics.ts'
import type { AttemptView } from './attempts.ts'
import type { AuditQueries } from './audit.ts'
import type { Page, PageRequest } from './page.ts'
import type { ProjectionView } from './projection-view.ts'
import type { ExecutionSort, WorkerSort, WorkflowSort } from './sort.ts'

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
  readonly waiting?: WaitingView
  /** The latest state that it saved; attempt and sequence are 0 where that was in the run restored from. */
  readonly checkpoint?: { readonly attempt: number; readonly sequence: number }
  /** The stage that generated it. */
  readonly parent?: string
  /** Why a stage was skipped, cancelled or given up. */
  readonly reason?: string
}

export type WaitingView = {
  readonly for: 'timer' | 'retry' | 'approval' | 'signal' | 'person' | 'pool'
  readonly until?: string
  /** Of an approval: who may grant it (anybody where it is empty), how many have to, and who has. */
  readonly approvers?: readonly string[]
  readonly required?: number
  readonly granted?: readonly string[]
  /** Name of the signal. */
  readonly signal?: string
  /** Of a pool: its name, why it has not granted what is asked of it, what there is too little of, and some of those who hold it. */
  readonly pool?: string
  readonly reason?: ExecutionEventOf<'StageDeferred'>['data']['reason']
  readonly short?: readonly ResourceName[]
  readonly blockers?: readonly Blocker[]
}

/** What a run waits for before anything of it begins; `blockers` are runs that go on in its group. */
export type RunWaitingView = {
  readonly for: 'concurrency'
  readonly group: string
  readonly blockers: readonly Blocker[]
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
  readonly output?: Json
  readonly error?: { readonly code: string; readonly message: string; readonly stages: readonly string[] }
  /** The run, and the place in its stream, that this one goes on from. */
  readonly restoredFrom?: { readonly executionId: string; readonly revision: number }
  /** File of the archive that has the run's stream. */
  readonly archivedIn?: string
  /** The stage of another run that this run does the work of. */
  readonly parent?: ParentStage
  readonly waiting?: RunWaitingView
  readonly startedAt: string
  readonly finishedAt?: string
  readonly stages: { readonly [id: string]: StageView }
  readonly revision: number
  readonly position: number
}

export type ExecutionSummary = Omit<ExecutionView, 'stages' | 'input' | 'output'>

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

/** A schedule in an answer. Times are ISO 8601 in UTC. */
export type ScheduleView = {
  readonly namespace: string
  readonly name: string
  readonly workflow: string
  readonly status: 'active' | 'paused'
  /** The workflow whose definition has it. */
  readonly definedBy?: string
  /** As it could be written, with its defaults. */
  readonly spec: { readonly [member: string]: Json }
  /** The next nominal time; none of one that is paused, or has none to come. */
  readonly nextAt?: string
  /** The newest that is of no backfill. */
  readonly lastRun?: {
    readonly nominalAt: string
    readonly executionId: string
    readonly status: 'open' | 'completed' | 'failed' | 'cancelled' | 'refused'
  }
  /** Over its whole life; `passed` are the nominal times that had no run. */
  readonly counts: {
    readonly fired: number
    readonly completed: number
    readonly failed: number
    readonly cancelled: number
    readonly refused: number
    readonly passed: number
  }
  readonly open: number
  readonly queued: number
  /** The one that goes on. */
  readonly backfill?: {
    readonly id: string
    readonly from: string
    readonly to: string
    readonly maxConcurrent: number
    readonly count: number
  }
  readonly createdAt: string
  readonly updatedAt: string
  readonly revision: number
  readonly position: number
}

export type ScheduleDetail = ScheduleView & {
  readonly openRuns: readonly { readonly nominalAt: string; readonly executionId: string; readonly backfill?: string }[]
  readonly queue: readonly string[]
}

/** `dueAt` is later than `nominalAt` by the jitter. */
export type UpcomingTime = { readonly nominalAt: string; readonly dueAt: string }

export type WorkerStatus = 'running' | 'draining' | 'stopped' | 'lost'

/** A worker serves every namespace; `running` counts the attempts that it runs in the one that was asked about. */
export type WorkerView = WorkerRegistration & {
  readonly id: string
  readonly status: WorkerStatus
  readonly since: string
  /** Why it was taken for lost. */
  readonly reason?: string
  readonly registeredAt: string
  readonly running: number
}

export type ProjectionName = 'workflows' | 'executions' | 'pools' | 'schedules' | 'events' | 'workers'

export type FailureKey = 'class' | 'rule' | 'workflow' | 'stage'

/** Failed attempts from `from` on and before `to` (ISO 8601), in at most `limit` groups. */
export type FailureQuestion = {
  readonly groupBy: readonly FailureKey[]
  readonly from: string
  readonly to: string
  readonly limit: number
  readonly workflow?: string
  readonly stage?: string
  readonly class?: string
}

/** The largest groups first; `more` says that there are others. */
export type FailureStatistics = { readonly items: readonly FailureGroup[]; readonly more: boolean }

/** Attempts of stages that failed, with those members of the key that were asked for. */
export type FailureGroup = { readonly [key in FailureKey]?: string } & {
  readonly failures: number
  readonly runs: number
  /** Failures after which a later attempt of the stage completed. */
  readonly recovered: number
  readonly byRecovery: { readonly [recovery in Recovery]?: number }
  readonly lastAt: string
}

/** Cores, and bytes. */
type AmountsView = {
  readonly slots: number
  readonly cpu: number
  readonly memory: number
  readonly disk: number
}

/** The first of those who hold it and of those who wait, the oldest first; the counts are of all. */
export type PoolView = {
  readonly name: string
  readonly capacity: AmountsView
  /** More than the capacity where the pool has shrunk under those who hold it. */
  readonly inUse: AmountsView
  readonly held: readonly {
    readonly executionId: string
    readonly stage: string
    readonly attempt: number
    readonly fence: string
    readonly since: string
    readonly amounts: AmountsView
  }[]
  readonly heldCount: number
  readonly waiting: readonly ({
    readonly executionId: string
    readonly stage: string
    readonly workflow: string
    readonly priority: number
  } & Pick<WaitingView, 'reason' | 'short' | 'blockers'>)[]
  readonly waitingCount: number
  readonly updatedAt: string
  readonly revision: number
  readonly position: number
}

/** From `from` on and before `to` (ISO 8601), in steps. */
export type UtilisationQuestion = { readonly from: string; readonly to: string; readonly stepMs: number }

/** The step that begins at `from`: averages over its time, and the most that was in use at once. */
export type UtilisationPoint = {
  readonly from: string
  readonly inUse: AmountsView
  readonly capacity: AmountsView
  readonly most: AmountsView
}

/** Everything that the read models answer. `undefined` means that there is no such thing in that namespace. */
export interface Queries {
  workflow(namespace: string, name: string): Promise<WorkflowView | undefined>
  workflows(namespace: string, page: PageRequest, sort?: WorkflowSort): Promise<Page<WorkflowView>>
  workflowVersions(namespace: string, name: string, page: PageRequest): Promise<Page<WorkflowVersionView> | undefined>
  /** Over the newest version where none is named, and its newest `runs` ended runs. */
  advice(
    namespace: string,
    name: string,
    over: { readonly version?: number; readonly runs: number },
  ): Promise<Advice | undefined>
  execution(namespace: string, id: string): Promise<ExecutionView | undefined>
  /** In their order; none where there is no such stage. */
  attempts(id: string, stage: string): Promise<readonly AttemptView[]>
  executions(
    namespace: string,
    filter: { workflow?: string; status?: ExecutionStatus; label?: string; from?: string; to?: string },
    page: PageRequest,
    sort?: ExecutionSort,
  ): Promise<Page<ExecutionSummary>>
  pool(namespace: string, name: string): Promise<PoolView | undefined>
  pools(namespace: string, page: PageRequest): Promise<Page<PoolView>>
  poolUtilisation(namespace: string, name: string, question: UtilisationQuestion): Promise<readonly UtilisationPoint[]>
  schedules(namespace: string, filter: { workflow?: string }, page: PageRequest): Promise<Page<ScheduleView>>
  schedule(namespace: string, name: string): Promise<ScheduleDetail | undefined>
  upcomingTimes(namespace: string, name: string, count: number): Promise<readonly UpcomingTime[] | undefined>
  failures(namespace: string, question: FailureQuestion): Promise<FailureStatistics>
  workers(
    namespace: string,
    filter: { status?: WorkerStatus },
    page: PageRequest,
    sort?: WorkerSort,
  ): Promise<Page<WorkerView>>
  projections(): Promise<readonly ProjectionView[]>
  /** How runs and stages went over time. */
  readonly analytics: AnalyticsQueries
  /** What is on record. */
  readonly audit: AuditQueries
  /** Position of the last event of the log, -1 of an empty one. */
  head(): Promise<number>
  /** How far all of the named projections are at least: what is asked after that knows of everything up to there. */
  position(names: readonly ProjectionName[]): Promise<number>
  /** Resolves true once the named projections, or else all, have reached `position`; false when `waitMs` ran out first. */
  reached(position: number, waitMs: number, names?: readonly string[]): Promise<boolean>
}
