import { z } from 'zod'
import type { App } from '../../app.ts'
import { publishedSchema } from '../../domain/workflow/published-schema.ts'
import { projectionsSchema, toProjections } from '../answers.ts'
import { awaitPosition } from '../freshness.ts'
import { freshQuery } from '../parameters.ts'
import { route } from '../route.ts'

const tag = 'Operations'

const anything = z.custom<object>()

export function operationRoutes({ queries }: App, describe: () => object) {
  const workflowSchema = publishedSchema()
  return {
    projections: route(
      { tag, summary: 'How far the read models are', query: freshQuery, answers: { 200: projectionsSchema } },
      async ({ query }) => {
        await awaitPosition(queries, query)
        return toProjections(await queries.projections())
      },
    ),

    openapi: route({ tag, summary: 'This description', answers: { 200: anything } }, describe),

    workflowSchema: route({ tag, summary: 'JSON Schema of a workflow', answers: { 200: anything } }, ({ reply }) => {
      reply.type('application/schema+json')
      return workflowSchema
    }),
  }
}
