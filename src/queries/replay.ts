// A run event by event, for an audit: what happened, who caused it, and how the run stood after it.

import type { ExecutionEvent } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import { upcast } from '../domain/upcast.ts'
import type { History } from './history.ts'
import { inWords } from './in-words.ts'
import type { ExecutionStatus, StageStatus } from './queries.ts'
import { viewOf } from './run-fold.ts'

export type ReplayStep = {
  readonly revision: number
  readonly at: string
  readonly actor: string
  readonly type: string
  readonly says: string
  /** After it. */
  readonly status: ExecutionStatus
  /** How many stages were in each status after it. */
  readonly stages: { readonly [status in StageStatus]?: number }
}

/** At most `limit` steps from revision `from` on; undefined where the namespace has no such run. */
export async function replayOf(
  history: History,
  namespace: string,
  id: string,
  from: number,
  limit: number,
): Promise<readonly ReplayStep[] | undefined> {
  const steps: ReplayStep[] = []
  let before: RecordedEvent<ExecutionEvent> | undefined
  // It is asked before each event with the run as it is by then, which is after the event before.
  const run = await history.replay(namespace, id, (event, state) => {
    if (before && state && before.revision >= from) steps.push(stepOf(before, viewOf(state)))
    before = event
    return steps.length < limit
  })
  if (run === undefined) return undefined
  if (before && steps.length < limit && before.revision === run.revision && before.revision >= from)
    steps.push(stepOf(before, viewOf(run)))
  return steps
}

function stepOf(stored: RecordedEvent<ExecutionEvent>, view: ReturnType<typeof viewOf>): ReplayStep {
  const event = upcast(stored)
  const stages: { [status in StageStatus]?: number } = {}
  for (const { status } of Object.values(view.stages)) stages[status] = (stages[status] ?? 0) + 1
  const { revision, at, type, metadata } = event
  return { revision, at, actor: metadata.actor, type, says: inWords(event), status: view.status, stages }
}
