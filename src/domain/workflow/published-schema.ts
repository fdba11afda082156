import * as z from 'zod'
import { writtenInputs } from './builtin-inputs.ts'
import { builtinHandlers } from './handler-names.ts'
import { withoutEffect } from './no-effect.ts'
import { workflowSchema } from './schema.ts'

type JsonSchema = { [key: string]: unknown }

const inputSide = (schema: z.ZodType): JsonSchema => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' })
  return rest
}

/** The JSON Schema of a workflow's document, for editors: the schema of the syntax, and `with` by what a stage uses. */
export function publishedSchema(): JsonSchema {
  const schema = z.toJSONSchema(workflowSchema, { io: 'input' }) as JsonSchema
  const stage = (schema as { properties: { stages: { additionalProperties: JsonSchema } } }).properties.stages
  stage.additionalProperties.allOf = builtinHandlers.map((handler) => {
    const refused = Object.fromEntries(Object.keys(withoutEffect[handler]).map((member) => [member, false]))
    const input = inputSide(writtenInputs[handler])
    const wanted = 'required' in input || 'oneOf' in input
    return {
      if: { properties: { uses: { const: handler } }, required: ['uses'] },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema.
      then: { properties: { with: input, ...refused }, ...(wanted ? { required: ['with'] } : {}) },
    }
  })
  return schema
}
