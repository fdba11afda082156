// A projection built again beside the live one, which goes on serving: from the first event on, until both can be exchanged. Where
// it stands is in the database alone, so whoever comes after a crash goes on from there.
import type { Pool, PoolClient } from 'pg'
import type { RecordedEvent } from '../../domain/message.ts'
import { type EventStore, START } from '../../ports/event-store.ts'
import type { Logger } from '../../ports/logger.ts'
import { applyEvents, CheckpointMoved } from '../checkpoint.ts'
import { type Poison, Poisoned, takeOrFind } from '../poison.ts'
import { type Projection, prefixesOf } from '../projection.ts'
import { askAhead, pause, retrying } from '../retrying.ts'
import { leavingOut, readSkips } from '../skips.ts'
import { inTransaction } from '../transaction.ts'
import { compareBeside } from './compare-beside.ts'
import { finishTables, isTold } from './finish-tables.ts'
import { keep, setCheckpoint } from './previous.ts'
import {
  beginAnew,
  beginRebuild,
  type Difference,
  endRebuild,
  enterPhase,
  type Failure,
  failRebuild,
  lockRebuild,
  moveRebuild,
  type Rebuild,
  RebuildEnded,
} from './record.ts'
import {
  analyse,
  areThere,
  createNext,
  type Schemas,
  schemasOf,
  searchNext,
  statementsToFinish,
  swapIn,
} from './shadow-tables.ts'
import { RebuildSpeed } from './speed.ts'

export type RebuildOptions = {
  readonly store: Pick<EventStore, 'subscribe' | 'readStream' | 'readAll' | 'head' | 'spacing'>
  /** For rebuilds alone: statements may take as long as making an index does. */
  readonly pool: Pool
  readonly logger: Logger
  readonly signal: AbortSignal
  /** Most events in one transaction: many, since what a run does within a batch is written once. */
  readonly batchSize: number
}

const HELD_CHECK_MS = 500
const TELL_EVERY_MS = 5_000

/** One rebuild. */
export class RebuildLane {
  readonly #options: RebuildOptions
  readonly #projection: Projection
  readonly #id: string
  readonly #speed: RebuildSpeed
  #skipped: ReadonlySet<number> = new Set()
  #schemas: Schemas = { live: '', next: '', previous: '' }
  #position = START
  #head = START
  #headAskedMs = 0
  #rows = 0
  #toldMs = performance.now()

  constructor(options: RebuildOptions, projection: Projection, id: string) {
    this.#options = options
    this.#projection = projection
    this.#id = id
    this.#speed = new RebuildSpeed(options.store.spacing ?? 1)
  }

  /** Answers why it cannot be done, or nothing once all is swapped in. @throws RebuildEnded | CheckpointMoved */
  async run(): Promise<Failure | undefined> {
    const { name } = this.#projection
    this.#skipped = await readSkips(this.#options.store, name)
    this.#position = await this.#retrying(() => this.#begin())
    const failure = (await this.#catchUp()) ?? (await this.#finishTables()) ?? (await this.#compareAndHold())
    if (failure === undefined) await this.#swapIn()
    else
      await this.#retrying(() =>
        inTransaction(this.#options.pool, (client) => failRebuild(client, this.#projection, this.#id, failure)),
      )
    return failure
  }

  /** Goes on where an earlier one has left off, as long as that made the same version; answers where. */
  #begin(): Promise<number> {
    const { name, version, tables } = this.#projection
    return inTransaction(this.#options.pool, async (client) => {
      this.#schemas = await schemasOf(client)
      const found = await lockRebuild(client, name, this.#id)
      // Who decided since to leave out an event may have meant one that was taken.
      const isGoingOn = found.begun && found.version === version && found.skips === this.#skipped.size
      if (isGoingOn && (await areThere(client, this.#schemas.next, tables))) return found.position
      await createNext(client, this.#schemas, tables)
      await beginRebuild(client, name, version, this.#skipped.size)
      return START
    })
  }

  /** Takes what the log has, up to its head. */
  async #catchUp(): Promise<Poison | undefined> {
    const { store, batchSize, signal } = this.#options
    const ended = new AbortController()
    const reading = { batchSize, signal: AbortSignal.any([signal, ended.signal]) }
    const log = store.subscribe({ after: this.#position, prefixes: prefixesOf(this.#projection), ...reading })
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
      ...this.#speed.figures,
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
    const { name } = this.#projection
    const { eventsPerSecond, etaSeconds = 'unknown' } = this.#speed.figures
    const said = `rebuilding ${name}: ${eventsPerSecond} events a second, ${etaSeconds} s left`
    this.#options.logger.info({ projection: name, position: this.#position, head: this.#head }, said)
  }

  /** Indexes, constraints and statistics, durably, since nothing else says that they are there; then what has come meanwhile. */
  async #finishTables(): Promise<Failure | undefined> {
    await this.#enter('indexing')
    const { pool, signal } = this.#options
    const { next } = this.#schemas
    const { tables } = this.#projection
    const failure = await finishTables({
      left: () => this.#retrying(() => this.#inNext((client) => statementsToFinish(client, this.#schemas, tables))),
      make: (statement) =>
        this.#retrying(() => inTransaction(pool, (client) => client.query(statement), 'BEGIN'), isTold),
      signal,
    })
    if (failure !== undefined) return failure
    await this.#retrying(() => this.#inNext((client) => analyse(client, next, tables)))
    return this.#catchUp()
  }

  /** Where somebody has decided since to leave out an event that was taken, it begins anew. */
  async #obeySkips(): Promise<void> {
    const { store, pool } = this.#options
    const { name } = this.#projection
    const now = await readSkips(store, name)
    if (now.size === this.#skipped.size) return
    await this.#retrying(() =>
      inTransaction(pool, async (client) => {
        await lockRebuild(client, name, this.#id)
        await beginAnew(client, name)
      }),
    )
    throw new CheckpointMoved(name)
  }

  async #compareAndHold(): Promise<Poison | undefined> {
    await this.#obeySkips()
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
    await this.#obeySkips()
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
        if ((await statementsToFinish(client, this.#schemas, tables)).length > 0) throw new CheckpointMoved(name)
        await keep(client, name, live.version, live.position)
        await swapIn(client, this.#schemas, tables)
        await setCheckpoint(client, name, version, position)
        await endRebuild(client, name, position)
      }),
    )
  }

  #enter(phase: Rebuild['phase'], difference?: Difference): Promise<void> {
    const about = { name: this.#projection.name, id: this.#id }
    return this.#retrying(() => enterPhase(this.#options.pool, about, phase, difference))
  }

  /** A transaction that holds the rebuild, and in which names mean what is being built. */
  #inNext<T>(work: (client: PoolClient, at: number) => Promise<T>): Promise<T> {
    return inTransaction(this.#options.pool, async (client) => {
      const { name, version, tables } = this.#projection
      const found = await lockRebuild(client, name, this.#id)
      // PostgreSQL has lost its last moments, and what is read from here on would leave a gap; or a migration dropped what was built.
      const isOurs = found.begun && found.version === version && found.position >= this.#position
      if (!isOurs || !(await searchNext(client, this.#schemas, tables))) throw new CheckpointMoved(name)
      return work(client, found.position)
    })
  }

  #retrying<T>(work: () => Promise<T>, isToo: (error: unknown) => boolean = () => false): Promise<T> {
    const isFinal = (error: unknown) =>
      error instanceof Poisoned || error instanceof RebuildEnded || error instanceof CheckpointMoved || isToo(error)
    return retrying(this.#options, `the rebuild of ${this.#projection.name}`, isFinal, work)
  }
}
