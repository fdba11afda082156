// One attempt from the start of its handler to the report of what became of it.
import { setImmediate as turn } from 'node:timers/promises'
import type { StageError } from '../domain/execution/events.ts'
import type { Work } from '../domain/execution/work.ts'
import type { Json } from '../domain/message.ts'
import type { Clock } from '../ports/clock.ts'
import { type Handler, type StageContext, StageFailure, type StopReason } from '../ports/handler.ts'
import { loggedOf } from '../ports/logger.ts'
import type { StageLogs } from '../ports/stage-logs.ts'
import type { StageReports, WorkerReport } from '../ports/stage-reports.ts'
import { createCheckpoints } from './checkpoints.ts'
import { createGeneratedStages } from './generated-stages.ts'
import { toStageError } from './handlers/stage-error.ts'
import { toPlainJson } from './plain-json.ts'
import type { End } from './taking.ts'

export type AttemptOptions = {
  /** Of the worker. */
  readonly id: string
  readonly reports: StageReports
  /** Waits for what becomes of a start that was sent; undefined where it is to be sent again. */
  confirmation(work: Work): Promise<'accepted' | 'refused' | 'lost' | undefined>
  readonly logs: StageLogs
  readonly clock: Clock
  readonly handlers: ReadonlyMap<string, Handler>
  readonly logger: { warn(fields: object, message: string): void }
}

/** `stopped`: the handler ended because it was asked to, for `reason`; what failed before that has failed by itself. */
type Outcome =
  | { readonly kind: 'completed'; readonly output: Json }
  | { readonly kind: 'failed'; readonly error: StageError }
  | { readonly kind: 'stopped'; readonly reason: StopReason; readonly error: StageError }

const OUTPUT = {
  name: 'OUTPUT',
  what: 'the output',
  advice: 'keep large results elsewhere and return where',
} as const
/** A report that the store could not take is made again until it can, or the lease is `lost`. */
type Answer = Awaited<ReturnType<StageReports['report']>> | 'lost'
const wasTaken = (answer: Answer): boolean => answer === 'accepted' || answer === 'sent'
const REPORT_AGAIN_MS = 500

export function stop(controller: AbortController | undefined, reason: StopReason): void {
  if (controller && !controller.signal.aborted) controller.abort(reason)
}

/** Makes the attempt; `controller` stops it, and so does its timeout. */
export async function attempt(options: AttemptOptions, work: Work, controller: AbortController): Promise<End> {
  const { clock, id: worker } = options
  const { stage, attempt } = work
  const about = () => ({ stage, attempt, worker, at: new Date(clock.now()).toISOString() })
  const cancelTimeout = clock.after(work.timeoutMs, () => stop(controller, 'timeout'))
  let beginning: Promise<Answer> | undefined
  const begin = () => {
    beginning ??= report(options, work, { type: 'StartStage', ...about() }, controller).then((answer) => {
      if (answer === 'refused') stop(controller, 'cancelled')
      return answer
    })
    return beginning
  }
  const checkpoints = createCheckpoints(async (state, sequence) => {
    const may = wasTaken(await begin()) && controller.signal.reason !== 'lease-lost'
    const said = { type: 'CheckpointStage', ...about(), sequence, state } as const
    if (may && wasTaken(await report(options, work, said, controller))) return
    stop(controller, 'cancelled')
    controller.signal.throwIfAborted()
  })
  const generated = createGeneratedStages()
  const begun = async (): Promise<void> => {
    await begin()
    controller.signal.throwIfAborted()
  }
  let ended = false
  const given = { begun, checkpoint: checkpoints.checkpoint, generate: generated.generate }
  const running = run(options, work, controller.signal, given).finally(() => {
    ended = true
    cancelTimeout()
  })
  // One turn of the event loop: what has ended by then is reported by its outcome alone, which saves an append.
  await turn()
  if (!ended) await Promise.race([running, begin()])
  const outcome = await running
  await checkpoints.settled()
  const start = await beginning
  if (start === 'refused') return 'over'
  const isLost = controller.signal.reason === ('lease-lost' satisfies StopReason)
  const end = isLost ? 'lost' : await report(options, work, reportOf(outcome, about(), generated), controller)
  if (end !== 'lost') return end === 'sent' ? 'sent' : 'over'
  return start !== undefined && wasTaken(start) ? 'lost' : 'unbegun'
}

function reportOf(
  outcome: Outcome,
  about: { readonly stage: string; readonly attempt: number; readonly worker: string; readonly at: string },
  generated: ReturnType<typeof createGeneratedStages>,
): WorkerReport {
  if (outcome.kind === 'completed')
    return { type: 'CompleteStage', ...about, output: outcome.output, ...generated.reported() }
  if (outcome.kind === 'stopped' && outcome.reason === 'cancelled') return { type: 'StopStage', ...about }
  const isShutDown = outcome.kind === 'stopped' && outcome.reason === 'shutdown'
  return { type: isShutDown ? 'LoseStage' : 'FailStage', ...about, error: outcome.error }
}

/** Runs the handler and never rejects: whatever it throws is an outcome. */
async function run(
  options: AttemptOptions,
  work: Work,
  signal: AbortSignal,
  given: Pick<StageContext, 'begun' | 'checkpoint' | 'generate'>,
): Promise<Outcome> {
  const { input, namespace, executionId, stage, attempt, resume } = work
  const log = options.logs.open(executionId, stage, attempt)
  try {
    const handler = options.handlers.get(work.handler)
    if (handler === undefined) throw unknownHandler(work.handler, options)
    const context = { input, namespace, executionId, stage, attempt, resume, signal, log: writeTo(log), ...given }
    return { kind: 'completed', output: toOutput(await handler.run(context)) }
  } catch (thrown) {
    if (!signal.aborted) return { kind: 'failed', error: toStageError(thrown) }
    return { kind: 'stopped', reason: signal.reason as StopReason, error: stopped(signal, thrown) }
  } finally {
    await log.close()
  }
}

const writeTo =
  (log: { write(stream: 'stdout' | 'stderr' | 'log', text: string): void }) =>
  (text: string, stream: 'stdout' | 'stderr' | 'log' = 'log'): void =>
    log.write(stream, text)

function unknownHandler(name: string, { handlers, id }: AttemptOptions): StageFailure {
  const known = [...handlers.keys()].join(', ')
  const message = `worker ${id} has no handler ${JSON.stringify(name)}; it has ${known}. Load it with --handlers.`
  return new StageFailure({ code: 'HANDLER_UNKNOWN', message, retryable: false })
}

/** Why an aborted attempt ended, whatever the handler made of the signal. */
function stopped(signal: AbortSignal, thrown: unknown): StageError {
  switch (signal.reason as StopReason) {
    case 'timeout':
      return { code: 'TIMED_OUT', message: 'the attempt took longer than its timeout' }
    case 'cancelled':
      return { code: 'CANCELLED', message: 'the attempt was asked to stop' }
    case 'shutdown':
      return { code: 'SHUTDOWN', message: 'the worker was shut down before the attempt had ended' }
    case 'lease-lost':
      return { code: 'LEASE_LOST', message: 'the worker lost its lease' }
    default:
      return toStageError(thrown)
  }
}

const toOutput = (output: Json | undefined): Json =>
  output === undefined || output === null ? null : toPlainJson(output, OUTPUT)

async function report(
  { reports, confirmation, clock, logger, id }: AttemptOptions,
  work: Work,
  said: Parameters<StageReports['report']>[1],
  controller: AbortController,
): Promise<Answer> {
  for (;;) {
    try {
      const answer = await reports.report(work, said)
      if (answer !== 'sent' || said.type !== 'StartStage') return answer
      // Before its start is in the log no attempt has begun.
      const known = await confirmation(work)
      if (known === 'lost') stop(controller, 'lease-lost')
      if (known !== undefined) return known
    } catch (error) {
      if (controller.signal.reason === 'lease-lost') return 'lost'
      logger.warn({ worker: id, ...loggedOf(work), err: error }, 'a report was not taken, will be made again')
      await new Promise<void>((resolve) => clock.after(REPORT_AGAIN_MS, resolve))
    }
  }
}
