import type { Pool } from 'pg'
import { createProjectionKeeper } from '../../src/projections/keeper.ts'
import { startProjector } from '../../src/projections/start.ts'
import { createReached } from '../../src/queries/reached.ts'
import { silent, type TestDatabases } from './postgres.ts'
import type { RecordedLog } from './recorded-log.ts'

type Options = Partial<Parameters<typeof startProjector>[0]>

const WITHIN_MS = 30_000

/** Starts projectors over a database of their own, or that of the pool that is given; each stops when it is disposed of. */
export const projectorsOn = (postgres: () => TestDatabases) =>
  async function project(log: RecordedLog, options: Options = {}) {
    const pool: Pool = options.pool ?? (await postgres().createReadModels()).pool
    const stop = new AbortController()
    const { stopped } = startProjector({ store: log, pool, logger: silent, signal: stop.signal, ...options })
    const reached = createReached(pool)
    const end = async () => {
      stop.abort()
      await stopped
      if (!options.pool) await pool.end()
    }
    return {
      pool,
      keeper: createProjectionKeeper(pool, options.projections),
      reached,
      /** Throws where it takes too long. */
      async caughtUp() {
        const head = await log.head()
        if (!(await reached(head, WITHIN_MS))) throw new Error(`position ${head} was not reached in ${WITHIN_MS} ms`)
      },
      end,
      [Symbol.asyncDispose]: end,
    }
  }
