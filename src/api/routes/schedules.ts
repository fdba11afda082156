import { z } from 'zod'
import type { App } from '../../app.ts'
import { reasonBody } from '../../commands/control-execution.ts'
import { backfillBody, previewSchedule } from '../../commands/manage-schedules.ts'
import type { RejectionCode } from '../../domain/rejected.ts'
import { scheduleSchema } from '../../domain/schedule/schema.ts'
import { awaitPosition } from '../freshness.ts'
import {
  freshQuery,
  idempotencyHeaders,
  namespaceParams,
  ownScheduleParams,
  previewQuery,
  scheduleParams,
  schedulesQuery,
  upcomingQuery,
} from '../parameters.ts'
import { found, pageOf, route } from '../route.ts'
import {
  backfillSchema,
  scheduleAnswer,
  scheduledSchema,
  schedulesSchema,
  toSchedule,
  toSchedules,
  upcomingSchema,
} from '../schedule-answers.ts'

const tag = 'Schedules'
const unknown = 'SCHEDULE_UNKNOWN'
const nothing = z.strictObject({})

const placed = ({ name, position }: { readonly name: string; readonly position: number }) => ({
  name,
  position: String(position),
})

export function scheduleRoutes({ commands: { schedules }, queries }: App) {
  const control = (
    summary: string,
    description: string,
    command: typeof schedules.pause,
    errors: readonly RejectionCode[] = [],
  ) =>
    route(
      {
        tag,
        summary,
        description,
        params: scheduleParams,
        body: reasonBody,
        bodyOptional: true,
        answers: { 200: scheduledSchema },
        errors: [unknown, ...errors],
      },
      async ({ caller, params, body }) => placed(await command(caller, params.name, body)),
    )
  return {
    define: route(
      {
        tag,
        summary: 'Create a schedule, or revise it',
        description:
          'Answers 201 where it is new, 200 where it was there. Nominal times that have been decided on are not decided on again.',
        params: ownScheduleParams,
        body: scheduleSchema,
        answers: { 201: scheduledSchema, 200: scheduledSchema },
        errors: [
          'SCHEDULE_INVALID',
          'WORKFLOW_UNKNOWN',
          'WORKFLOW_VERSION_UNKNOWN',
          'WORKFLOW_RETIRED',
          'INPUT_INVALID',
          'EVENT_TOO_LARGE',
        ],
      },
      async ({ caller, params, body, reply }) => {
        const done = await schedules.define(caller, params.name, body)
        reply.code(done.change === 'created' ? 201 : 200)
        return placed(done)
      },
    ),

    remove: control(
      'Delete a schedule',
      'What runs goes on; what waits for its turn does not start. That of a workflow goes with its definition.',
      schedules.remove,
      ['SCHEDULE_OWNED'],
    ),
    pause: control(
      'Start nothing at the times of a schedule',
      'What runs goes on, and so does a backfill. What waits for its turn waits on.',
      schedules.pause,
    ),
    resume: control(
      'Let a paused schedule go on',
      'The times that it was paused at are not made up for; a backfill can do that.',
      schedules.resume,
    ),

    backfill: route(
      {
        tag,
        summary: 'Start the runs of nominal times that have passed',
        description:
          'Those from `from` on and before `to`, at most `maxConcurrent` at once. A time that has had its run is not run again.',
        params: scheduleParams,
        headers: idempotencyHeaders,
        body: backfillBody,
        answers: { 202: backfillSchema },
        errors: [unknown, 'BACKFILL_RUNNING', 'BACKFILL_IMPOSSIBLE'],
      },
      async ({ caller, params, body, headers }) => {
        const done = await schedules.backfill(caller, params.name, body, headers['idempotency-key'])
        return { id: done.id, ...placed(done) }
      },
    ),

    cancelBackfill: route(
      {
        tag,
        summary: 'Start nothing more of a backfill',
        params: scheduleParams,
        body: nothing,
        bodyOptional: true,
        answers: { 200: scheduledSchema },
        errors: [unknown],
      },
      async ({ caller, params }) => placed(await schedules.cancelBackfill(caller, params.name)),
    ),

    list: route(
      {
        tag,
        summary: 'List the schedules',
        params: namespaceParams,
        query: schedulesQuery,
        answers: { 200: schedulesSchema },
      },
      async ({ params, query }) => {
        await awaitPosition(queries, query, ['schedules'])
        const filter = query.workflow === undefined ? {} : { workflow: query.workflow }
        return toSchedules(await queries.schedules(params.namespace, filter, pageOf(query)))
      },
    ),

    one: route(
      {
        tag,
        summary: 'A schedule, with what runs and what waits',
        description: 'Its runs: GET /v1/{namespace}/executions?label=schedule={name}.',
        params: scheduleParams,
        query: freshQuery,
        answers: { 200: scheduleAnswer },
      },
      async ({ params: { namespace, name }, query }) => {
        await awaitPosition(queries, query, ['schedules'])
        return toSchedule(found(await queries.schedule(namespace, name), unknown, `schedule ${name}`))
      },
    ),

    preview: route(
      {
        tag,
        summary: 'The next times of a schedule',
        params: scheduleParams,
        query: upcomingQuery,
        answers: { 200: upcomingSchema },
      },
      async ({ params: { namespace, name }, query }) => {
        await awaitPosition(queries, query, ['schedules'])
        const times = await queries.upcomingTimes(namespace, name, query.count)
        return { items: found(times, unknown, `schedule ${name}`) }
      },
    ),

    previewUnsaved: route(
      {
        tag,
        summary: 'The next times of a schedule that is not saved',
        params: namespaceParams,
        query: previewQuery,
        body: scheduleSchema,
        answers: { 200: upcomingSchema },
      },
      ({ caller, body, query }) => ({
        items: previewSchedule(caller, body, query.count).map((nominalAt) => ({ nominalAt })),
      }),
    ),
  }
}
