import type { ExecutionCommand } from '../domain/execution/commands.ts'
import { executionDecider } from '../domain/execution/decide.ts'
import { executionStream } from '../domain/execution/events.ts'
import { Rejected } from '../domain/rejected.ts'
import type { StageReports } from '../ports/stage-reports.ts'
import type { Handle } from './handle.ts'

/** Takes what workers report of their attempts. */
export function createStageReports(handle: Handle): StageReports {
  return {
    async report(work, report) {
      const { namespace, executionId, eventId, traceparent } = work
      const context = {
        namespace,
        correlationId: executionId,
        causationId: eventId,
        actor: report.worker === undefined ? 'system:engine' : `worker:${report.worker}`,
        at: report.at,
        ...(traceparent === undefined ? {} : { traceparent }),
      }
      try {
        await handle(executionDecider, executionStream(executionId), report, context)
        return 'accepted'
      } catch (error) {
        if (!(error instanceof Rejected)) throw error
        if (error.code !== 'EVENT_TOO_LARGE' || report.type !== 'CompleteStage') return 'refused'
        // What follows from the output cannot be written down; without this the attempt would be made again and again.
        const { type: _, output: __, ...about } = report
        const failure = { code: 'OUTPUT_TOO_LARGE', message: error.message, retryable: false }
        return this.report(work, { type: 'FailStage', ...about, error: failure })
      }
    },
  }
}

/** Carries out what the timekeeper finds due. */
export function createIssue(handle: Handle) {
  return (
    about: { readonly executionId: string; readonly namespace: string; readonly causationId: string },
    command: ExecutionCommand,
  ): Promise<unknown> =>
    handle(executionDecider, executionStream(about.executionId), command, {
      namespace: about.namespace,
      correlationId: about.executionId,
      causationId: about.causationId,
      actor: 'system:timekeeper',
      at: command.at,
    })
}
