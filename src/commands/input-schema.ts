import { Validator } from '@cfworker/json-schema'
import type { Json } from '../domain/message.ts'
import type { Fault } from '../domain/rejected.ts'
import { inputSchemaFaults } from './input-schema-faults.ts'

type InputSchema = { readonly [key: string]: Json }
type Check = (input: Json) => readonly Fault[]

const MAX_FAULTS = 100
/** They say that something inside does not match, and what is inside says it better. */
const wrappers = new Set([
  ...['$ref', 'allOf', 'properties', 'additionalProperties', 'propertyNames', 'items', 'prefixItems'],
  ...['dependentSchemas', 'if'],
])

const compiled = new WeakMap<InputSchema, Check>()

/** What is wrong with the `input` of a workflow's document; none means that `compileInputSchema` takes it. */
export const checkInputSchema = (schema: Json): readonly Fault[] => inputSchemaFaults(schema)

/**
 * A check of inputs against a JSON Schema (draft 2020-12) that `checkInputSchema` passed; kept as long as the schema is.
 * The library walks the schema: it generates no code, and no keyword that would run a regular expression of the user's
 * gets this far.
 */
export function compileInputSchema(schema: InputSchema): Check {
  const known = compiled.get(schema)
  if (known) return known
  const [fault] = inputSchemaFaults(schema)
  if (fault) throw new Error(`not an input schema: ${fault.pointer} ${fault.message}`)
  // The library writes into the schema that it is given.
  const validator = new Validator(structuredClone(schema) as object, '2020-12', false)
  const check: Check = (input) => {
    const { valid, errors } = validator.validate(input)
    if (valid) return []
    const faults = errors.filter(isWorthSaying).slice(0, MAX_FAULTS).map(faultOf)
    return faults.length > 0 ? faults : [{ pointer: '/input', message: 'does not match the schema' }]
  }
  compiled.set(schema, check)
  return check
}

type Finding = { keyword: string; keywordLocation: string; instanceLocation: string; error: string }

/** Of alternatives only the whole counts: a branch that does not match is no mistake of its own. */
const isWorthSaying = ({ keyword, keywordLocation }: Finding): boolean =>
  !wrappers.has(keyword) && !/\/(?:anyOf|oneOf)\/\d+\//.test(keywordLocation)

function faultOf({ keyword, instanceLocation, error }: Finding): Fault {
  const pointer = `/input${decodeURI(instanceLocation.slice(1))}`
  const missing = keyword === 'required' ? /required property "(.*)"\.$/s.exec(error)?.[1] : undefined
  if (missing !== undefined)
    return { pointer: `${pointer}/${missing.replaceAll('~', '~0').replaceAll('/', '~1')}`, message: 'is required' }
  if (keyword === 'false') return { pointer, message: 'is not allowed here' }
  return { pointer, message: error.replace(/^Instance /, '') }
}
