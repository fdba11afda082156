// What people can have done about the read models. A projector does it, which may be in another process: the database tells it.
import type { Pool } from 'pg'
import { projections as all } from './all.ts'
import type { Projection } from './projection.ts'
import { forget, goBack, isFree, readPrevious } from './rebuild/previous.ts'
import {
  cancelRebuild,
  dropIfEnded,
  type Rebuild,
  readRebuilds,
  releaseRebuild,
  requestRebuild,
} from './rebuild/record.ts'
import { pause } from './retrying.ts'
import { inTransaction } from './transaction.ts'

export type ProjectionKeeper = ReturnType<typeof createProjectionKeeper>

const LOOK_EVERY_MS = 100

/** Each answers false where there is nothing to be done it to. `name` is one of the projections. */
export function createProjectionKeeper(pool: Pool, projections: readonly Projection[] = all) {
  const named = (name: string): Projection => {
    const projection = projections.find((one) => one.name === name)
    if (projection === undefined) throw new Error(`there is no projection ${name}`)
    return projection
  }
  const request = (name: string, asked: { readonly by: string; readonly reason: string; readonly hold: boolean }) =>
    requestRebuild(pool, { name, version: named(name).version, ...asked })

  return {
    /** False where one is running already. */
    request,

    /** Ends a rebuild that is running. */
    async cancel(name: string): Promise<boolean> {
      if (!(await cancelRebuild(pool, name))) return false
      // What is still being read there its lane drops, once it has noticed.
      await inTransaction(pool, (client) => dropIfEnded(client, named(name))).catch(() => {})
      return true
    },

    /** Lets a rebuild that is held be swapped in. */
    release: (name: string): Promise<boolean> => releaseRebuild(pool, name),

    /** Exchanges the live rows and those that were kept. */
    rollBack: (name: string): Promise<boolean> =>
      inTransaction(pool, async (client) => {
        if (!(await isFree(client, name))) return false
        await client.query('SELECT FROM checkpoints WHERE name = $1 FOR UPDATE', [name])
        const kept = await readPrevious(client, name)
        if (kept?.version !== named(name).version) return false
        await goBack(client, named(name), kept)
        return true
      }),

    /** Drops the rows that were kept. */
    forget: (name: string): Promise<boolean> => inTransaction(pool, (client) => forget(client, named(name))),

    /** Has one that has stopped try again. */
    async retry(name: string): Promise<boolean> {
      const { rowCount } = await pool.query(
        `UPDATE checkpoints SET status = 'running', updated_at = now() WHERE name = $1 AND status = 'failed'`,
        [name],
      )
      return rowCount === 1
    },

    /** Has several built again, and ends when that is done or has come to nothing. */
    async rebuild(names: readonly string[], signal: AbortSignal): Promise<void> {
      for (const name of names)
        await request(name, { by: 'system:verify', reason: 'its rows are not as the log says', hold: false })
      for (;;) {
        signal.throwIfAborted()
        const rebuilds = await readRebuilds(pool)
        // One that is held waits for somebody, who need not come.
        const isGoingOn = ({ name, status, phase }: Rebuild) =>
          names.includes(name) && status === 'running' && phase !== 'held'
        if (!rebuilds.some(isGoingOn)) return
        await pause(LOOK_EVERY_MS, signal)
      }
    },
  }
}
