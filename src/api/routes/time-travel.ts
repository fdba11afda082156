import type { App } from '../../app.ts'
import { graphOf } from '../../queries/graph.ts'
import type { FoldedRun } from '../../queries/run-fold.ts'
import { viewOf } from '../../queries/run-fold.ts'
import { diffOf, runAt, timersOf, variablesOf } from '../../queries/time-travel.ts'
import { diffSchema, graphSchema, stateSchema, toDiff, toExecution, toGraph } from '../answers.ts'
import { diffQuery, executionParams, momentQuery, stateQuery } from '../parameters.ts'
import { RequestProblem } from '../problems.ts'
import { found, route } from '../route.ts'

const tag = 'Executions'
type Asked = { readonly revision?: number | undefined; readonly at?: string | undefined }

export function timeTravelRoutes({ history }: App) {
  /** @throws RequestProblem REVISION_UNKNOWN, where the run had not got there */
  const askedRun = async (namespace: string, id: string, { revision, at }: Asked): Promise<FoldedRun> => {
    const moment = {
      ...(revision === undefined ? {} : { revision }),
      ...(at === undefined ? {} : { atMs: Date.parse(at) }),
    }
    const run = await runAt(history, namespace, id, moment)
    if (!run && at !== undefined && (await history.stateAt(namespace, id, 0)))
      throw new RequestProblem('REVISION_UNKNOWN', `the run had not started at ${at}`)
    const known = found(run, 'EXECUTION_UNKNOWN', `execution ${id}`)
    if (revision !== undefined) requireRevision(revision, known.revision)
    return known
  }

  return {
    state: route(
      {
        tag,
        summary: 'A run as it was after any of its events, or at any time',
        description: 'With `include` also what its expressions could read by then, and the timers that were set.',
        params: executionParams,
        query: stateQuery,
        answers: { 200: stateSchema },
      },
      async ({ params: { namespace, id }, query }) => {
        const run = await askedRun(namespace, id, query)
        const { include = [] } = query
        return {
          ...toExecution(viewOf(run)),
          ...(include.includes('variables') ? { variables: variablesOf(run) } : {}),
          ...(include.includes('timers') ? { timers: timersOf(run) } : {}),
        }
      },
    ),

    graph: route(
      {
        tag,
        summary: 'The graph of a run, with where each stage stands',
        description: 'Stages that the run generated are part of it from the event on that says so.',
        params: executionParams,
        query: momentQuery,
        answers: { 200: graphSchema },
      },
      async ({ params: { namespace, id }, query }) => toGraph(graphOf(await askedRun(namespace, id, query))),
    ),

    diff: route(
      {
        tag,
        summary: 'What changed in a run between two of its events',
        params: executionParams,
        query: diffQuery,
        answers: { 200: diffSchema },
      },
      async ({ params: { namespace, id }, query: { from, to } }) => {
        const diff = found(await diffOf(history, namespace, id, from, to), 'EXECUTION_UNKNOWN', `execution ${id}`)
        requireRevision(to ?? from, diff.to)
        return toDiff(diff)
      },
    ),
  }
}

function requireRevision(revision: number, last: number): void {
  if (last < revision)
    throw new RequestProblem('REVISION_UNKNOWN', `the run has no revision ${revision}; its last is ${last}`)
}
