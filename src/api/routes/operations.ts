import type { Registry } from 'prom-client'
import { z } from 'zod'
import type { App } from '../../app.ts'
import { publishedSchema } from '../../domain/workflow/published-schema.ts'
import { projectionsSchema, toProjections } from '../answers.ts'
import { awaitPosition } from '../freshness.ts'
import { freshQuery } from '../parameters.ts'
import { RequestProblem } from '../problems.ts'
import { route } from '../route.ts'

const tag = 'Operations'

/** What a request needs, by name, and whether it is there. */
export type Readiness = {
  readonly ok: boolean
  readonly checks: Readonly<Record<string, boolean>>
  /** What is known of why something is not there. */
  readonly reasons?: Readonly<Record<string, string>>
}

const anything = z.custom<object>()

export function operationRoutes(
  { queries }: App,
  { ready, registry, describe }: { ready: () => Promise<Readiness>; registry: Registry; describe: () => object },
) {
  const workflowSchema = publishedSchema()
  return {
    projections: route(
      { tag, summary: 'How far the read models are', query: freshQuery, answers: { 200: projectionsSchema } },
      async ({ query }) => {
        await awaitPosition(queries, query)
        return toProjections(await queries.projections())
      },
    ),

    live: route(
      { tag, summary: 'The process answers', answers: { 200: z.object({ status: z.literal('ok') }) }, unlimited: true },
      () => ({ status: 'ok' }) as const,
    ),

    ready: route(
      {
        tag,
        summary: 'Everything that a request needs is there',
        answers: { 200: z.object({ status: z.literal('ok'), checks: z.record(z.string(), z.boolean()) }) },
        unlimited: true,
      },
      async () => {
        const { ok, checks, reasons = {} } = await ready()
        if (ok) return { status: 'ok', checks } as const
        const missing = Object.keys(checks)
          .filter((name) => !checks[name])
          .map((name) => (name in reasons ? `${name} (${reasons[name]})` : name))
        throw new RequestProblem('NOT_READY', `not ready yet: ${missing.join(', ')}`, {
          headers: { 'retry-after': '1' },
          members: { checks },
        })
      },
    ),

    metrics: route(
      { tag, summary: 'Prometheus', answers: { 200: z.string() }, produces: 'text/plain', unlimited: true },
      async ({ reply }) => {
        reply.type(registry.contentType)
        return registry.metrics()
      },
    ),

    openapi: route({ tag, summary: 'This description', answers: { 200: anything } }, describe),

    workflowSchema: route({ tag, summary: 'JSON Schema of a workflow', answers: { 200: anything } }, ({ reply }) => {
      reply.type('application/schema+json')
      return workflowSchema
    }),
  }
}
