import { z } from 'zod'
import type { App } from '../../app.ts'
import type { Caller } from '../../commands/caller.ts'
import type { ProjectionView } from '../../queries/projection-view.ts'
import { awaitPosition } from '../freshness.ts'
import { freshQuery, positionIn, projectionParams, reasonText } from '../parameters.ts'
import { RequestProblem } from '../problems.ts'
import { projectionSchema, projectionsSchema, toProjection, toProjections } from '../projection-answers.ts'
import { route } from '../route.ts'

const tag = 'Operations'
const reasonBody = z.strictObject({ reason: reasonText.optional() })
const rebuildBody = reasonBody.extend({
  hold: z
    .boolean()
    .default(false)
    .meta({ description: 'Do not swap until somebody asks for it, having looked at the difference.' }),
})
const skipBody = z.strictObject({
  position: positionIn.meta({ description: 'Of the event before which the projection has stopped.' }),
  reason: reasonText,
})

type Operation<B> = {
  readonly summary: string
  readonly description?: string
  readonly body?: B
  readonly status: 200 | 202
}
type Asked<B extends z.ZodType> = {
  readonly name: string
  readonly view: ProjectionView
  readonly caller: Caller
  readonly body: z.output<B>
}

export function projectionRoutes({ queries, keeper, commands, audit }: App) {
  const find = async (name: string): Promise<ProjectionView> => {
    const found = (await queries.projections()).find((one) => one.name === name)
    if (found === undefined) throw new RequestProblem('PROJECTION_UNKNOWN', `there is no projection ${name}`)
    return found
  }
  const kept = () => {
    if (keeper === undefined) throw new RequestProblem('UNAVAILABLE', 'this process has no read models')
    return keeper
  }

  /** Does something about a projection, which is then on record with its reason, and answers how it is after that. */
  const operation = <B extends typeof reasonBody>(
    { summary, description, body, status }: Operation<B>,
    act: (asked: Asked<B>) => Promise<RequestProblem | undefined>,
  ) =>
    route(
      {
        ...{ tag, summary, params: projectionParams, body: body ?? reasonBody, bodyOptional: true, errors: [404, 409] },
        ...(description === undefined ? {} : { description }),
        answers: { [status]: projectionSchema },
      },
      async ({ params: { name }, body: given, caller }) => {
        const { reason } = given
        const asking = reason === undefined ? caller : { ...caller, reason }
        const problem = await act({ name, view: await find(name), caller: asking, body: given as z.output<B> })
        if (problem !== undefined) throw problem
        await audit.performed(asking, `projection ${name}`)
        return toProjection(await find(name))
      },
    )

  return {
    list: route(
      { tag, summary: 'How far the read models are', query: freshQuery, answers: { 200: projectionsSchema } },
      async ({ query }) => {
        await awaitPosition(queries, query)
        return toProjections(await queries.projections())
      },
    ),

    one: route(
      {
        tag,
        summary: 'How far a read model is, how its rebuild goes, and what differed',
        params: projectionParams,
        answers: { 200: projectionSchema },
        errors: [404],
      },
      async ({ params }) => toProjection(await find(params.name)),
    ),

    rebuild: operation(
      {
        summary: 'Build a read model again beside the live one, then swap',
        description:
          'The live rows serve and follow the log meanwhile. A crash loses nothing: the rebuild goes on where it was. Two are done at once, others wait their turn.',
        body: rebuildBody,
        status: 202,
      },
      async ({ name, body: { hold, reason = 'asked for' }, caller }) =>
        (await kept().request(name, { by: caller.actor, reason, hold }))
          ? undefined
          : new RequestProblem('REBUILD_RUNNING', `a rebuild of ${name} is running already; cancel it first`),
    ),

    cancel: operation(
      { summary: 'End a rebuild that is running, and drop what it has built', status: 200 },
      async ({ name }) =>
        (await kept().cancel(name))
          ? undefined
          : new RequestProblem('REBUILD_NOT_RUNNING', `no rebuild of ${name} is running`),
    ),

    swap: operation({ summary: 'Swap in a rebuild that was held', status: 202 }, async ({ name, view: { rebuild } }) =>
      (await kept().release(name))
        ? undefined
        : new RequestProblem(
            'REBUILD_NOT_HELD',
            `no rebuild of ${name} waits to be swapped in${rebuild?.status === 'running' ? `: it is ${rebuild.phase}` : ''}`,
          ),
    ),

    rollBack: operation(
      {
        summary: 'Exchange the live rows of a read model and those that were live before',
        description: 'It goes on from where those stood. Asked for once more, it is undone.',
        status: 200,
      },
      async ({ name, view: { kept: before, rebuild } }) =>
        (await kept().rollBack(name)) ? undefined : new RequestProblem('NOTHING_KEPT', whyNot(name, before, rebuild)),
    ),

    forget: operation(
      { summary: 'Drop the rows of a read model that were live before', status: 200 },
      async ({ name }) =>
        (await kept().forget(name)) ? undefined : new RequestProblem('NOTHING_KEPT', `nothing is kept of ${name}`),
    ),

    retry: operation(
      { summary: 'Have a read model that has stopped try its event again', status: 202 },
      async ({ name }) => ((await kept().retry(name)) ? undefined : notStopped(name)),
    ),

    skip: route(
      {
        tag,
        summary: 'Have a read model leave out the event that it has stopped before',
        description:
          'The decision is an event of the log, with who made it and why: a rebuild leaves out the same event. What it would have changed is missing from then on.',
        params: projectionParams,
        body: skipBody,
        answers: { 202: z.object({ position: z.string() }) },
        errors: [404, 409],
      },
      async ({ params: { name }, body: { position, reason }, caller }) => {
        const { stoppedBefore, error = '' } = await find(name)
        if (stoppedBefore === undefined) throw notStopped(name)
        if (stoppedBefore.position !== position)
          throw new RequestProblem(
            'PROJECTION_NOT_STOPPED',
            `${name} has stopped before the event at position ${stoppedBefore.position}, not ${position}`,
          )
        const skipped = await commands.skipEvent(caller, name, { event: stoppedBefore, error, reason })
        // Where every projection has stopped none reads the log.
        await kept().retry(name)
        return { position: String(skipped.position) }
      },
    ),
  }
}

const notStopped = (name: string): RequestProblem =>
  new RequestProblem('PROJECTION_NOT_STOPPED', `${name} has not stopped; there is nothing to decide`)

function whyNot(name: string, kept: ProjectionView['kept'], rebuild: ProjectionView['rebuild']): string {
  if (rebuild?.status === 'running') return `a rebuild of ${name} is running; cancel it first`
  if (kept === undefined) return `nothing is kept of ${name}: no rebuild has been swapped in`
  return `what is kept of ${name} is of version ${kept.version}; a program that makes that version goes back to it by itself`
}
