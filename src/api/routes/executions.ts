import type { App } from '../../app.ts'
import { reasonBody } from '../../commands/control-execution.ts'
import { restoreExecutionBody } from '../../commands/restore-execution.ts'
import { startExecutionBody } from '../../commands/start-execution.ts'
import type { RejectionCode } from '../../domain/rejected.ts'
import {
  controlledSchema,
  executionSchema,
  executionsSchema,
  historySchema,
  json,
  startedSchema,
  toControlled,
  toEvent,
  toExecution,
  toExecutions,
} from '../answers.ts'
import { awaitPosition } from '../freshness.ts'
import {
  defaultLimit,
  executionParams,
  executionsQuery,
  freshQuery,
  historyQuery,
  idempotencyHeaders,
  namespaceParams,
  signalParams,
} from '../parameters.ts'
import { found, pageOf, route } from '../route.ts'
import { NDJSON, streamHistory } from '../streams.ts'

const tag = 'Executions'
const unknown = 'EXECUTION_UNKNOWN'
const startErrors = [
  'WORKFLOW_UNKNOWN',
  'WORKFLOW_VERSION_UNKNOWN',
  'WORKFLOW_RETIRED',
  'INPUT_INVALID',
  'IDEMPOTENCY_KEY_REUSED',
  'EVENT_TOO_LARGE',
] as const

/** That the input is JSON was seen when the body was parsed; what it must be like the workflow says. */
const startBody = startExecutionBody.extend({ input: json.optional() })
const restoreBody = restoreExecutionBody

export function executionRoutes({ commands, queries, history }: App) {
  const control = (
    summary: string,
    description: string,
    command: typeof commands.control.cancel,
    errors: readonly RejectionCode[] = [],
  ) =>
    route(
      {
        tag,
        summary,
        description,
        params: executionParams,
        body: reasonBody,
        bodyOptional: true,
        answers: { 202: controlledSchema },
        errors: [unknown, 'EXECUTION_ALREADY_ENDED', ...errors],
      },
      async ({ caller, params, body }) => toControlled(await command(caller, params.id, body)),
    )
  return {
    start: route(
      {
        tag,
        summary: 'Start a run of a workflow',
        params: namespaceParams,
        headers: idempotencyHeaders,
        body: startBody,
        answers: { 202: startedSchema },
        errors: startErrors,
      },
      async ({ caller, body, headers }) => {
        const { id, position } = await commands.startExecution(caller, body, headers['idempotency-key'])
        return { id, position: String(position) }
      },
    ),

    cancel: control(
      'Ask a run to end',
      'What runs is asked to stop and gets its grace period; the run is `cancelling` until then.',
      commands.control.cancel,
    ),
    pause: control(
      'Start nothing new of a run; what runs finishes',
      'The time of the run stands still. Timers, approvals and signals still end what waits for them.',
      commands.control.pause,
      ['EXECUTION_CANCELLING'],
    ),
    resume: control('Let a paused run go on', 'What became ready meanwhile starts now.', commands.control.resume, [
      'EXECUTION_CANCELLING',
    ]),

    signal: route(
      {
        tag,
        summary: 'Send a signal to a run, with any JSON as its payload',
        description:
          'A stage that waits for it completes with the payload; a signal that comes early is kept. The payload has at most 256 KiB.',
        params: signalParams,
        headers: idempotencyHeaders,
        body: json,
        bodyOptional: true,
        answers: { 202: controlledSchema },
        errors: [
          unknown,
          'EXECUTION_ALREADY_ENDED',
          'EXECUTION_CANCELLING',
          'SIGNALS_FULL',
          'IDEMPOTENCY_KEY_REUSED',
          'EVENT_TOO_LARGE',
        ],
      },
      async ({ caller, params: { id, name }, body, headers }) =>
        toControlled(await commands.control.signal(caller, id, name, body, headers['idempotency-key'])),
    ),

    restore: route(
      {
        tag,
        summary: 'Start a run that goes on from this one, at any of its events or checkpoints',
        description:
          'What had completed there stays completed and does not run again, unless it was undone since. This run stays as it is.',
        params: executionParams,
        headers: idempotencyHeaders,
        body: restoreBody,
        bodyOptional: true,
        answers: { 202: startedSchema },
        errors: [unknown, 'RESTORE_IMPOSSIBLE', ...startErrors],
      },
      async ({ caller, params, body, headers }) => {
        const { id, position } = await commands.restoreExecution(caller, params.id, body, headers['idempotency-key'])
        return { id, position: String(position) }
      },
    ),

    list: route(
      {
        tag,
        summary: 'List the runs, the newest first',
        params: namespaceParams,
        query: executionsQuery,
        answers: { 200: executionsSchema },
      },
      async ({ params, query }) => {
        await awaitPosition(queries, query, ['executions'])
        const { workflow, status, label, from, to } = query
        const given = Object.entries({ workflow, status, label, from, to }).filter(([, value]) => value !== undefined)
        const filter = Object.fromEntries(given)
        return toExecutions(await queries.executions(params.namespace, filter, pageOf(query), query.sort))
      },
    ),

    one: route(
      {
        tag,
        summary: 'A run as the read models have it',
        params: executionParams,
        query: freshQuery,
        answers: { 200: executionSchema },
      },
      async ({ params: { namespace, id }, query }) => {
        await awaitPosition(queries, query, ['executions'])
        return toExecution(found(await queries.execution(namespace, id), unknown, `execution ${id}`))
      },
    ),

    history: route(
      {
        tag,
        summary: 'The events of a run',
        description: `Pages; with Accept: ${NDJSON} every event from \`from\` on, one a line, up to \`limit\` where it is given.`,
        params: executionParams,
        query: historyQuery,
        answers: { 200: historySchema },
        alternative: NDJSON,
      },
      async ({ params: { namespace, id }, query, alternative, reply }) => {
        const from = query.cursor ?? query.from ?? 0
        if (alternative) return streamHistory(reply, history, { namespace, id, from, limit: query.limit })
        const limit = query.limit ?? defaultLimit
        const events = found(await history.events(namespace, id, from, limit), unknown, `execution ${id}`)
        return { items: events.map(toEvent), nextCursor: events.length === limit ? String(from + limit) : null }
      },
    ),
  }
}
