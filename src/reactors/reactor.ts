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
  dump(): Json
  restore(state: Json): void
}

export type RunReactor = {
  readonly store: EventStore
  readonly clock: Clock
  readonly logger: Logger
  /** Events between two snapshots. */
  readonly snapshotEvery?: number
  readonly signal: AbortSignal
}

/** Positions: how far the fold is, how far what it says was acted on, and where the last snapshot is. */
type Progress = { position: number; actedAt: number; snapshotAt: number; caughtUp: boolean }

const SNAPSHOT_EVERY = 50_000
const RETRY_MS = 500

/**
 * Runs a reactor until `signal` aborts, then snapshots it. A failure of the store or of `act` is logged and the
 * reactor goes on from where its fold stands. Resolves `ready` once it has caught up.
 */
export function runReactor(reactor: Reactor, options: RunReactor): { ready: Promise<void>; stopped: Promise<void> } {
  const ready = Promise.withResolvers<void>()
  return { ready: ready.promise, stopped: follow(reactor, options, ready.resolve) }
}

async function follow(reactor: Reactor, options: RunReactor, ready: () => void): Promise<void> {
  const { store, clock, logger, signal, snapshotEvery = SNAPSHOT_EVERY } = options
  const progress: Progress = { position: START, actedAt: START, snapshotAt: START, caughtUp: false }
  let restored = false
  while (!signal.aborted) {
    try {
      if (!restored) {
        const snapshot = await readSnapshot(store, reactor.name, reactor.version)
        if (snapshot) reactor.restore(snapshot.state)
        progress.position = progress.actedAt = progress.snapshotAt = snapshot?.position ?? START
        restored = true
      }
      await catchUp(reactor, store, progress, snapshotEvery, signal, ready)
    } catch (error) {
      logger.error({ reactor: reactor.name, position: progress.position, err: error }, 'reactor stumbled, goes on')
      await pause(clock, RETRY_MS, signal)
    }
  }
  // What it has learned and not acted on is in no snapshot: the next start has to learn it again.
  if (progress.actedAt === progress.position && progress.position > progress.snapshotAt)
    await leaveSnapshot(reactor, progress.position, options)
}

/** A snapshot only saves replaying: without it, too, the reactor has stopped. */
async function leaveSnapshot(reactor: Reactor, position: number, { store, logger }: RunReactor): Promise<void> {
  try {
    await writeSnapshot(store, snapshotOf(reactor, position))
  } catch (error) {
    logger.warn({ reactor: reactor.name, position, err: error }, 'no snapshot was left; the next start replays more')
  }
}

async function catchUp(
  reactor: Reactor,
  store: EventStore,
  progress: Progress,
  snapshotEvery: number,
  signal: AbortSignal,
  ready: () => void,
): Promise<void> {
  // What `act` did not get done before a failure is still in the fold: it acts on that first.
  if (progress.caughtUp) {
    await reactor.act(true)
    progress.actedAt = progress.position
  }
  for await (const batch of store.subscribe({ after: progress.position, prefixes: reactor.prefixes, signal })) {
    for (const event of batch.events) reactor.apply(upcast(event))
    progress.position = batch.position
    progress.caughtUp ||= batch.caughtUp
    await reactor.act(progress.caughtUp)
    progress.actedAt = batch.position
    if (progress.caughtUp) ready()
    if (batch.position - progress.snapshotAt >= snapshotEvery) {
      await writeSnapshot(store, snapshotOf(reactor, batch.position))
      progress.snapshotAt = batch.position
    }
  }
}

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
