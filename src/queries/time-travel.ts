// A run at any moment of its life, and what changed between two of them.
import { scopeOf } from '../domain/execution/schedule.ts'
import type { Json } from '../domain/message.ts'
import type { History } from './history.ts'
import type { ExecutionView } from './queries.ts'
import { type FoldedRun, viewOf } from './run-fold.ts'

/** After the event at `revision`, or at a time: after all that had happened by then. The latest without either. */
export type Moment = { readonly revision?: number; readonly atMs?: number }

/** A timer that had been set and had not fired. `does` is what happens to the run, or to the stage, once it is due. */
export type PendingTimer = {
  readonly does: 'time-out-execution' | 'time-out-stage' | 'retry' | 'wake'
  readonly stage?: string
  readonly attempt?: number
  readonly dueAt: string
}

/** What expressions could read. */
export type Variables = { readonly [name in 'input' | 'execution' | 'stages']: Json }

/** One value that is not the same; `path` is a JSON pointer. A value that was not there on one side is left out there. */
type Change = { readonly path: string; readonly before?: Json; readonly after?: Json }

export type RunDiff = {
  readonly from: number
  readonly to: number
  readonly changes: readonly Change[]
  /** What happened after `from` up to `to`: how many events, by type. */
  readonly events: { readonly count: number; readonly types: { readonly [type: string]: number } }
}

/** The run as it was at a moment; undefined where the namespace has no such run, or it had not started. */
export const runAt = (
  history: History,
  namespace: string,
  id: string,
  { revision = Infinity, atMs = Infinity }: Moment,
): Promise<FoldedRun | undefined> =>
  history.replay(namespace, id, (event) => event.revision <= revision && Date.parse(event.at) <= atMs)

export function variablesOf({ state }: FoldedRun): Variables {
  const { input, execution, stages } = scopeOf(state)
  return { input, execution, stages } as Variables
}

/** The first that is due first. */
export const timersOf = ({ timers }: FoldedRun): readonly PendingTimer[] =>
  [...timers.values()]
    .sort((one, other) => one.dueMs - other.dueMs || (one.key < other.key ? -1 : 1))
    .map(({ does, dueMs }) => ({
      does: does.kind,
      ...('stage' in does ? { stage: does.stage, attempt: does.attempt } : {}),
      dueAt: new Date(dueMs).toISOString(),
    }))

/** From after one event to after another, the latest where `to` is not said. Where the run ends before, so does the answer. */
export async function diffOf(
  history: History,
  namespace: string,
  id: string,
  from: number,
  to = Infinity,
): Promise<RunDiff | undefined> {
  const types: Record<string, number> = {}
  let before: Described | undefined
  const last = await history.replay(namespace, id, (event, run) => {
    if (event.revision > to) return false
    if (event.revision <= from) return true
    before ??= run && described(run)
    types[event.type] = (types[event.type] ?? 0) + 1
    return true
  })
  if (!last) return undefined
  const after = described(last)
  const count = Object.values(types).reduce((sum, some) => sum + some, 0)
  return {
    from: last.revision - count,
    to: last.revision,
    changes: changesOf(before ?? after, after),
    events: { count, types },
  }
}

/** Every value that a difference is told of, by its path. */
type Described = ReadonlyMap<string, Json>

function described(run: FoldedRun): Described {
  const view = viewOf(run)
  const values = new Map<string, Json>()
  describe(values, '', pick(view))
  for (const [id, stage] of Object.entries(view.stages)) describe(values, pathTo('stages', id), stage)
  for (const { stage, ...timer } of timersOf(run))
    describe(values, stage === undefined ? '/timers/execution' : pathTo('timers/stages', stage), timer)
  for (const [id, stage] of Object.entries(variablesOf(run).stages as { readonly [id: string]: object }))
    describe(values, pathTo('variables/stages', id), stage)
  return values
}

const pick = ({ status, output, error, finishedAt }: ExecutionView) => ({ status, output, error, finishedAt })

function describe(values: Map<string, Json>, path: string, members: object): void {
  for (const [name, value] of Object.entries(members)) if (value !== undefined) values.set(`${path}/${name}`, value)
}

const pathTo = (folder: string, id: string): string => `/${folder}/${id.replaceAll('~', '~0').replaceAll('/', '~1')}`

function changesOf(before: Described, after: Described): readonly Change[] {
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((path) => {
    const was = before.get(path)
    const is = after.get(path)
    if (JSON.stringify(was) === JSON.stringify(is)) return []
    return [{ path, ...(was === undefined ? {} : { before: was }), ...(is === undefined ? {} : { after: is }) }]
  })
}
