import type { StageReport } from '../domain/execution/commands.ts'
import type { Work } from '../domain/execution/work.ts'

/** Where workers say what became of an attempt. */
export interface StageReports {
  /**
   * Resolves `accepted` when what follows from the report is durable, also when the log said so already; `refused`
   * when the attempt is no more the current one or the run has ended: the worker must then stop it.
   */
  report(work: Work, report: StageReport): Promise<'accepted' | 'refused'>
}
