import type { Pool, PoolClient } from 'pg'

/**
 * What a batch is merged into it looks up row by row, by its keys. Before the first statistics, and with a plan that was kept from when
 * tables were small, the planner would read whole tables, and more of them with each run.
 */
export const LOOKING_UP =
  'SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off'

// The log holds everything, so a commit need not wait for the disk: rows and checkpoint are lost together or not at all.
const BEGIN = `BEGIN; SET LOCAL synchronous_commit = off; ${LOOKING_UP}`

/** Runs `work` in a transaction of a connection of its own; nothing of it is left where it throws. */
export async function inTransaction<T>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
  begin: string = BEGIN,
): Promise<T> {
  const client = await pool.connect()
  let broken: Error | undefined
  // A checked-out connection that drops is an 'error' event, too; the query under way rejects and says so.
  const onError = (error: Error): void => {
    broken = error
  }
  client.on('error', onError)
  try {
    await client.query(begin)
    const result = await work(client)
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK').catch((lost: Error) => {
      broken = lost
    })
    throw error
  } finally {
    client.off('error', onError)
    client.release(broken)
  }
}
