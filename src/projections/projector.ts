// Follows the log and keeps every read model: one reading of the log, and one transaction for each projection and batch.
import { setTimeout as delay } from 'node:timers/promises'
import type { Pool } from 'pg'
import type { RecordedEvent } from '../domain/message.ts'
import type { Batch, EventStore } from '../ports/event-store.ts'
import type { Logger } from '../ports/logger.ts'
import {
  advance,
  CheckpointMoved,
  openCheckpoint,
  Poisoned,
  readCheckpoints,
  recordFailure,
  skip,
} from './checkpoint.ts'
import { isIdle, type Projection } from './projection.ts'

export type ProjectorOptions = {
  readonly store: Pick<EventStore, 'subscribe'>
  readonly pool: Pool
  readonly logger: Logger
  readonly signal: AbortSignal
  readonly projections: readonly Projection[]
  readonly batchSize: number
}

/** A projection on its way; one that met an event it cannot take stays where it is. */
type Follower = { readonly projection: Projection; position: number; failed: boolean }

/** Beginnings of the names of streams that read models are made of; of the others they show nothing. */
export const PREFIXES: readonly string[] = ['execution-', 'workflow-', 'pool-', 'group-', 'schedule-', 'worker-']
const BACKOFF_MS = { first: 50, most: 5_000 }
/** After having caught up: lets a few events gather, which costs a reader this much and saves many small transactions. */
const REST_MS = 5
const RESET_CHECK_MS = 500

/** Runs until `signal` aborts. */
export async function runProjector(options: ProjectorOptions): Promise<void> {
  const { signal, logger, projections, pool } = options
  while (!signal.aborted) {
    try {
      const followers = await retrying(options, 'the checkpoints', () =>
        Promise.all(
          projections.map(async (projection): Promise<Follower> => {
            return { projection, position: await openCheckpoint(pool, projection), failed: false }
          }),
        ),
      )
      await follow(options, followers)
    } catch (error) {
      if (signal.aborted) return
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
      if (!batch.caughtUp) next = ask(batches)
      await take(options, followers, batch)
      if (followers.every(({ failed }) => failed)) await aborted(signal)
      if (!batch.caughtUp) continue
      await pause(REST_MS, signal)
      next = ask(batches)
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

function ask(batches: AsyncIterator<Batch>): Promise<IteratorResult<Batch>> {
  const next = batches.next()
  // It is awaited later; until then its failure must not count as unhandled.
  next.catch(() => {})
  return next
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
  const passed = await retrying(options, 'checkpoints', () => skip(options.pool, idle, batch))
  for (const one of idle) if (passed.has(one.projection.name)) one.position = batch.position
  const others = idle.filter((one) => one.position < batch.position)
  await Promise.all(others.map((one) => takeEvents(options, one, batch.events, batch.position)))
}

/** Halves a batch that cannot be taken until the one event is found; everything before it is kept. */
async function takeEvents(
  options: ProjectorOptions,
  follower: Follower,
  events: readonly RecordedEvent[],
  position: number,
): Promise<void> {
  if (position <= follower.position) return
  const { projection } = follower
  try {
    follower.position = await retrying(options, projection.name, () =>
      advance(options.pool, projection, follower.position, events, position),
    )
  } catch (error) {
    if (!(error instanceof Poisoned) || events[0] === undefined) throw error
    if (events.length === 1) return fail(options, follower, events[0], error)
    const middle = events.length >> 1
    await takeEvents(options, follower, events.slice(0, middle), events[middle - 1]!.position)
    if (!follower.failed) await takeEvents(options, follower, events.slice(middle), position)
  }
}

async function fail(options: ProjectorOptions, follower: Follower, event: RecordedEvent, error: Error): Promise<void> {
  const { name } = follower.projection
  follower.failed = true
  const reason = `event ${event.id} (${event.type} version ${event.version}, position ${event.position}, ${event.stream}): ${error.message}`
  options.logger.error({ err: error, projection: name, event: event.id }, `projection ${name} stopped: ${reason}`)
  await retrying(options, name, () => recordFailure(options.pool, name, event, reason))
}

/** Tries until it works; gives up at once on what no repetition can change. */
async function retrying<T>({ signal, logger }: ProjectorOptions, what: string, work: () => Promise<T>): Promise<T> {
  for (let waitMs = BACKOFF_MS.first; ; waitMs = Math.min(2 * waitMs, BACKOFF_MS.most)) {
    try {
      return await work()
    } catch (error) {
      if (error instanceof Poisoned || error instanceof CheckpointMoved || signal.aborted) throw error
      logger.warn({ err: error, retryMs: waitMs }, `could not write ${what} to PostgreSQL; trying again`)
      await pause(waitMs, signal)
      signal.throwIfAborted()
    }
  }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> => delay(ms, undefined, { signal }).catch(() => {})

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
