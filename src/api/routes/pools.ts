import type { App } from '../../app.ts'
import { definePoolBody } from '../../commands/define-pool.ts'
import { awaitPosition } from '../freshness.ts'
import { createKept, KEPT_FOR_A_MOMENT } from '../kept.ts'
import { freshQuery, namespaceParams, pageQuery, poolParams, utilisationQuery } from '../parameters.ts'
import { poolDefinedSchema, poolSchema, poolsSchema, toPool, toPools, utilisationSchema } from '../pool-answers.ts'
import { RequestProblem } from '../problems.ts'
import { found, pageOf, route } from '../route.ts'

const tag = 'Pools'
/** Waiting stages are part of the runs' read model. */
const readModels = ['pools', 'executions'] as const
const DAY_MS = 24 * 60 * 60_000
const STEPS = 96
const MOST_STEPS = 1_000

export function poolRoutes({ commands, queries, clock, cache }: App) {
  const kept = createKept({ cache, queries })
  return {
    define: route(
      {
        tag,
        summary: 'Define a pool, or give it another capacity',
        description:
          'Answers 201 for a new pool, 200 for one that was there. What is held stays held; stages that wait for more than all of it fail.',
        params: poolParams,
        body: definePoolBody,
        answers: { 201: poolDefinedSchema, 200: poolDefinedSchema },
      },
      async ({ caller, params, body, reply }) => {
        const { name, isNew, position } = await commands.definePool(caller, params.name, body)
        reply.code(isNew ? 201 : 200)
        return { name, position: String(position) }
      },
    ),

    list: route(
      {
        tag,
        summary: 'List the pools: what they have, who holds it, who waits and why',
        params: namespaceParams,
        query: pageQuery,
        answers: { 200: poolsSchema },
      },
      async ({ params, query }) => {
        await awaitPosition(queries, query, readModels)
        return toPools(await queries.pools(params.namespace, pageOf(query)))
      },
    ),

    one: route(
      { tag, summary: 'One pool', params: poolParams, query: freshQuery, answers: { 200: poolSchema } },
      async ({ params: { namespace, name }, query }) => {
        await awaitPosition(queries, query, readModels)
        return toPool(found(await queries.pool(namespace, name), 'POOL_UNKNOWN', `pool ${name}`))
      },
    ),

    utilisation: route(
      {
        tag,
        summary: 'How much of a pool was in use over time',
        description:
          'Looks back a day from `to` where `from` is left out; the step is then such that there are 96.' +
          KEPT_FOR_A_MOMENT,
        params: poolParams,
        query: utilisationQuery,
        answers: { 200: utilisationSchema },
      },
      async ({ params: { namespace, name }, query }) => {
        const { minPosition, wait, ...asked } = query
        return kept(['utilisation', namespace, name, asked], { minPosition, wait }, ['pools'], async () => {
          // Not before it has waited: what it waited for is part of it.
          const toMs = query.to === undefined ? clock.now() : Date.parse(query.to)
          const fromMs = query.from === undefined ? toMs - DAY_MS : Date.parse(query.from)
          const stepMs = query.step ?? Math.max(Math.ceil((toMs - fromMs) / STEPS), 1_000)
          requireSteps(fromMs, toMs, stepMs)
          const [from, to] = [new Date(fromMs).toISOString(), new Date(toMs).toISOString()]
          found(await queries.pool(namespace, name), 'POOL_UNKNOWN', `pool ${name}`)
          return { items: await queries.poolUtilisation(namespace, name, { from, to, stepMs }), from, to, stepMs }
        })
      },
    ),
  }
}

function requireSteps(fromMs: number, toMs: number, stepMs: number): void {
  const steps = (toMs - fromMs) / stepMs
  if (steps > 0 && steps <= MOST_STEPS) return
  const message = steps > 0 ? `there are more than ${MOST_STEPS} steps between from and to` : 'from is not before to'
  const fault = { pointer: steps > 0 ? '/query/step' : '/query/from', message }
  throw new RequestProblem('REQUEST_INVALID', `the query is not valid: ${message}`, { faults: [fault] })
}
