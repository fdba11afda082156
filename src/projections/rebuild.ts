// A projection built again beside the live one, which goes on serving: from the first event on, until both can be exchanged. Where
// it stands is in the database alone, so whoever comes after a crash goes on from there.
import type { Pool, PoolClient } from 'pg'
import type { RecordedEvent } from '../domain/message.ts'
import { type EventStore, START } from '../ports/event-store.ts'
import type { Logger } from '../ports/logger.ts'
import { applyEvents, CheckpointMoved } from './checkpoint.ts'
import { compareBeside } from './compare-beside.ts'
import { type Poison, Poisoned, takeOrFind } from './poison.ts'
import { keep, setCheckpoint } from './previous.ts'
import { type Projection, prefixesOf } from './projection.ts'
import {
  beginRebuild,
  endRebuild,
  enterPhase,
  failRebuild,
  lockRebuild,
  moveRebuild,
  type Rebuild,
  RebuildEnded,
} from './rebuild-record.ts'
import { RebuildSpeed } from './rebuild-speed.ts'
import { askAhead, pause, retrying } from './retrying.ts'
import {
  areThere,
  createNext,
  type Schemas,
  schemasOf,
  searchNext,
  statementsToFinish,
  swapIn,
} from './shadow-tables.ts'
import { leavingOut, readSkips } from './skips.ts'
import { inTransaction } from './transaction.ts'

export type RebuildOptions = {
  readonly store: Pick<EventStore, 'subscribe' | 'readStream' | 'readAll' | 'head' | 'spacing'>
  /** Its connections are for rebuilds alone, and statements may take as long as making an index does. */
  readonly pool: Pool
  readonly logger: Logger
  readonly signal: AbortSignal
  /** Most events in one transaction: many, since what a run does within a batch is written once. */
  readonly batchSize: number
}

const HELD_CHECK_MS = 500
const TELL_EVERY_MS = 5_000

/** Runs until it has been swapped in, failed or cancelled, or `signal` aborts. Never rejects. */
export async function runRebuild(options: RebuildOptions, projection: Projection, rebuild: Rebuild): Promise<void> {
  const { logger, signal } = options
  const about = { projection: projection.name, rebuild: rebuild.id }
  try {
    const outcome = await new Lane(options, projection, rebuild.id).run()
    if (outcome === undefined) logger.info(about, `the read model ${projection.name} was built again and swapped in`)
    else
      logger.error(
        { ...about, event: outcome.event.id },
        `the rebuild of ${projection.name} failed: ${outcome.error.message}`,
      )
  } catch (error) {
    if (error instanceof RebuildEnded) logger.info(about, error.message)
    else if (error instanceof CheckpointMoved) logger.warn(about, error.message)
    else if (!signal.aborted)
      logger.error({ err: error, ...about }, `the rebuild of ${projection.name} stopped; it goes on by itself`)
  }
}

class Lane {
  readonly #options: RebuildOptions
  readonly #projection: Projection
  readonly #id: string
  readonly #speed: RebuildSpeed
  #skipped: ReadonlySet<number> = new Set()
  #schemas: Schemas = { live: '', next: '', previous: '' }
  #position = START
  #head = START
  #headAskedMs = 0
  /** Added since the last measurement. */
  #rows = 0
  #toldMs = performance.now()

  constructor(options: RebuildOptions, projection: Projection, id: string) {
    this.#options = options
    this.#projection = projection
    this.#id = id
    this.#speed = new RebuildSpeed(options.store.spacing ?? 1)
  }

  /** Answers the event that it cannot take, or nothing once all is swapped in. @throws RebuildEnded */
  async run(): Promise<Poison | undefined> {
    const { name } = this.#projection
    this.#skipped = await readSkips(this.#options.store, name)
    this.#position = await this.#retrying(() => this.#begin())
    const poison = (await this.#catchUp()) ?? (await this.#finishTables()) ?? (await this.#compareAndHold())
    if (poison === undefined) await this.#swapIn()
    else
      await this.#retrying(() =>
        inTransaction(this.#options.pool, (client) => failRebuild(client, this.#projection, this.#id, poison)),
      )
    return poison
  }

  /** Goes on where an earlier one has left off, as long as that made the same version; answers where. */
  #begin(): Promise<number> {
    const { name, version, tables } = this.#projection
    return inTransaction(this.#options.pool, async (client) => {
      this.#schemas = await schemasOf(client)
      const { position } = await lockRebuild(client, name, this.#id)
      const { rows } = await client.query('SELECT version, started_at FROM projection_rebuilds WHERE name = $1', [name])
      const isGoingOn = rows[0].started_at !== null && rows[0].version === version
      if (isGoingOn && (await areThere(client, this.#schemas.next, tables))) return position
      await createNext(client, this.#schemas, tables)
      await beginRebuild(client, name, version)
      return START
    })
  }

  /** Takes what the log has, up to its head. */
  async #catchUp(): Promise<Poison | undefined> {
    const { store, batchSize, signal } = this.#options
    const ended = new AbortController()
    const log = store.subscribe({
      after: this.#position,
      prefixes: prefixesOf(this.#projection),
      batchSize,
      signal: AbortSignal.any([signal, ended.signal]),
    })
    const batches = log[Symbol.asyncIterator]()
    try {
      for (let next = askAhead(batches); ; ) {
        const { value: batch, done } = await next
        signal.throwIfAborted()
        if (done) throw new Error('the log ended')
        // It is read while PostgreSQL writes.
        if (!batch.caughtUp) next = askAhead(batches)
        const poison = await this.#take(batch.events, batch.position)
        if (poison !== undefined || batch.caughtUp) return poison
      }
    } finally {
      ended.abort()
    }
  }

  async #take(events: readonly RecordedEvent[], position: number): Promise<Poison | undefined> {
    await this.#measure(position)
    return takeOrFind(leavingOut(events, this.#skipped), position, (some, to) =>
      this.#retrying(() => this.#apply(some, to)),
    )
  }

  async #apply(events: readonly RecordedEvent[], position: number): Promise<void> {
    if (position <= this.#position) return
    this.#position = await this.#inNext((client, at) => this.#applyFrom(client, at, events, position))
    this.#tell()
  }

  /** Rows and position of the rebuild, which is locked and stands at `at`, move together. */
  async #applyFrom(
    client: PoolClient,
    at: number,
    events: readonly RecordedEvent[],
    position: number,
  ): Promise<number> {
    if (at >= position) return at
    const unseen = (events[0]?.position ?? position) > at ? events : events.filter((event) => event.position > at)
    this.#rows += await applyEvents(client, this.#projection, unseen)
    await moveRebuild(client, this.#projection.name, {
      position,
      events: unseen.length,
      head: Math.max(this.#head, position),
      eventsPerSecond: this.#speed.eventsPerSecond,
      etaSeconds: this.#speed.etaSeconds,
    })
    return position
  }

  async #measure(position: number): Promise<void> {
    const now = performance.now()
    if (now - this.#headAskedMs > HELD_CHECK_MS) {
      this.#head = await this.#options.store.head()
      this.#headAskedMs = now
    }
    this.#speed.take({ ms: now, position: this.#position, head: Math.max(this.#head, position), rows: this.#rows })
    this.#rows = 0
  }

  #tell(): void {
    if (performance.now() - this.#toldMs < TELL_EVERY_MS) return
    this.#toldMs = performance.now()
    const { eventsPerSecond, etaSeconds } = this.#speed
    const { name } = this.#projection
    this.#options.logger.info(
      { projection: name, position: this.#position, head: this.#head, eventsPerSecond, etaSeconds },
      `rebuilding ${name}: ${eventsPerSecond} events a second, ${etaSeconds ?? 'unknown'} s left`,
    )
  }

  /** Indexes, constraints and statistics; then what has come meanwhile. */
  async #finishTables(): Promise<Poison | undefined> {
    await this.#enter('indexing')
    const { pool } = this.#options
    const statements = await this.#retrying(() => statementsToFinish(pool, this.#schemas, this.#projection.tables))
    for (const statement of statements) await this.#retrying(() => this.#inNext((client) => client.query(statement)))
    return this.#catchUp()
  }

  async #compareAndHold(): Promise<Poison | undefined> {
    await this.#enter('comparing')
    const { pool, signal } = this.#options
    const difference = await compareBeside({
      ...this.#options,
      projection: this.#projection,
      schemas: this.#schemas,
      reached: () => this.#position,
      catchUpTo: (position) => this.#catchUpTo(position),
      retrying: (work) => this.#retrying(work),
    })
    const held = () =>
      this.#retrying(() => inTransaction(pool, (client) => lockRebuild(client, this.#projection.name, this.#id)))
    const first = await held()
    await this.#enter(first.hold ? 'held' : 'swapping', difference)
    for (let { hold } = first; hold; { hold } = await held()) {
      await pause(HELD_CHECK_MS, signal)
      signal.throwIfAborted()
      const poison = await this.#catchUp()
      if (poison !== undefined) return poison
    }
    return undefined
  }

  /** Takes what the log has up to exactly that position. */
  async #catchUpTo(position: number): Promise<void> {
    await this.#inNext(async (client, at) => {
      this.#position = await this.#readTo(client, at, position)
    })
  }

  async #readTo(client: PoolClient, at: number, position: number): Promise<number> {
    if (at >= position) return at
    let reached = at
    for await (const events of this.#options.store.readAll({ after: at, prefixes: prefixesOf(this.#projection) })) {
      const some = leavingOut(events, this.#skipped).filter((event) => event.position <= position)
      const last = events.at(-1)!.position
      reached = await this.#applyFrom(client, reached, some, Math.min(last, position))
      if (last >= position) break
    }
    return this.#applyFrom(client, reached, [], position)
  }

  /** In one transaction, in which the live one stands still: it takes what that has taken, and takes its place. */
  async #swapIn(): Promise<void> {
    await this.#enter('swapping')
    const { name, version, tables } = this.#projection
    await this.#retrying(() =>
      this.#inNext(async (client, at) => {
        const { rows } = await client.query('SELECT version, position FROM checkpoints WHERE name = $1 FOR UPDATE', [
          name,
        ])
        const live = { version: rows[0]?.version ?? version, position: Number(rows[0]?.position ?? START) }
        // A checkpoint past the head is none that a projector has set.
        const head = await this.#options.store.head()
        const position = await this.#readTo(client, at, Math.min(live.position, head))
        await swapIn(client, this.#schemas, tables)
        await keep(client, name, live.version, live.position)
        await setCheckpoint(client, name, version, position)
        await endRebuild(client, name, position)
      }),
    )
  }

  #enter(phase: Rebuild['phase'], difference?: Rebuild['difference']): Promise<void> {
    const { name } = this.#projection
    return this.#retrying(() =>
      inTransaction(this.#options.pool, (client) =>
        enterPhase(client, { name, id: this.#id }, phase, difference ?? undefined),
      ),
    )
  }

  /** A transaction that holds the rebuild, and in which names mean what is being built. */
  #inNext<T>(work: (client: PoolClient, at: number) => Promise<T>): Promise<T> {
    return inTransaction(this.#options.pool, async (client) => {
      const { position } = await lockRebuild(client, this.#projection.name, this.#id)
      // PostgreSQL has lost its last moments; what is read from here on would leave a gap.
      if (position < this.#position) throw new CheckpointMoved(this.#projection.name)
      await searchNext(client, this.#schemas)
      return work(client, position)
    })
  }

  #retrying<T>(work: () => Promise<T>): Promise<T> {
    const isFinal = (error: unknown) =>
      error instanceof Poisoned || error instanceof RebuildEnded || error instanceof CheckpointMoved
    return retrying(this.#options, `the rebuild of ${this.#projection.name}`, isFinal, work)
  }
}
