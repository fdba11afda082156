import type { Json } from '../domain/message.ts'
import type { Fault } from '../domain/rejected.ts'
import { readYaml } from './read-yaml.ts'

/** A body that was read: its value, and the line (from 1) of what a JSON pointer leads to, where the body was YAML. */
export type ParsedDocument = { readonly value: Json; lineOf(pointer: string): number | undefined }

/** A body that is no value at all, or one that no body may hold. */
export class DocumentUnreadable extends Error {
  readonly faults: readonly Fault[]
  readonly format: 'yaml' | 'json'
  constructor(format: 'yaml' | 'json', faults: readonly Fault[]) {
    super(`the ${format === 'yaml' ? 'YAML' : 'JSON'} cannot be read: ${faults[0]?.message ?? 'unknown fault'}`)
    this.name = 'DocumentUnreadable'
    this.format = format
    this.faults = faults
  }
}

/** 1,000 stages with a screen of script each stay below it. */
const MAX_LENGTH = 1_048_576
const MAX_DEPTH = 64

/** Reads a body; throws `DocumentUnreadable`. Every value comes back bounded in depth, with finite numbers and clean text. */
export function parseDocument(text: string, format: 'yaml' | 'json'): ParsedDocument {
  const faults = textFaults(text)
  if (faults.length > 0) throw new DocumentUnreadable(format, faults)
  const { value, lineOf, faults: syntax } = format === 'yaml' ? readYaml(text, MAX_DEPTH) : readJson(text)
  const unreadable = syntax.length > 0 ? syntax : [...valueFaults(value, '', 0)]
  if (unreadable.length === 0) return { value, lineOf }
  throw new DocumentUnreadable(
    format,
    unreadable.map((fault) => withLine(fault, lineOf)),
  )
}

/** The fault with the line of what it points to, or of the nearest thing around that. */
export function withLine(fault: Fault, lineOf: ParsedDocument['lineOf']): Fault {
  if (fault.line !== undefined) return fault
  for (let pointer = fault.pointer; ; pointer = pointer.slice(0, pointer.lastIndexOf('/'))) {
    const line = lineOf(pointer)
    if (line !== undefined) return { ...fault, line }
    if (pointer === '') return fault
  }
}

function textFaults(text: string): readonly Fault[] {
  if (text.length > MAX_LENGTH) return [{ pointer: '', message: `it has more than ${MAX_LENGTH} characters` }]
  if (text.trim() === '') return [{ pointer: '', message: 'it is empty' }]
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that no text has.
  const at = text.search(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]/)
  if (at < 0) return []
  return [{ pointer: '', message: 'it holds characters that are no text', line: text.slice(0, at).split('\n').length }]
}

function readJson(text: string): { value: Json; lineOf: ParsedDocument['lineOf']; faults: readonly Fault[] } {
  const lineOf = () => undefined
  try {
    return { value: JSON.parse(text) as Json, lineOf, faults: [] }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return { value: null, lineOf, faults: [{ pointer: '', message: error.message }] }
  }
}

/** Parsing says nothing about these; the walk ends at the first level that is too deep. */
function* valueFaults(value: Json, pointer: string, depth: number): Generator<Fault> {
  if (typeof value === 'number' && !Number.isFinite(value))
    yield { pointer, message: 'the number is greater than any that can be held' }
  if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed()))
    yield { pointer, message: 'the text holds characters that are no text' }
  if (typeof value !== 'object' || value === null) return
  if (depth >= MAX_DEPTH) {
    yield { pointer: '', message: `it is nested more than ${MAX_DEPTH} levels deep` }
    return
  }
  for (const [key, item] of Object.entries(value)) {
    const here = `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
    if (key === '__proto__' || (key === 'constructor' && hasPrototype(item)))
      yield { pointer: here, message: `the name ${JSON.stringify(key)} is not allowed` }
    if (key.includes('\0') || !key.isWellFormed())
      yield { pointer: here, message: 'the name holds characters that are no text' }
    yield* valueFaults(item, here, depth + 1)
  }
}

const hasPrototype = (value: Json): boolean =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype')
