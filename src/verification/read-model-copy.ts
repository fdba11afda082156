// The read models built a second time, by the same projections, in temporary tables of the same names; then both are compared
// as they are at one moment. No row of the read models is written: PostgreSQL itself refuses that to this connection.
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import type { RecordedEvent } from '../domain/message.ts'
import { type EventStore, START } from '../ports/event-store.ts'
import { projections } from '../projections/all.ts'
import { applyEvents, type Checkpoint, readCheckpoints } from '../projections/checkpoint.ts'
import { compareTable, describeTable, makeCopy, type Table } from '../projections/compare-tables.ts'
import { type Drift, Findings } from '../projections/findings.ts'
import { PREFIXES, type Projection } from '../projections/projection.ts'
import { leavingOut, readSkips } from '../projections/skips.ts'
import { LOOKING_UP } from '../projections/transaction.ts'
import type { LogFindings } from './report.ts'

export type ReadModelFindings = Pick<LogFindings, 'drifting' | 'drift' | 'notChecked'>

export type ReadModelCopy = {
  /** The next events of the log. */
  take(events: readonly RecordedEvent[]): Promise<void>
  finish(): Promise<ReadModelFindings>
  close(): Promise<void>
}

type Options = {
  readonly store: Pick<EventStore, 'readAll' | 'readStream' | 'head' | 'spacing'>
  readonly signal: AbortSignal
}

/** A projection and its copy, which has taken every event up to `position`. */
type Copied = {
  readonly projection: Projection
  readonly tables: readonly Table[]
  /** Events that it leaves out. */
  readonly skipped: ReadonlySet<number>
  readonly drift: Findings<Drift>
  position: number
  /** Its checkpoint does not move on, so that the rest of the log is none of its business. */
  stuck: boolean
}

/** Where PostgreSQL has the temporary tables of a session. */
const COPIES = 'pg_temp'
const STATEMENT_MS = 600_000
const CONNECT_MS = 5_000
/** A checkpoint that stands still for this long is taken to stay where it is. */
const PATIENCE_MS = 10_000
const POLL_MS = 50
/** What is left to be read between a checkpoint and the copy when both are to be compared. */
const NEAR = 1_000

const SESSION = `SET temp_buffers = '64MB'; SET work_mem = '64MB'; SET synchronous_commit = off`
const ONE_MOMENT = 'BEGIN ISOLATION LEVEL REPEATABLE READ'
// As a projector does it: a batch looks up each row by its key, and the copy has no statistics yet.
const APPLYING = `${ONE_MOMENT}; ${LOOKING_UP}`

/** @throws where PostgreSQL cannot be reached, or refuses temporary tables */
export async function openReadModelCopy(url: string, options: Options): Promise<ReadModelCopy> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS,
    statement_timeout: STATEMENT_MS,
    keepAlive: true,
    application_name: 'millrace-verify',
    options: '-c TimeZone=UTC',
  })
  // The statement under way rejects and says so.
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query(SESSION)
    const copies: Copied[] = []
    for (const projection of projections)
      copies.push(await copyOfTables(client, projection, await readSkips(options.store, projection.name)))
    await client.query('SET default_transaction_read_only = on')
    return new Copy(client, copies, options)
  } catch (error) {
    await client.end()
    throw error
  }
}

async function copyOfTables(client: Client, projection: Projection, skipped: ReadonlySet<number>): Promise<Copied> {
  const tables: Table[] = []
  for (const name of projection.tables) tables.push(await describeTable(client, name))
  for (const table of tables)
    await makeCopy(client, table, table.name === projection.rowForEach?.table ? 'DELETE' : 'PRESERVE')
  return { projection, tables, skipped, drift: new Findings(), position: START, stuck: false }
}

class Copy implements ReadModelCopy {
  readonly #client: Client
  readonly #copies: readonly Copied[]
  readonly #store: Options['store']
  readonly #signal: AbortSignal
  #checkpoints: ReadonlyMap<string, Checkpoint> = new Map()

  constructor(client: Client, copies: readonly Copied[], { store, signal }: Options) {
    this.#client = client
    this.#copies = copies
    this.#store = store
    this.#signal = signal
  }

  async take(events: readonly RecordedEvent[]): Promise<void> {
    const last = events.at(-1)?.position
    if (last === undefined) return
    for (const copied of this.#copies) {
      if (copied.stuck) continue
      const to = Math.min(await this.#awaitCheckpoint(copied, last), last)
      if (to > copied.position) await this.#apply(copied, events, to)
    }
  }

  async finish(): Promise<ReadModelFindings> {
    const drift = new Findings<Drift>()
    const notChecked: string[] = []
    const drifting: string[] = []
    await this.#readCheckpoints()
    for (const copied of this.#copies) {
      const { name } = copied.projection
      const behind = await this.#compare(copied)
      for (const one of await this.#checkpointDrift(name, copied.projection.version)) copied.drift.add(one)
      const found = copied.drift.listed()
      drift.addListed(found)
      if (found.total > 0) drifting.push(name)
      if (behind !== undefined) notChecked.push(behind)
    }
    return { drifting, drift: drift.listed(), notChecked }
  }

  close(): Promise<void> {
    return this.#client.end()
  }

  /** Rows are compared with what the log says up to the checkpoint, so the copy may not go further. Answers how far it may. */
  async #awaitCheckpoint(copied: Copied, position: number): Promise<number> {
    const { name } = copied.projection
    let reached = this.#positionOf(name)
    for (let until = performance.now() + PATIENCE_MS; reached < position; ) {
      await this.#readCheckpoints()
      const now = this.#positionOf(name)
      if (now > reached) until = performance.now() + PATIENCE_MS
      else if (performance.now() > until || this.#checkpoints.get(name)?.status !== 'running') {
        copied.stuck = true
        return now
      }
      reached = now
      this.#signal.throwIfAborted()
      if (reached < position) await delay(POLL_MS)
    }
    return reached
  }

  #positionOf(name: string): number {
    return this.#checkpoints.get(name)?.position ?? START
  }

  async #readCheckpoints(): Promise<void> {
    this.#checkpoints = await readCheckpoints(this.#client)
  }

  async #apply(copied: Copied, events: readonly RecordedEvent[], to: number): Promise<void> {
    await this.#inTransaction(APPLYING, async () => {
      await this.#add(copied, events, to)
      const { rowForEach } = copied.projection
      if (rowForEach !== undefined) await this.#compareStretch(copied, rowForEach, to)
    })
    copied.position = to
  }

  #add({ projection, skipped, position: from }: Copied, events: readonly RecordedEvent[], to: number): Promise<number> {
    const unseen = leavingOut(events, skipped).filter(
      ({ position, stream }) =>
        position > from && position <= to && PREFIXES.some((prefix) => stream.startsWith(prefix)),
    )
    return applyEvents(this.#client, projection, unseen)
  }

  /** What the log holds after `from`, up to `to`. */
  async #read(from: number, to: number, take: (events: readonly RecordedEvent[]) => Promise<void>): Promise<void> {
    if (to <= from) return
    for await (const events of this.#store.readAll({ after: from })) {
      this.#signal.throwIfAborted()
      await take(events)
      if (events.at(-1)!.position >= to) return
    }
  }

  /** Answers why it could not be done for all of the log, where that is so. */
  async #compare(copied: Copied): Promise<string | undefined> {
    const { projection, tables, drift } = copied
    const { name, rowForEach } = projection
    if (this.#positionOf(name) < copied.position)
      return `the read model ${name}: its checkpoint went back meanwhile; verify again when it has caught up`
    const near = NEAR * (this.#store.spacing ?? 1)
    for (let to = this.#positionOf(name); to > copied.position + near; to = this.#positionOf(name)) {
      await this.#read(copied.position, to, (events) =>
        this.#apply(copied, events, Math.min(to, events.at(-1)!.position)),
      )
      copied.position = to
      await this.#readCheckpoints()
    }
    const whole = tables.filter((table) => table.name !== rowForEach?.table)
    for (const table of whole) await this.#client.query(`ANALYZE pg_temp."${table.name}"`)
    await this.#inTransaction(ONE_MOMENT, async () => {
      await this.#readCheckpoints()
      const to = this.#positionOf(name)
      await this.#read(copied.position, to, async (events) => void (await this.#add(copied, events, to)))
      if (rowForEach !== undefined) await this.#compareStretch(copied, rowForEach, Number.MAX_SAFE_INTEGER)
      for (const table of whole) drift.addListed(await compareTable(this.#client, table, COPIES))
    })
    return copied.stuck
      ? `the read model ${name}: it is at position ${this.#positionOf(name)} and does not move on`
      : undefined
  }

  /** The first stretch begins before every position there can be, and the last one ends after. */
  async #compareStretch(
    { tables, drift, position }: Copied,
    { table: name, ...made }: NonNullable<Projection['rowForEach']>,
    to: number,
  ): Promise<void> {
    const after = position === START ? -Number.MAX_SAFE_INTEGER : position
    for (const table of tables.filter((one) => one.name === name))
      drift.addListed(await compareTable(this.#client, table, COPIES, { ...made, after, to }))
  }

  async #checkpointDrift(name: string, version: number): Promise<readonly Drift[]> {
    const said = (what: string): readonly Drift[] => [{ where: 'checkpoints', key: name, what }]
    const checkpoint = this.#checkpoints.get(name)
    if (checkpoint === undefined) return said('is missing')
    const head = await this.#store.head()
    if (checkpoint.version !== version) return said(`is of version ${checkpoint.version}, not ${version}`)
    if (checkpoint.position > head)
      return said(`is at position ${checkpoint.position}, past the head of the log, ${head}`)
    if (checkpoint.status === 'failed') return said(`has stopped: ${checkpoint.error}`)
    if (checkpoint.status !== 'running') return said(`has the unknown status ${checkpoint.status}`)
    return []
  }

  async #inTransaction(begin: string, work: () => Promise<void>): Promise<void> {
    await this.#client.query(begin)
    try {
      await work()
      await this.#client.query('COMMIT')
    } catch (error) {
      await this.#client.query('ROLLBACK').catch(() => {})
      throw error
    }
  }
}
