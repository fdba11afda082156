import { type Leases, leaseKey } from '../ports/leases.ts'
import { type Logger, loggedOf } from '../ports/logger.ts'
import type { ReportedWork, StageReports, WorkerReport } from '../ports/stage-reports.ts'

/**
 * Takes what workers have sent without waiting for an answer. They learn of it by the lease of the attempt: it is confirmed once the
 * log has its start, released once it has its outcome, and revoked where it refuses what they do.
 * @returns a function that rejects where the log cannot be written: the report has to come again then
 */
export function createReportIntake(options: {
  readonly reports: StageReports
  readonly leases: Pick<Leases, 'confirm' | 'release' | 'revoke'>
  readonly logger: Logger
}): (work: ReportedWork, report: WorkerReport) => Promise<void> {
  const { reports, leases, logger } = options
  return async (work, report) => {
    const answer = await reports.report(work, report)
    const key = leaseKey(work.executionId, work.stage, work.attempt)
    const { worker } = report
    try {
      if (isOutcome(report)) {
        if (worker !== undefined) await leases.release(key, worker)
      } else if (answer === 'refused') await leases.revoke(key)
      else if (report.type === 'StartStage') await leases.confirm(key, report.worker)
    } catch (err) {
      // Runs go on without leases. The worker sends a start again, and lets go of what was sent by itself, in time.
      logger.warn({ ...loggedOf(work), worker, err }, 'a lease cannot be given up now')
    }
  }
}

const isOutcome = ({ type }: WorkerReport): boolean => type !== 'StartStage' && type !== 'CheckpointStage'
