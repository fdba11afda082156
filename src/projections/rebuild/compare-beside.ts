// The rows that were built held against the live ones, as both are at one position; nobody waits for as long as that takes.
import type { Pool } from 'pg'
import type { EventStore } from '../../ports/event-store.ts'
import type { Logger } from '../../ports/logger.ts'
import { readCheckpoints } from '../checkpoint.ts'
import { compareTable, describeTable } from '../compare-tables.ts'
import { type Drift, Findings } from '../findings.ts'
import type { Projection } from '../projection.ts'
import { pause } from '../retrying.ts'
import type { Difference } from './record.ts'
import type { Schemas } from './shadow-tables.ts'

/** A live one that is behind is waited for as long as it moves, and this long when it does not. */
const PATIENCE_MS = 10_000
const POLL_MS = 50
const ONE_MOMENT = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL work_mem = '64MB'`

type Options = {
  readonly store: Pick<EventStore, 'head'>
  readonly pool: Pool
  readonly logger: Logger
  readonly signal: AbortSignal
  readonly projection: Projection
  readonly schemas: Schemas
  /** Position of what was built. */
  reached(): number
  /** Brings what was built to exactly this position, which is not before its own. */
  catchUpTo(position: number): Promise<void>
  retrying<T>(work: () => Promise<T>): Promise<T>
}

export async function compareBeside(options: Options): Promise<Difference> {
  const stands = await awaitLive(options)
  return stands ?? options.retrying(() => compare(options))
}

/** Answers why there is nothing to compare with. */
async function awaitLive({
  store,
  pool,
  projection,
  signal,
  reached,
  retrying,
}: Options): Promise<Difference | undefined> {
  let position: number | undefined
  for (let until = performance.now() + PATIENCE_MS; ; await pause(POLL_MS, signal)) {
    signal.throwIfAborted()
    const live = (await retrying(() => readCheckpoints(pool))).get(projection.name)
    if (live !== undefined && live.position >= reached()) {
      const head = await store.head()
      if (live.position <= head) return undefined
      return { notCompared: `the live rows stand at position ${live.position}, past the head of the log, ${head}` }
    }
    if (live?.position !== position) until = performance.now() + PATIENCE_MS
    position = live?.position
    if (performance.now() > until || live?.status === 'failed')
      return { notCompared: `the live rows stand at position ${live?.position ?? 'none'} and do not move on` }
  }
}

async function compare({ pool, projection, schemas, catchUpTo }: Options): Promise<Difference> {
  const [holder, reader] = [await pool.connect(), await pool.connect()]
  const lost = (): void => {}
  for (const client of [holder, reader]) client.on('error', lost)
  try {
    // The live one stands still until the moment is taken, and no longer.
    await holder.query(`BEGIN; SET LOCAL lock_timeout = '5s'`)
    const { rows } = await holder.query('SELECT position FROM checkpoints WHERE name = $1 FOR UPDATE', [
      projection.name,
    ])
    const position = Number(rows[0]?.position)
    await catchUpTo(position)
    await reader.query(ONE_MOMENT)
    await reader.query('SELECT 1')
    await holder.query('ROLLBACK')
    const found = new Findings<Drift>()
    for (const name of projection.tables)
      found.addListed(await compareTable(reader, await describeTable(reader, name), schemas.next))
    await reader.query('COMMIT')
    return { position, ...found.listed() }
  } finally {
    // Whatever of a transaction is left goes with the connection.
    for (const client of [holder, reader]) {
      client.off('error', lost)
      client.release(true)
    }
  }
}
