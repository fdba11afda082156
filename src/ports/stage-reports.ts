import type { StageReport } from '../domain/execution/commands.ts'
import type { Work } from '../domain/execution/work.ts'
import type { Json } from '../domain/message.ts'

/** Stages as people write them, by id: what stands below `stages:` in a workflow. */
export type StageDocuments = { readonly [id: string]: Json }

type Completed = Extract<StageReport, { type: 'CompleteStage' }>
/** What a worker says; stages that an attempt generated are compiled by whoever takes the report. */
export type WorkerReport =
  | Exclude<StageReport, Completed>
  | (Omit<Completed, 'stages'> & { readonly generated?: StageDocuments })

/** Of the work that a report is about, as much as is needed to take it. */
export type ReportedWork = Pick<Work, 'namespace' | 'executionId' | 'eventId' | 'stage' | 'attempt' | 'traceparent'>

/** Where workers say what became of an attempt. */
export interface StageReports {
  /**
   * Resolves `accepted` when what follows from the report is durable, also when the log said so already; `refused`
   * when the attempt is no more the current one or the run has ended: the worker must then stop it. `sent`: the report is durable
   * and will be taken; a refusal then comes as the end of the lease, which the worker keeps until its outcome was taken.
   */
  report(work: ReportedWork, report: WorkerReport): Promise<'accepted' | 'refused' | 'sent'>
}
