import type * as z from 'zod'
import type { Json } from '../message.ts'
import type { Fault } from '../rejected.ts'

export type Members = { readonly [key: string]: Json }

export const isMembers = (value: Json | undefined): value is { [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const forbiddenKeys = new Set(['__proto__', 'constructor', 'prototype'])

/** A JSON pointer (RFC 6901) to what `keys` lead to. */
export const pointerTo = (keys: readonly PropertyKey[]): string =>
  keys.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')

/** What a schema finds wrong with a value, one fault for each unknown member. */
export function faultsBySchema(
  schema: z.ZodType,
  value: Json | undefined,
  at: readonly PropertyKey[],
): readonly Fault[] {
  const { error } = schema.safeParse(value, { reportInput: true })
  return error ? error.issues.flatMap((issue) => faultsOf(issue, at)) : []
}

function faultsOf(issue: z.core.$ZodIssue, at: readonly PropertyKey[]): readonly Fault[] {
  const path = [...at, ...issue.path]
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      pointer: pointerTo([...path, key]),
      message: `there is no member \`${key}\` here`,
    }))
  if (issue.code === 'invalid_key')
    return [{ pointer: pointerTo(path), message: issue.issues.map(({ message }) => message).join('; ') }]
  if (issue.code === 'invalid_union') {
    // Where the value is of the right type for one of the choices, what is wrong inside says more than that none fits.
    const inside = issue.errors.find((choice) => choice.length > 0 && choice.every(isInside))
    if (inside) return inside.flatMap((deeper) => faultsOf(deeper, path))
  }
  if (issue.code === 'invalid_type' && issue.input === undefined)
    return [{ pointer: pointerTo(path), message: 'is required' }]
  // Of alternatives that have no message in common the first is what is meant; the others stand for an expression.
  const [meant] = issue.code === 'invalid_union' ? issue.errors : []
  if (meant && issue.message === 'Invalid input') return meant.flatMap((inner) => faultsOf(inner, path))
  return [{ pointer: pointerTo(path), message: issue.message.replace(/^Invalid (input|option): /, '') }]
}

const isInside = ({ code, path }: z.core.$ZodIssue): boolean => path.length > 0 || code === 'unrecognized_keys'

/** Keys that reach into prototypes, and keys with expressions, which stay as they are and so are never meant. */
export function keyFaults(value: Json, pointer: string): readonly Fault[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, item]) => {
    const here = `${pointer}${pointerTo([key])}`
    if (forbiddenKeys.has(key)) return [{ pointer: here, message: `the name \`${key}\` is not allowed` }]
    const own = key.includes('${{') ? [{ pointer: here, message: 'an expression cannot stand in a name' }] : []
    return [...own, ...keyFaults(item, here)]
  })
}
