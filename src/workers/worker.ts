import { setImmediate as turn } from 'node:timers/promises'
import type { StageError } from '../domain/execution/events.ts'
import type { Work } from '../domain/execution/work.ts'
import type { Json } from '../domain/message.ts'
import type { Clock } from '../ports/clock.ts'
import { type Handler, type StageContext, StageFailure, type StopReason } from '../ports/handler.ts'
import { type Leases, leaseKey } from '../ports/leases.ts'
import type { StageLogs } from '../ports/stage-logs.ts'
import type { StageReports, WorkerReport } from '../ports/stage-reports.ts'
import type { Consumer, WorkQueue } from '../ports/work-queue.ts'
import { createCheckpoints } from './checkpoints.ts'
import { createGeneratedStages } from './generated-stages.ts'
import { toStageError } from './handlers/stage-error.ts'
import { toPlainJson } from './plain-json.ts'

export type WorkerOptions = {
  /** Unique over all processes and restarts: it is the owner of leases and stands in `StageStarted`. */
  readonly id: string
  readonly queue: WorkQueue
  readonly leases: Leases
  readonly reports: StageReports
  readonly logs: StageLogs
  readonly clock: Clock
  readonly handlers: ReadonlyMap<string, Handler>
  readonly queues: readonly string[]
  readonly concurrency: number
  readonly perQueue?: Readonly<Record<string, number>>
  readonly leaseMs: number
  readonly heartbeatMs: number
  readonly logger: { warn(fields: object, message: string): void }
}

export interface StageWorker {
  /** Takes no new work, gives what runs `graceMs` to finish, then hands it over to another attempt. */
  drain(graceMs: number): Promise<void>
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
/** `sinceMs` is when the last message about it came, on the monotonic clock. */
type Taken = { sinceMs: number; readonly done: Promise<void> }
/** A report that the store could not take is made again until it can, or the lease is `lost`. */
type Answer = 'accepted' | 'refused' | 'lost'
/** The lease was `lost` after the log had taken the start; or before, so that for everybody else the attempt is `unbegun`. */
type End = 'over' | 'lost' | 'unbegun'
const REPORT_AGAIN_MS = 500

/** A process that takes work from queues and runs its handlers, one lease an attempt. */
export function startWorker(options: WorkerOptions): StageWorker {
  const { id, queue, leases, clock, leaseMs, heartbeatMs, logger } = options
  const held = new Map<string, AbortController>()
  /** What it has taken, to run it or to wait for its lease. */
  const taken = new Map<string, Taken>()
  /** What it had begun when it lost the lease. */
  const lost = new Set<string>()
  let cancelBeat: () => void = () => {}
  let draining = false

  async function beat(): Promise<void> {
    try {
      const keys = [...held.keys()]
      const { revoked, lost } = keys.length > 0 ? await leases.renew(id, keys, leaseMs) : { revoked: [], lost: [] }
      for (const key of revoked) stop(held.get(key), 'cancelled')
      for (const key of lost) stop(held.get(key), 'lease-lost')
    } catch (error) {
      logger.warn({ worker: id, err: error }, 'leases cannot be renewed now; they wait with their store')
    }
    if (!draining || held.size > 0) cancelBeat = clock.after(heartbeatMs, () => void beat())
  }

  function take(work: Work): Promise<void> {
    const key = leaseKey(work.executionId, work.stage, work.attempt)
    const nowMs = clock.monotonicMs()
    // A message that comes twice is done when the first one is: were it done before, nobody would have it if this worker died.
    const known = taken.get(key)
    if (known !== undefined) {
      known.sinceMs = nowMs
      return known.done
    }
    const done = Promise.withResolvers<void>()
    const mine: Taken = { sinceMs: nowMs, done: done.promise }
    taken.set(key, mine)
    makeAttempt(key, work, mine)
      .finally(() => taken.delete(key))
      .then(done.resolve, done.reject)
    return done.promise
  }

  async function makeAttempt(key: string, work: Work, mine: Taken): Promise<void> {
    // The log would take its start for a repeat and let this worker do it again; that it is lost shows by its lease.
    if (lost.has(key)) return
    let end: End = 'unbegun'
    while (end === 'unbegun' && (await claim(key, mine))) end = await attemptWith(key, work)
    if (end === 'lost') lost.add(key)
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

  /**
   * Waits as long as the leases cannot be reached, and as long as the holder may be one whose death has brought the message
   * here: who still has it after that lived then and has a message of its own, and the answer is false.
   * @throws where the worker is drained meanwhile
   */
  async function claim(key: string, mine: Taken): Promise<boolean> {
    while (!draining) {
      const isLate = clock.monotonicMs() > mine.sinceMs + leaseMs
      try {
        if (await leases.claim(key, id, leaseMs)) return true
        if (isLate) return false
      } catch (err) {
        logger.warn({ worker: id, err }, 'a lease cannot be claimed now, will be tried again')
      }
      await new Promise<void>((resolve) => clock.after(heartbeatMs, resolve))
    }
    throw new Error(`worker ${id} was shut down while it waited for the lease of ${key}`)
  }

  const consumer: Consumer = queue.consume(
    options.queues,
    { concurrency: options.concurrency, ...(options.perQueue ? { perQueue: options.perQueue } : {}) },
    take,
  )
  cancelBeat = clock.after(heartbeatMs, () => void beat())

  return {
    async drain(graceMs) {
      draining = true
      const cancel = clock.after(graceMs, () => {
        for (const controller of held.values()) stop(controller, 'shutdown')
      })
      await consumer.close()
      cancel()
      cancelBeat()
    },
    get running() {
      return held.size
    },
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
