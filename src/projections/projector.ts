// Follows the log and keeps every read model: one reading of the log, and one transaction for each projection and batch.
import type { Pool } from 'pg'
import type { RecordedEvent } from '../domain/message.ts'
import type { Batch, EventStore } from '../ports/event-store.ts'
import type { Logger } from '../ports/logger.ts'
import { advance, CheckpointMoved, openCheckpoint, readCheckpoints, recordFailure, skip } from './checkpoint.ts'
import { describePoison, type Poison, Poisoned, takeOrFind } from './poison.ts'
import { isIdle, PREFIXES, type Projection } from './projection.ts'
import { aborted, askAhead, BACKOFF_MS, pause, retrying } from './retrying.ts'
import { hasDecisions, leavingOut, readSkips } from './skips.ts'

export type ProjectorOptions = {
  readonly store: Pick<EventStore, 'subscribe' | 'readStream'>
  readonly pool: Pool
  readonly logger: Logger
  readonly signal: AbortSignal
  readonly projections: readonly Projection[]
  readonly batchSize: number
}

/** A projection on its way; one that met an event it cannot take stays where it is. */
type Follower = {
  readonly projection: Projection
  /** Positions of events that it leaves out. */
  readonly skipped: ReadonlySet<number>
  position: number
  failed: boolean
}

/** Somebody has decided about a read model, which is then opened again. */
class Decided extends Error {}

/** After having caught up: lets a few events gather, which costs a reader this much and saves many small transactions. */
const REST_MS = 5
const RESET_CHECK_MS = 500

/** Runs until `signal` aborts. */
export async function runProjector(options: ProjectorOptions): Promise<void> {
  const { signal, logger, projections, pool } = options
  while (!signal.aborted) {
    try {
      const followers: Follower[] = []
      for (const projection of projections) {
        const skipped = await readSkips(options.store, projection.name)
        const position = await trying(options, 'the checkpoints', () => openCheckpoint(pool, projection))
        followers.push({ projection, skipped, position, failed: false })
      }
      await follow(options, followers)
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof Decided) continue
      if (error instanceof CheckpointMoved) logger.warn({}, error.message)
      else logger.error({ err: error }, 'the projector lost the log; following it again')
      await pause(BACKOFF_MS.first, signal)
    }
  }
}

async function follow(options: ProjectorOptions, followers: readonly Follower[]): Promise<void> {
  const ended = new AbortController()
  const signal = AbortSignal.any([options.signal, ended.signal])
  const after = Math.min(...followers.map(({ position }) => position))
  const log = options.store.subscribe({ after, prefixes: PREFIXES, batchSize: options.batchSize, signal })
  const batches = log[Symbol.asyncIterator]()
  const reset = untilReset(options, followers, signal)
  // Not raced against each batch: whatever waits for a promise that stays open is kept for as long, and the batch with it.
  reset.catch((error) => ended.abort(error))
  try {
    for (let next = batches.next(); ; ) {
      const { value: batch, done } = await next
      if (done) break
      // While behind, the log is read while PostgreSQL writes.
      if (!batch.caughtUp) next = askAhead(batches)
      await take(options, followers, batch)
      if (hasDecisions(batch.events)) throw new Decided()
      if (followers.every(({ failed }) => failed)) await aborted(signal)
      if (!batch.caughtUp) continue
      await pause(REST_MS, signal)
      next = askAhead(batches)
    }
    if (!options.signal.aborted) await reset
  } finally {
    ended.abort()
  }
}

/**
 * Ends with `signal`; rejects once somebody has set a checkpoint back, which a projector that has nothing to write would not
 * see otherwise, or that of a projection that has stopped, which thereby begins again.
 */
async function untilReset(
  options: ProjectorOptions,
  followers: readonly Follower[],
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await pause(RESET_CHECK_MS, signal)
    if (signal.aborted) return
    const before = followers.map(({ projection, position, failed }) => ({ name: projection.name, position, failed }))
    const rows = await readCheckpoints(options.pool).catch(() => undefined)
    if (rows === undefined) continue
    for (const { name, position, failed } of before) {
      const row = rows.get(name)
      if (!row || row.position < position || (failed && row.status !== 'failed')) throw new CheckpointMoved(name)
    }
  }
}

async function take(options: ProjectorOptions, followers: readonly Follower[], batch: Batch): Promise<void> {
  const { events, position } = batch
  const behind = followers.filter((one) => !one.failed && one.position < position)
  const idle = behind.filter(({ projection }) => isIdle(projection, events))
  const busy = behind.filter((one) => !idle.includes(one))
  await Promise.all([pass(options, idle, batch), ...busy.map((one) => takeEvents(options, one, events, position))])
}

/** Most batches hold nothing for most projections, and a transaction for each of them would cost as much as the rows do. */
async function pass(options: ProjectorOptions, idle: readonly Follower[], batch: Batch): Promise<void> {
  if (idle.length === 0) return
  const passed = await trying(options, 'checkpoints', () => skip(options.pool, idle, batch))
  for (const one of idle) if (passed.has(one.projection.name)) one.position = batch.position
  const others = idle.filter((one) => one.position < batch.position)
  await Promise.all(others.map((one) => takeEvents(options, one, batch.events, batch.position)))
}

async function takeEvents(
  options: ProjectorOptions,
  follower: Follower,
  events: readonly RecordedEvent[],
  position: number,
): Promise<void> {
  const { projection, skipped } = follower
  const poison = await takeOrFind(leavingOut(events, skipped), position, async (some, to) => {
    if (to <= follower.position) return
    follower.position = await trying(options, projection.name, () =>
      advance(options.pool, projection, follower.position, some, to),
    )
  })
  if (poison !== undefined) await fail(options, follower, poison)
}

async function fail(options: ProjectorOptions, follower: Follower, poison: Poison): Promise<void> {
  const { name } = follower.projection
  follower.failed = true
  const reason = describePoison(poison)
  const { event, error } = poison
  options.logger.error({ err: error, projection: name, event: event.id }, `projection ${name} stopped: ${reason}`)
  await trying(options, name, () => recordFailure(options.pool, name, event, reason))
}

const trying = <T>(options: ProjectorOptions, what: string, work: () => Promise<T>): Promise<T> =>
  retrying(options, what, (error) => error instanceof Poisoned || error instanceof CheckpointMoved, work)
