import type { Json } from '../message.ts'
import { ExpressionFailed } from './expression.ts'

type Values = { readonly [axis: string]: Json }
export type Combination = { readonly id: string; readonly values: Values }

/** More than a graph may have is refused before it is built. */
const MAX_COMBINATIONS = 1_000
/** What can stand in the id of a stage as it is. */
const PLAIN = /^[A-Za-z0-9_-]{1,40}$/

/**
 * One stage for each combination of the axes' values, the last axis turning fastest. Its id is the parent's with the values,
 * `test.unit.18`, or with a number where these are no short words or not unique.
 */
export function combinationsOf(parent: string, axes: { readonly [axis: string]: Json }): readonly Combination[] {
  let combinations: Values[] = [{}]
  for (const [axis, list] of Object.entries(axes)) {
    if (!Array.isArray(list)) throw new ExpressionFailed(axis, `the axis ${JSON.stringify(axis)} of a matrix is a list`)
    if (combinations.length * list.length > MAX_COMBINATIONS)
      throw new ExpressionFailed(axis, `the matrix has more than ${MAX_COMBINATIONS} combinations`)
    combinations = combinations.flatMap((before) => list.map((value) => ({ ...before, [axis]: value })))
  }
  const names = combinations.map(nameOf)
  const plain = new Set(names).size === names.length && names.every((name) => name !== undefined)
  return combinations.map((values, place) => ({ id: `${parent}.${plain ? names[place] : place}`, values }))
}

function nameOf(values: Values): string | undefined {
  const words = Object.values(values).map((value) => (typeof value === 'object' ? '' : String(value)))
  return words.every((word) => PLAIN.test(word)) ? words.join('.') : undefined
}
