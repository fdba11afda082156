import type { Caller } from '../commands/caller.ts'
import { executionStream } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import type { CleanUpOptions } from './clean-up.ts'

/** Puts the stream of a run back into the log, where it stays for as long as though the run had ended now. @throws Rejected */
export async function unarchive(
  { pool, store, commands }: Pick<CleanUpOptions, 'pool' | 'store' | 'commands'>,
  caller: Caller,
  id: string,
): Promise<{ readonly position: number }> {
  const stream = executionStream(id)
  const events: RecordedEvent[] = []
  for await (const some of store.readStream(stream)) events.push(...some)
  if (events[0]?.metadata.namespace !== caller.namespace)
    throw new Rejected('EXECUTION_UNKNOWN', `there is no execution ${id} in namespace ${caller.namespace}`)
  const { rows } = await pool.query('SELECT archived_in FROM executions WHERE id = $1', [id])
  // Rules find only what has a row: without one the stream would stay for ever.
  if (rows[0] === undefined)
    throw new Rejected(
      'UNARCHIVE_IMPOSSIBLE',
      `retention has removed the rows of ${id}, or it has only begun; what is in the archive of it is read from there`,
    )
  if (rows[0].archived_in === null) throw new Rejected('EXECUTION_NOT_ARCHIVED', `the stream of ${id} is in the log`)
  if (!(await store.putBack(stream, events)))
    throw new Rejected(
      'UNARCHIVE_IMPOSSIBLE',
      'the event store has let go of these events for good; they are read from the archive all the same',
    )
  return commands.record(caller, { type: 'RunsRestored', data: { runs: [id] } })
}
