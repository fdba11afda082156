import { setImmediate as turn } from 'node:timers/promises'
import type { StageError } from '../domain/execution/events.ts'
import type { Work } from '../domain/execution/work.ts'
import type { Json } from '../domain/message.ts'
import type { WorkerRegistration } from '../domain/worker/events.ts'
import type { Clock } from '../ports/clock.ts'
import { type Handler, type StageContext, StageFailure, type StopReason } from '../ports/handler.ts'
import type { Leases } from '../ports/leases.ts'
import type { StageLogs } from '../ports/stage-logs.ts'
import type { StageReports, WorkerReport } from '../ports/stage-reports.ts'
import type { Consumer, WorkQueue } from '../ports/work-queue.ts'
import type { WorkerRegistry } from '../ports/worker-registry.ts'
import { createCheckpoints } from './checkpoints.ts'
import { createGeneratedStages } from './generated-stages.ts'
import { toStageError } from './handlers/stage-error.ts'
import { toPlainJson } from './plain-json.ts'
import { createPresence } from './presence.ts'
import { createTaking, type End } from './taking.ts'

export type WorkerOptions = {
  /** Unique over all processes and restarts: it is the owner of leases and stands in `StageStarted`. */
  readonly id: string
  readonly queue: WorkQueue
  readonly leases: Leases
  readonly reports: StageReports
  readonly registry: WorkerRegistry
  readonly logs: StageLogs
  readonly clock: Clock
  readonly handlers: ReadonlyMap<string, Handler>
  readonly queues: readonly string[]
  readonly labels: readonly string[]
  readonly concurrency: number
  readonly perQueue?: Readonly<Record<string, number>>
  readonly leaseMs: number
  readonly heartbeatMs: number
  /** Where it runs, and which program it is. */
  readonly about: Pick<WorkerRegistration, 'host' | 'pid' | 'version'>
  readonly logger: { warn(fields: object, message: string): void }
}

export interface StageWorker {
  /** Takes no new work, gives what runs `graceMs` to finish, then hands it over to another attempt. */
  drain(graceMs: number): Promise<void>
  /** Resolves once the log says that it is there; it takes work before that. */
  readonly registered: Promise<void>
  /** How many attempts run now. */
  readonly running: number
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
type Answer = 'accepted' | 'refused' | 'lost'
const REPORT_AGAIN_MS = 500

/** A process that takes work from queues and runs its handlers, one lease an attempt. */
export function startWorker(options: WorkerOptions): StageWorker {
  const { id, queue, leases, clock, leaseMs, heartbeatMs, logger } = options
  const held = new Map<string, AbortController>()
  const presence = createPresence({ ...options, registration: registrationOf(options) })
  let cancelBeat: () => void = () => {}
  let draining = false

  async function beat(): Promise<void> {
    try {
      const { revoked, lost } = await leases.renew(id, [presence.key, ...held.keys()], leaseMs)
      for (const key of revoked) stop(held.get(key), 'cancelled')
      for (const key of lost) stop(held.get(key), 'lease-lost')
      if ([...revoked, ...lost].includes(presence.key)) presence.returned()
    } catch (error) {
      logger.warn({ worker: id, err: error }, 'leases cannot be renewed now; they wait with their store')
    }
    if (!draining || held.size > 0) cancelBeat = clock.after(heartbeatMs, () => void beat())
  }

  async function attemptWith(key: string, work: Work): Promise<End> {
    const controller = new AbortController()
    held.set(key, controller)
    try {
      return await attempt(options, work, controller)
    } finally {
      held.delete(key)
      // One that cannot be released ends by itself.
      await leases.release(key, id).catch((err) => logger.warn({ worker: id, err }, 'a lease cannot be released now'))
    }
  }

  const take = createTaking({ ...options, isDraining: () => draining, attempt: attemptWith })
  const consumer: Consumer = queue.consume(
    options.queues,
    {
      concurrency: options.concurrency,
      labels: options.labels,
      ...(options.perQueue ? { perQueue: options.perQueue } : {}),
    },
    take,
  )
  const registered = presence.begin()
  cancelBeat = clock.after(heartbeatMs, () => void beat())

  return {
    async drain(graceMs) {
      draining = true
      let interrupted = 0
      const closed = consumer.close()
      const said = presence.leave(graceMs)
      const cancel = clock.after(graceMs, () => {
        interrupted = held.size
        for (const controller of held.values()) stop(controller, 'shutdown')
      })
      await Promise.all([closed, said])
      cancel()
      cancelBeat()
      await presence.end(interrupted)
    },
    registered,
    get running() {
      return held.size
    },
  }
}

function registrationOf(options: WorkerOptions): WorkerRegistration {
  const { about, queues, perQueue = {}, labels, concurrency, handlers } = options
  return {
    ...about,
    queues: queues.map((name) => ({ name, ...(perQueue[name] === undefined ? {} : { limit: perQueue[name] }) })),
    labels: [...labels].sort(),
    concurrency,
    handlers: [...handlers.values()].map(({ name, version }) => ({
      name,
      ...(version === undefined ? {} : { version }),
    })),
  }
}

function stop(controller: AbortController | undefined, reason: StopReason): void {
  if (controller && !controller.signal.aborted) controller.abort(reason)
}

async function attempt(options: WorkerOptions, work: Work, controller: AbortController): Promise<End> {
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
    const may = (await begin()) === 'accepted' && controller.signal.reason !== 'lease-lost'
    const said = { type: 'CheckpointStage', ...about(), sequence, state } as const
    if (may && (await report(options, work, said, controller)) === 'accepted') return
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
  if (end !== 'lost') return 'over'
  return start === 'accepted' ? 'lost' : 'unbegun'
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
  options: WorkerOptions,
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

function unknownHandler(name: string, { handlers, id }: WorkerOptions): StageFailure {
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
  { reports, clock, logger, id }: WorkerOptions,
  work: Work,
  said: Parameters<StageReports['report']>[1],
  controller: AbortController,
): Promise<Answer> {
  for (;;) {
    try {
      return await reports.report(work, said)
    } catch (error) {
      if (controller.signal.reason === 'lease-lost') return 'lost'
      logger.warn({ worker: id, work: work.id, err: error }, 'a report was not taken, will be made again')
      await new Promise<void>((resolve) => clock.after(REPORT_AGAIN_MS, resolve))
    }
  }
}
