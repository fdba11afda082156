import type { ExecutionEvent, ExecutionEventOf } from '../domain/execution/events.ts'
import { executionStream } from '../domain/execution/events.ts'
import { isForWorkers, type Work, workFor, workId } from '../domain/execution/work.ts'
import { type Json, parseStream, type RecordedEvent } from '../domain/message.ts'
import { upcast } from '../domain/upcast.ts'
import type { Clock } from '../ports/clock.ts'
import type { EventStore } from '../ports/event-store.ts'
import { type Leases, leaseKey } from '../ports/leases.ts'
import type { Logger } from '../ports/logger.ts'
import type { WorkQueue } from '../ports/work-queue.ts'
import type { Reactor } from './reactor.ts'

/** An attempt that has been scheduled and has not ended: where in its stream it was scheduled. */
type OpenAttempt = { readonly attempt: number; readonly revision: number }

export type Dispatcher = Reactor & {
  /** The attempt that it takes to be under way of a stage. */
  openAttempt(executionId: string, stage: string): number | undefined
  /** Takes up an attempt that it has lost sight of, or whose work the queue has: publishes it again. */
  takeUp(scheduled: RecordedEvent<ExecutionEventOf<'StageScheduled'>>): Promise<void>
  stop(): void
}

/** Leases that could not be revoked are tried again after this. */
const REVOKE_AGAIN_MS = 1_000

/**
 * Log → work queue, and log → leases to be given up. Its fold is the open attempts by run and stage, from which a
 * queue that is empty after a restart is filled again.
 */
export function createDispatcher(ports: {
  store: EventStore
  queue: WorkQueue
  leases: Leases
  clock: Clock
  logger: Logger
}): Dispatcher {
  const { store, queue, leases, clock, logger } = ports
  let open = new Map<string, Map<string, OpenAttempt>>()
  /** To be published, by run and stage; what has ended before that is not. */
  const unsent = new Map<string, Work>()
  let revoked: string[] = []
  let revoking: Promise<void> | undefined
  let cancelRevoking: () => void = () => {}
  let stopped = false
  let withdrawn: string[] = []
  let filled = queue.durable

  function apply(event: RecordedEvent<ExecutionEvent>): void {
    const { id } = parseStream(event.stream)
    switch (event.type) {
      case 'StageScheduled':
        if (!isForWorkers(event.data)) return
        stagesOf(id).set(event.data.stage, { attempt: event.data.attempt, revision: event.revision })
        for (const work of workFor(event)) unsent.set(`${id}:${work.stage}`, work)
        return
      case 'StageFailed':
        end(id, event.data.stage)
        for (const stage of event.data.stops ?? []) revokeAttempt(id, stage)
        return
      case 'StageAbandoned':
        for (const stage of event.data.stops ?? []) revokeAttempt(id, stage)
        return
      case 'StageCancelled':
      case 'StageSkipped':
        revokeAttempt(id, event.data.stage)
        withdrawAttempt(id, event.data.stage)
        end(id, event.data.stage)
        return
      case 'StagesGenerated':
        end(id, event.data.parent)
        return
      case 'StageCompleted':
        end(id, event.data.stage)
        return
      case 'ExecutionCancellationRequested':
        stop(id)
        return
      case 'ExecutionCompleted':
      case 'ExecutionFailed':
      case 'ExecutionCancelled':
        for (const stage of open.get(id)?.keys() ?? []) end(id, stage)
        open.delete(id)
        return
      default:
        return
    }
  }

  function stagesOf(id: string): Map<string, OpenAttempt> {
    const known = open.get(id)
    if (known) return known
    const stages = new Map<string, OpenAttempt>()
    open.set(id, stages)
    return stages
  }

  function end(id: string, stage: string): void {
    open.get(id)?.delete(stage)
    unsent.delete(`${id}:${stage}`)
  }

  function stop(id: string): void {
    for (const stage of open.get(id)?.keys() ?? []) revokeAttempt(id, stage)
  }

  function revokeAttempt(id: string, stage: string): void {
    const attempt = open.get(id)?.get(stage)
    if (attempt) revoked.push(leaseKey(id, stage, attempt.attempt))
  }

  /** It is still in the queue where no worker has taken it, and would stay there where none comes. */
  function withdrawAttempt(id: string, stage: string): void {
    const attempt = open.get(id)?.get(stage)
    if (attempt) withdrawn.push(workId(executionStream(id), attempt.revision))
  }

  async function act(caughtUp: boolean): Promise<void> {
    // While catching up nothing goes out to an empty queue: most of it is long done, and the rest is read again below.
    if (!filled && !caughtUp) unsent.clear()
    if (!filled && caughtUp) {
      await publish(await openWork())
      unsent.clear()
      filled = true
    }
    await publish([...unsent.values()])
    unsent.clear()
    await revokeAll()
    if (withdrawn.length > 0) await queue.withdraw(withdrawn)
    withdrawn = []
  }

  const publish = async (work: readonly Work[]): Promise<void> => {
    if (work.length > 0) await queue.publish(work)
  }

  /** Never rejects: work does not wait for leases, which may be out of reach for long. */
  function revokeAll(): Promise<void> {
    revoking ??= revokeNow().finally(() => {
      revoking = undefined
    })
    return revoking
  }

  async function revokeNow(): Promise<void> {
    cancelRevoking()
    try {
      for (; revoked.length > 0; revoked.shift()) await leases.revoke(revoked[0]!)
    } catch (err) {
      logger.warn({ leases: revoked.length, err }, 'leases cannot be revoked now, will be tried again')
      if (!stopped) cancelRevoking = clock.after(REVOKE_AGAIN_MS, () => void revokeAll())
    }
  }

  /** The work of every open attempt, read again from the log. */
  async function openWork(): Promise<Work[]> {
    const all: Work[] = []
    for (const [id, stages] of open) {
      for (const { revision } of stages.values()) {
        for await (const events of store.readStream(executionStream(id), { from: revision, limit: 1 }))
          for (const event of events) all.push(...workFor(upcast(event as RecordedEvent<ExecutionEvent>)))
      }
    }
    return all
  }

  return {
    name: 'dispatcher',
    version: 1,
    prefixes: ['execution-'],
    apply: (event) => apply(event as RecordedEvent<ExecutionEvent>),
    act,
    openAttempt: (executionId, stage) => open.get(executionId)?.get(stage)?.attempt,
    async takeUp(event) {
      const { stage, attempt } = event.data
      stagesOf(parseStream(event.stream).id).set(stage, { attempt, revision: event.revision })
      await queue.publish(workFor(event))
    },
    /** Open attempts by run, and keys of leases that are still to be revoked, each alone in a list. */
    dump: () => [
      ...[...open].filter(([, stages]) => stages.size > 0).map(([id, stages]): Json => [id, [...stages] as Json]),
      ...revoked.map((key): Json => [key]),
    ],
    restore(state) {
      const entries = state as unknown as [string, [string, OpenAttempt][]?][]
      open = new Map(entries.flatMap(([id, stages]) => (stages ? [[id, new Map(stages)] as const] : [])))
      revoked = entries.flatMap(([key, stages]) => (stages ? [] : [key]))
    },
    stop() {
      stopped = true
      cancelRevoking()
    },
  }
}
