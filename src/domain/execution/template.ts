import type { Json } from '../message.ts'
import type { ExpressionScope } from './expression.ts'
import { checkExpression, ExpressionFailed, evaluateExpression } from './expression.ts'

type Values = Json | { readonly [key: string]: Json }
/** An expression found in a value; `fault` says what is wrong with it. */
export type FoundExpression = { readonly pointer: string; readonly text: string; readonly fault?: string }

const MAX_CACHED = 2_000
const splits = new Map<string, readonly Segment[]>()
const plain = new WeakSet<object>()

/**
 * Puts values in place of every `${{ }}` in the strings of `json`. A string that is nothing but one expression becomes the
 * value with its type; otherwise values become text (null none, lists and objects their JSON). Keys stay as they are.
 * Returns `json` itself where it holds no expression.
 */
export function resolveValues<T extends Values>(json: T, scope: ExpressionScope): T {
  return resolve(json as Json, scope) as T
}

function resolve(json: Json, scope: ExpressionScope): Json {
  if (typeof json === 'string') return mayHaveExpression(json) ? resolveText(json, scope) : json
  if (typeof json !== 'object' || json === null || isPlain(json)) return json
  if (Array.isArray(json)) return json.map((item) => resolve(item, scope))
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, resolve(value, scope)]))
}

function isPlain(json: Json[] | { [key: string]: Json }): boolean {
  if (plain.has(json)) return true
  for (const item of Object.values(json)) {
    if (typeof item === 'string' && mayHaveExpression(item)) return false
    if (typeof item === 'object' && item !== null && !isPlain(item)) return false
  }
  plain.add(json)
  return true
}

function resolveText(text: string, scope: ExpressionScope): Json {
  const segments = segmentsOf(text)
  const values = segments.map((segment) =>
    'text' in segment ? segment.text : evaluateExpression(required(text, segment), scope),
  )
  const [only] = values
  if (values.length === 1 && only !== undefined) return only
  return values.map(asText).join('')
}

function segmentsOf(text: string): readonly Segment[] {
  const known = splits.get(text)
  if (known) return known
  const segments = splitTemplate(text)
  if (splits.size >= MAX_CACHED) splits.delete(splits.keys().next().value!)
  splits.set(text, segments)
  return segments
}

function required(text: string, { expression }: { readonly expression: string | undefined }): string {
  if (expression === undefined) throw new ExpressionFailed(text, '`${{` is never closed by `}}`')
  return expression
}

const asText = (value: Json): string => {
  if (value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** Every expression in the strings of a JSON value, with the pointer of its string, and what is wrong with each. */
export function expressionsIn(json: Json, pointer: string): readonly FoundExpression[] {
  if (typeof json === 'string') return mayHaveExpression(json) ? expressionsInText(json, pointer) : []
  if (typeof json !== 'object' || json === null) return []
  return Object.entries(json).flatMap(([key, value]) =>
    expressionsIn(value, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`),
  )
}

function expressionsInText(json: string, pointer: string): readonly FoundExpression[] {
  return splitTemplate(json).flatMap((segment) => {
    if ('text' in segment) return []
    if (segment.expression === undefined) return [{ pointer, text: '', fault: '`${{` is never closed by `}}`' }]
    const fault = checkExpression(segment.expression)
    return [{ pointer, text: segment.expression, ...(fault === undefined ? {} : { fault }) }]
  })
}

/** Text, or the expression between `${{` and `}}`; `expression` is undefined where the braces are never closed. */
type Segment = { readonly text: string } | { readonly expression: string | undefined }

const mayHaveExpression = (text: string): boolean => text.includes('${{')

/** Splits a string into its text and its expressions. Braces inside string literals and map literals of CEL don't close. */
function splitTemplate(text: string): readonly Segment[] {
  const segments: Segment[] = []
  let from = 0
  for (;;) {
    const opens = text.indexOf('${{', from)
    if (opens < 0) break
    if (opens > from) segments.push({ text: text.slice(from, opens) })
    const closes = findClose(text, opens + 3)
    if (closes < 0) return [...segments, { expression: undefined }]
    segments.push({ expression: text.slice(opens + 3, closes).trim() })
    from = closes + 2
  }
  if (from < text.length) segments.push({ text: text.slice(from) })
  return segments
}

/** The position of the `}}` that ends the expression, or -1. */
function findClose(text: string, from: number): number {
  let depth = 0
  for (let at = from; at < text.length; at++) {
    const character = text[at]!
    if (character === '"' || character === "'") {
      at = endOfLiteral(text, at)
      if (at < 0) return -1
    } else if (character === '{') depth++
    else if (character === '}' && depth > 0) depth--
    else if (character === '}' && text[at + 1] === '}') return at
  }
  return -1
}

/** The position of the last quote of the CEL string literal that starts at `at`, or -1. A backslash guards a quote even in r'…', as in the parser. */
function endOfLiteral(text: string, at: number): number {
  const quote = text[at]!
  const ends = text.startsWith(quote.repeat(3), at) ? quote.repeat(3) : quote
  for (let next = at + ends.length; next < text.length; next++) {
    if (text[next] === '\\') next++
    else if (text.startsWith(ends, next)) return next + ends.length - 1
  }
  return -1
}
