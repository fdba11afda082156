import { type ExecutionEvent, executionStream } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import { upcast } from '../domain/upcast.ts'
import type { EventStore } from '../ports/event-store.ts'
import type { ExecutionView } from './queries.ts'
import { type FoldedRun, foldRun, viewOf } from './run-fold.ts'

/** What the log itself answers about one run; `undefined` where the namespace has no such run. */
export interface History {
  /** At most `limit` events from revision `from` on. */
  events(namespace: string, id: string, from: number, limit: number): Promise<readonly RecordedEvent[] | undefined>
  /** The run as it was after the event at `revision`; as it is now without one. */
  stateAt(namespace: string, id: string, revision?: number): Promise<ExecutionView | undefined>
  /** When the run ended, of whatever namespace; `undefined` while it goes on. */
  endedAt(id: string): Promise<string | undefined>
  /** The run after those of its first events that `takes` says yes to; it is asked before each with the run as it is by then. */
  replay(
    namespace: string,
    id: string,
    takes: (event: RecordedEvent<ExecutionEvent>, run: FoldedRun | undefined) => boolean,
  ): Promise<FoldedRun | undefined>
}

const ends: readonly RecordedEvent['type'][] = [
  'ExecutionCompleted',
  'ExecutionFailed',
  'ExecutionCancelled',
] satisfies ExecutionEvent['type'][]

export function createHistory(store: EventStore): History {
  const replay: History['replay'] = async (namespace, id, takes) => {
    let run: FoldedRun | undefined
    for await (const events of store.readStream(executionStream(id)))
      for (const stored of events as readonly RecordedEvent<ExecutionEvent>[]) {
        const event = upcast(stored)
        if (event.metadata.namespace !== namespace || !takes(event, run)) return run
        run = foldRun(run, event)
      }
    return run
  }

  return {
    async events(namespace, id, from, limit) {
      const found: RecordedEvent[] = []
      let owner: string | undefined
      for await (const events of store.readStream(executionStream(id), { from, limit })) found.push(...events)
      for await (const [first] of store.readStream(executionStream(id), { limit: 1 })) owner = first?.metadata.namespace
      return owner === namespace ? found : undefined
    },

    async stateAt(namespace, id, revision = Infinity) {
      const run = await replay(namespace, id, (event) => event.revision <= revision)
      return run && viewOf(run)
    },

    replay,

    async endedAt(id) {
      let last: RecordedEvent | undefined
      const newest = { direction: 'backwards', limit: 1 } as const
      for await (const [event] of store.readStream(executionStream(id), newest)) last = event
      return last && ends.includes(last.type) ? last.at : undefined
    },
  }
}
