import { boundedText } from '../domain/bounded-text.ts'
import type { ExecutionCommand, StageReport } from '../domain/execution/commands.ts'
import { executionDecider } from '../domain/execution/decide.ts'
import { executionStream, type StageError } from '../domain/execution/events.ts'
import { type Fault, Rejected } from '../domain/rejected.ts'
import { compileGenerated } from '../domain/workflow/compile-generated.ts'
import type { StageReports, WorkerReport } from '../ports/stage-reports.ts'
import type { Context, Handle } from './handle.ts'

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
        await takeReport(handle, executionId, await compiled(handle, executionId, report), context)
        return 'accepted'
      } catch (error) {
        if (error instanceof Rejected) return 'refused'
        throw error
      }
    },
  }
}

/** @throws Rejected where the attempt is no more the current one, or the run has ended */
export async function takeReport(
  handle: Handle,
  executionId: string,
  report: StageReport,
  context: Context,
): Promise<void> {
  try {
    await handle(executionDecider, executionStream(executionId), report, context)
  } catch (error) {
    const tooLarge = error instanceof Rejected && error.code === 'EVENT_TOO_LARGE'
    if (!tooLarge || report.type !== 'CompleteStage') throw error
    // What follows from the outcome cannot be written down; without this the attempt would be made again and again.
    const { type: _, output: __, stages, ...about } = report
    const code = stages === undefined ? 'OUTPUT_TOO_LARGE' : 'GENERATED_TOO_LARGE'
    const failure = { code, message: error.message, retryable: false }
    await takeReport(handle, executionId, { type: 'FailStage', ...about, error: failure }, context)
  }
}

/** The report with the stages that the attempt generated as they will run; a failure where something is wrong with them. */
async function compiled(handle: Handle, executionId: string, report: WorkerReport): Promise<StageReport> {
  if (report.type !== 'CompleteStage' || report.generated === undefined) return report
  const { generated, ...completed } = report
  const { state } = await handle.load(executionDecider, executionStream(executionId))
  if (state.status === 'none') return completed
  const compilation = compileGenerated(generated, report.stage, state.run.definition)
  if (compilation.ok) return { ...completed, stages: compilation.stages }
  const { type: _, output: __, ...about } = completed
  return { type: 'FailStage', ...about, error: invalid(report.stage, compilation.faults) }
}

/** As many as a person will mend at once. */
const MAX_FAULTS = 100

function invalid(stage: string, faults: readonly Fault[]): StageError {
  const said = faults.map(({ pointer, message }) => (pointer === '' ? message : `${pointer}: ${message}`))
  const message = boundedText(`what ${stage} generated cannot run: ${said.join('; ')}`, 4_096)
  const details = faults.slice(0, MAX_FAULTS).map(({ pointer, message: text }) => ({ pointer, message: text }))
  return { code: 'GENERATED_INVALID', message, retryable: false, details }
}

/** Carries out what the timekeeper finds due. */
export function createIssue(handle: Handle) {
  return (
    about: { readonly executionId: string; readonly namespace: string; readonly causationId: string },
    command: ExecutionCommand,
  ) =>
    handle(executionDecider, executionStream(about.executionId), command, {
      namespace: about.namespace,
      correlationId: about.executionId,
      causationId: about.causationId,
      actor: 'system:timekeeper',
      at: command.at,
    })
}
