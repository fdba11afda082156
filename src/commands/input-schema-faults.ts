import type { Json } from '../domain/message.ts'
import type { Fault } from '../domain/rejected.ts'

type Members = { readonly [key: string]: Json }
type Place = { readonly schema: Json; readonly pointer: string }
/** What a keyword may hold, or the reason why it is not taken. */
type Rule = {
  readonly fault: (value: Json) => string | undefined
  readonly inner: (value: Json, pointer: string) => Place[]
}

/** With every reference written out. An input is checked against each part at most once for each of its values. */
const MAX_PARTS = 2_000
const formats = ['date', 'date-time', 'time', 'duration', 'email', 'hostname', 'ipv4', 'ipv6', 'uuid']
const types = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null']
const draft = /^https:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/
const reference = /^#\/(\$defs|definitions)\/([A-Za-z0-9_.-]+)$/

const isMembers = (value: Json | undefined): value is { [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const escaped = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1')

const rule = (holds: (value: Json) => boolean, expected: string): Rule => ({
  fault: (value) => (holds(value) ? undefined : `expected ${expected}`),
  inner: () => [],
})
const refused = (reason: string): Rule => ({ fault: () => reason, inner: () => [] })
const anything = rule(() => true, 'anything')
const text = rule((value) => typeof value === 'string', 'text')
const flag = rule((value) => typeof value === 'boolean', 'true or false')
const number = rule((value) => typeof value === 'number', 'a number')
const count = rule((value) => Number.isSafeInteger(value) && (value as number) >= 0, 'a whole number, not below 0')
const isNames = (value: Json): boolean => Array.isArray(value) && value.every(isName)
/** The library asks whether an input has a member with `in`, which every object affirms for these. */
const isName = (value: Json): boolean => typeof value === 'string' && !(value in {})
const names = rule(isNames, 'a list of names, none of which every object has, such as toString')

const schema: Rule = { ...anything, inner: (value, pointer) => [{ schema: value, pointer }] }
const schemaList: Rule = {
  fault: (value) => (Array.isArray(value) && value.length > 0 ? undefined : 'expected a list of schemas'),
  inner: (value, pointer) =>
    Array.isArray(value) ? value.map((item, index) => ({ schema: item, pointer: `${pointer}/${index}` })) : [],
}
const schemaMap: Rule = {
  fault: (value) =>
    isMembers(value) && Object.keys(value).every(isName)
      ? undefined
      : 'expected schemas by names, none of which every object has, such as toString',
  inner: (value, pointer) =>
    isMembers(value)
      ? Object.entries(value).map(([key, item]) => ({ schema: item, pointer: `${pointer}/${escaped(key)}` }))
      : [],
}

const regular = 'is not supported, because regular expressions can be made to run for ever; use `enum` or a `format`'
const keywords: { readonly [keyword: string]: Rule } = {
  ...{ title: text, description: text, $comment: text, default: anything, examples: anything },
  ...{ deprecated: flag, readOnly: flag, writeOnly: flag },
  $schema: rule((value) => typeof value === 'string' && draft.test(value), 'draft 2020-12 of JSON Schema'),
  $ref: rule(
    (value) => typeof value === 'string' && reference.test(value),
    'a reference to this schema: #/$defs/<name>',
  ),
  type: rule(
    (value) => (Array.isArray(value) ? value.length > 0 && value.every(isType) : isType(value)),
    `${types.join(', ')} or a list of them`,
  ),
  enum: rule((value) => Array.isArray(value) && value.length > 0, 'a list of values'),
  const: anything,
  ...{ minimum: number, maximum: number, exclusiveMinimum: number, exclusiveMaximum: number },
  multipleOf: rule((value) => typeof value === 'number' && value > 0, 'a number above 0'),
  ...{ minLength: count, maxLength: count, minItems: count, maxItems: count, minContains: count, maxContains: count },
  ...{ minProperties: count, maxProperties: count },
  format: rule((value) => typeof value === 'string' && formats.includes(value), `one of ${formats.join(', ')}`),
  required: names,
  dependentRequired: rule(
    (value) => isMembers(value) && Object.keys(value).every(isName) && Object.values(value).every(isNames),
    'lists of names by names',
  ),
  ...{ properties: schemaMap, dependentSchemas: schemaMap, additionalProperties: schema, propertyNames: schema },
  ...{ items: schema, prefixItems: schemaList, contains: schema },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema.
  ...{ allOf: schemaList, anyOf: schemaList, oneOf: schemaList, not: schema, if: schema, then: schema, else: schema },
  pattern: refused(`\`pattern\` ${regular}`),
  patternProperties: refused(`\`patternProperties\` ${regular}`),
  uniqueItems: refused('`uniqueItems` is not supported, because it compares every item with every other'),
}

function isType(value: Json): boolean {
  return typeof value === 'string' && types.includes(value)
}

/** What keeps a JSON Schema (draft 2020-12) from being used, each problem once; pointers begin with `/input`. */
export function inputSchemaFaults(root: Json): readonly Fault[] {
  if (!isMembers(root)) return [{ pointer: '/input', message: 'expected a JSON Schema' }]
  const { $defs, definitions, ...rest } = root
  const faults = [
    ...faultsIn({ schema: rest, pointer: '/input' }),
    ...defsIn({ $defs, definitions }).flatMap(([, place]) => faultsIn(place)),
  ]
  return faults.length > 0 ? faults : referenceFaults(rest, new Map(defsIn({ $defs, definitions })))
}

/** The definitions by what a reference to them says; only those at the top can be referred to. */
function defsIn(holders: { readonly [key: string]: Json | undefined }): [string, Place][] {
  return Object.entries(holders).flatMap(([holder, defs]): [string, Place][] => {
    const pointer = `/input/${holder}`
    if (defs === undefined) return []
    if (!isMembers(defs)) return [[`#/${holder}`, { schema: defs, pointer }]]
    return Object.entries(defs).map(([name, def]) => [
      `#/${holder}/${name}`,
      { schema: def, pointer: `${pointer}/${escaped(name)}` },
    ])
  })
}

function faultsIn({ schema, pointer }: Place): readonly Fault[] {
  if (typeof schema === 'boolean') return []
  if (!isMembers(schema)) return [{ pointer, message: 'expected a JSON Schema' }]
  return Object.entries(schema).flatMap(([keyword, value]) => {
    const here = `${pointer}/${escaped(keyword)}`
    const rule = Object.hasOwn(keywords, keyword) ? keywords[keyword] : undefined
    if (!rule) return [{ pointer: here, message: `the keyword \`${keyword}\` is not supported here` }]
    const message = rule.fault(value)
    return [
      ...(message === undefined ? [] : [{ pointer: here, message }]),
      ...rule.inner(value, here).flatMap(faultsIn),
    ]
  })
}

/** References that lead nowhere or back to themselves, and schemas that are too large once they are followed. */
function referenceFaults(root: Members, defs: ReadonlyMap<string, Place>): readonly Fault[] {
  const faults: Fault[] = []
  const sizes = new Map<string, number>()
  const open = new Set<string>()

  const follow = (target: string, pointer: string): number => {
    const def = defs.get(target)
    if (!def) faults.push({ pointer, message: `there is no ${target}` })
    else if (open.has(target)) faults.push({ pointer, message: `${target} refers to itself, which is not supported` })
    if (!def || open.has(target)) return 0
    open.add(target)
    const size = sizes.get(target) ?? sizeOf(def)
    open.delete(target)
    sizes.set(target, size)
    return size
  }
  const sizeOf = ({ schema, pointer }: Place): number => {
    if (!isMembers(schema)) return 1
    let size = 1 + (Array.isArray(schema.enum) ? schema.enum.length : 0)
    for (const [keyword, value] of Object.entries(schema)) {
      if (keyword === '$ref') size += follow(String(value), `${pointer}/$ref`)
      for (const inner of keywords[keyword]!.inner(value, `${pointer}/${escaped(keyword)}`)) size += sizeOf(inner)
    }
    return size
  }

  const size = sizeOf({ schema: root, pointer: '/input' })
  for (const target of defs.keys()) follow(target, '/input')
  if (size > MAX_PARTS)
    faults.push({ pointer: '/input', message: `it has more than ${MAX_PARTS} parts once its references are followed` })
  return faults
}
