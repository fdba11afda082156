import type { Json, RecordedEvent } from '../domain/message.ts'
import { upcast } from '../domain/upcast.ts'
import type { Clock } from '../ports/clock.ts'
import { type EventStore, START } from '../ports/event-store.ts'
import type { Logger } from '../ports/logger.ts'
import { readSnapshot, type Snapshot, writeSnapshot } from './snapshot.ts'

/** Follows the log, keeps a fold of it, and causes the next thing. */
export interface Reactor {
  readonly name: string
  /** Of the fold's shape: a snapshot of another version is not used. */
  readonly version: number
  /** Names of streams it follows begin with one of these. */
  readonly prefixes: readonly string[]
  /** Folds one event. Events may come again after a restart, from the last snapshot on. */
  apply(event: RecordedEvent): void
  /** Called after each batch has been folded; acts on what it learned. `caughtUp` is true from the first time at the head. */
  act(caughtUp: boolean): Promise<void>
  /** A list is written down while the fold goes on: it has to be a copy, and what is in it must not change. */
  dump(): Json
  restore(state: Json): void
}

export type RunReactor = {
  readonly store: EventStore
  readonly clock: Clock
  readonly logger: Logger
  /** Events between two snapshots, as long as the fold is small. */
  readonly snapshotEvery?: number
  readonly signal: AbortSignal
}

export type RunningReactor = {
  readonly ready: Promise<void>
  readonly stopped: Promise<void>
  /** The position up to which it has done what the log makes it do. */
  acted(): number
}

/** How far the fold is, whether that was acted on, how far its newest snapshot and how many entries that has, and one being written. */
type Progress = {
  position: number
  isActedOn: boolean
  snapshotAt: number
  snapshotSize: number
  acted: number
  caughtUp: boolean
  writing?: Promise<void> | undefined
}

const SNAPSHOT_EVERY = 50_000
/** A large fold is written down less often, so that what that costs an event stays the same; but replaying has to end, too. */
const SNAPSHOT_SELDOM = 4
const RETRY_MS = 500

/**
 * Runs a reactor until `signal` aborts, then snapshots it. A failure of the store or of `act` is logged and the
 * reactor goes on from where its fold stands. Resolves `ready` once it has caught up.
 */
export function runReactor(reactor: Reactor, options: RunReactor): RunningReactor {
  const ready = Promise.withResolvers<void>()
  const progress: Progress = {
    ...{ position: START, isActedOn: true, snapshotAt: START, snapshotSize: 0, acted: START, caughtUp: false },
  }
  const stopped = follow(reactor, options, progress, ready.resolve)
  return { ready: ready.promise, stopped, acted: () => progress.acted }
}

async function follow(reactor: Reactor, options: RunReactor, progress: Progress, ready: () => void): Promise<void> {
  const { store, clock, logger, signal } = options
  let restored = false
  while (!signal.aborted) {
    try {
      if (!restored) {
        const snapshot = await readSnapshot(store, reactor.name, reactor.version)
        if (snapshot) reactor.restore(snapshot.state)
        progress.position = progress.snapshotAt = snapshot?.position ?? START
        progress.snapshotSize = sizeOf(snapshot?.state)
        restored = true
      }
      await catchUp(reactor, options, progress, ready)
    } catch (error) {
      logger.error({ reactor: reactor.name, position: progress.position, err: error }, 'reactor stumbled, goes on')
      await pause(clock, RETRY_MS, signal)
    }
  }
  await progress.writing
  // What it has learned and not acted on is in no snapshot: the next start has to learn it again.
  if (progress.isActedOn && progress.position > progress.snapshotAt) await snapshotNow(reactor, store, logger, progress)
}

async function catchUp(
  reactor: Reactor,
  { store, logger, signal, snapshotEvery = SNAPSHOT_EVERY }: RunReactor,
  progress: Progress,
  ready: () => void,
): Promise<void> {
  // What `act` did not get done before a failure is still in the fold: it acts on that first.
  if (progress.caughtUp) {
    await reactor.act(true)
    progress.isActedOn = true
    progress.acted = progress.position
  }
  for await (const batch of store.subscribe({ after: progress.position, prefixes: reactor.prefixes, signal })) {
    for (const event of batch.events) reactor.apply(upcast(event))
    progress.position = batch.position
    progress.isActedOn = false
    progress.caughtUp ||= batch.caughtUp
    await reactor.act(progress.caughtUp)
    progress.isActedOn = true
    if (progress.caughtUp) progress.acted = batch.position
    if (progress.caughtUp) ready()
    const every = Math.min(Math.max(progress.snapshotSize / 2, snapshotEvery), SNAPSHOT_SELDOM * snapshotEvery)
    if (!progress.writing && batch.position - progress.snapshotAt >= every * (store.spacing ?? 1))
      progress.writing = snapshotNow(reactor, store, logger, progress)
  }
}

/** Never rejects: a snapshot only saves replaying, and the next one will do as well. */
async function snapshotNow(reactor: Reactor, store: EventStore, logger: Logger, progress: Progress): Promise<void> {
  const snapshot = snapshotOf(reactor, progress.position)
  progress.snapshotAt = snapshot.position
  progress.snapshotSize = sizeOf(snapshot.state)
  try {
    await writeSnapshot(store, snapshot)
  } catch (error) {
    logger.warn({ reactor: reactor.name, position: snapshot.position, err: error }, 'no snapshot could be written')
  }
  progress.writing = undefined
}

const sizeOf = (state: Json | undefined): number => (Array.isArray(state) ? state.length : 0)

const snapshotOf = (reactor: Reactor, position: number): Snapshot => ({
  name: reactor.name,
  version: reactor.version,
  position,
  state: reactor.dump(),
})

const pause = (clock: Clock, ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      cancel()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const cancel = clock.after(ms, done)
    signal.addEventListener('abort', done, { once: true })
  })
