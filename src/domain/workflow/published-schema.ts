import * as z from 'zod'
import { handlerSchemas, workflowSchema } from './schema.ts'

type JsonSchema = { [key: string]: unknown }

const inputSide = (schema: z.ZodType): JsonSchema => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' })
  return rest
}

/** The JSON Schema of a workflow's document, for editors: the schema of the syntax, and `with` by what a stage uses. */
export function publishedSchema(): JsonSchema {
  const schema = z.toJSONSchema(workflowSchema, { io: 'input' }) as JsonSchema
  const stage = (schema as { properties: { stages: { additionalProperties: JsonSchema } } }).properties.stages
  stage.additionalProperties.allOf = Object.entries(handlerSchemas).map(([handler, given]) => ({
    if: { properties: { uses: { const: handler } }, required: ['uses'] },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema.
    then: { properties: { with: inputSide(given) }, required: ['with'] },
  }))
  return schema
}
