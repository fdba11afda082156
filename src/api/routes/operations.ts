import { z } from 'zod'
import { publishedSchema } from '../../domain/workflow/published-schema.ts'
import { route } from '../route.ts'

const tag = 'Operations'

const anything = z.custom<object>()

export function operationRoutes(describe: () => object) {
  const workflowSchema = publishedSchema()
  return {
    openapi: route({ tag, summary: 'This description', answers: { 200: anything } }, describe),

    workflowSchema: route({ tag, summary: 'JSON Schema of a workflow', answers: { 200: anything } }, ({ reply }) => {
      reply.type('application/schema+json')
      return workflowSchema
    }),
  }
}
