import type { CST, Document, ParsedNode, YAMLMap, YAMLSeq } from 'yaml'
import { Composer, isAlias, isMap, isPair, isScalar, isSeq, Lexer, LineCounter, Parser } from 'yaml'
import type { Json } from '../domain/message.ts'
import type { Fault } from '../domain/rejected.ts'

type Reading = { value: Json; lineOf(pointer: string): number | undefined; faults: readonly Fault[] }

/** Aliases repeat what they stand for; this bounds the whole, so that a few lines cannot stand for millions. */
const MAX_NODES = 30_000
/** What the lexer may yield: about 4,000 lines. The library takes microseconds for each, and nothing else runs meanwhile. */
const MAX_LEXEMES = 30_000
/** The parser's stack has up to four entries for each level of the document. */
const ENTRIES_PER_LEVEL = 4
const allowedTags = new Set(['tag:yaml.org,2002:str', 'tag:yaml.org,2002:seq', 'tag:yaml.org,2002:map'])

class YamlFault extends Error {
  readonly offset: number
  readonly pointer: string
  constructor(offset: number, pointer: string, message: string) {
    super(message)
    this.offset = offset
    this.pointer = pointer
  }
}

/**
 * Reads one document of YAML 1.2 in the JSON way: maps with text for keys, no tags, no merge keys, no directives. Words such
 * as `NO`, numbers in other bases and times such as `1:20` are text. Aliases work, within bounds. The library composes the
 * nodes only; it would look for duplicate keys and the targets of aliases by searching, which hostile documents make slow.
 */
export function readYaml(text: string, maxDepth: number): Reading {
  const counter = new LineCounter()
  const lines = new Map<string, number>()
  const lineOf = (pointer: string): number | undefined => lines.get(pointer)
  try {
    const root = compose(text, counter, maxDepth)
    const walk = new YamlWalk((offset, pointer) => lines.set(pointer, counter.linePos(offset).line))
    return { value: walk.read(root, '', maxDepth), lineOf, faults: [] }
  } catch (error) {
    if (!(error instanceof YamlFault)) throw error
    const line = Math.max(1, counter.linePos(error.offset).line)
    return { value: null, lineOf, faults: [{ pointer: error.pointer, message: error.message, line }] }
  }
}

function compose(text: string, counter: LineCounter, maxDepth: number): ParsedNode | null {
  const parser = new Parser(counter.addNewLine)
  counter.addNewLine(0)
  const composer = createComposer()
  const documents: Document.Parsed[] = []
  const take = (token: CST.Token): void => {
    if (token.type === 'directive') throw new YamlFault(token.offset, '', 'directives are not supported')
    if (token.type === 'error') throw new YamlFault(token.offset, '', token.message)
    if (token.type === 'document' && documents.length > 0)
      throw new YamlFault(token.offset, '', 'there is more than one document; send them one at a time')
    documents.push(...composer.next(token))
    if (token.type === 'document') documents.push(...composer.end())
  }
  let lexemes = 0
  for (const lexeme of new Lexer().lex(text)) {
    if (++lexemes > MAX_LEXEMES)
      throw new YamlFault(parser.offset, '', 'it is too long; send a document of this size as JSON')
    for (const token of parser.next(lexeme)) take(token)
    if (parser.stack.length > maxDepth * ENTRIES_PER_LEVEL)
      throw new YamlFault(parser.offset, '', `it is nested more than ${maxDepth} levels deep`)
  }
  for (const token of parser.end()) take(token)
  return documents[0]?.contents ?? null
}

/** The composer goes on after errors and makes an object of each; one is enough, and a text of commas has a great many. */
function createComposer(): Composer<ParsedNode> {
  // Failsafe: every scalar is text; what is a number is for `plainValue` to say.
  const composer = new Composer<ParsedNode>({ schema: 'failsafe', merge: false, uniqueKeys: false })
  let first: YamlFault | undefined
  const onError = (source: { offset?: number } | number[] | number, _: string, message: string, warning?: boolean) => {
    if (warning) return
    const offset = typeof source === 'number' ? source : Array.isArray(source) ? source[0] : source.offset
    // The composer catches what is thrown below it and reports it again, at the place of the collection.
    first ??= new YamlFault(offset ?? 0, '', message)
    throw first
  }
  return Object.assign(composer, { onError })
}

/** Turns nodes into JSON; anchors are remembered as they come by, since an alias can only name an earlier one. */
class YamlWalk {
  readonly #place: (offset: number, pointer: string) => void
  readonly #anchors = new Map<string, { node: ParsedNode; open: boolean }>()
  #nodes = 0
  #aliases = 0
  #outermostAlias = 0

  constructor(place: (offset: number, pointer: string) => void) {
    this.#place = place
  }

  read(node: ParsedNode | null, pointer: string, levels: number): Json {
    if (node === null) return null
    const [offset] = node.range
    if (++this.#nodes > MAX_NODES) throw this.#fault(offset, pointer, `it stands for more than ${MAX_NODES} values`)
    if (levels < 0) throw this.#fault(offset, pointer, 'it is nested too deep')
    if (isAlias(node)) return this.#follow(node.source, offset, pointer, levels)
    if (node.tag !== undefined && !allowedTags.has(node.tag))
      throw this.#fault(offset, pointer, `the tag ${node.tag} is not supported; quote what is to be text`)
    const anchor = { node, open: true }
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, anchor)
    const value = this.#value(node, pointer, levels)
    anchor.open = false
    return value
  }

  #value(node: ParsedNode, pointer: string, levels: number): Json {
    if (isMap(node)) return this.#map(node as YAMLMap.Parsed, pointer, levels)
    if (isSeq(node)) return this.#list(node as YAMLSeq.Parsed, pointer, levels)
    if (!isScalar(node)) throw new Error('a node is a map, a list, a scalar or an alias')
    const isPlain = node.type === 'PLAIN' && node.tag === undefined
    return isPlain ? this.#plain(String(node.value), node.range[0], pointer) : String(node.value)
  }

  #follow(name: string, offset: number, pointer: string, levels: number): Json {
    const anchor = this.#anchors.get(name)
    if (!anchor) throw this.#fault(offset, pointer, `there is no anchor &${name} before this alias`)
    if (anchor.open) throw this.#fault(offset, pointer, `the alias *${name} stands inside of what it stands for`)
    if (this.#aliases === 0) this.#outermostAlias = offset
    this.#aliases++
    const value = this.read(anchor.node, pointer, levels)
    this.#aliases--
    return value
  }

  #list(node: YAMLSeq.Parsed, pointer: string, levels: number): Json {
    return node.items.map((item, index) => {
      if (isPair(item)) throw this.#fault(node.range[0], pointer, 'a map inside of a list needs braces')
      const here = `${pointer}/${index}`
      if (this.#aliases === 0) this.#place(item.range[0], here)
      return this.read(item, here, levels - 1)
    })
  }

  #map(node: YAMLMap.Parsed, pointer: string, levels: number): Json {
    const seen = new Set<string>()
    const entries = node.items.map(({ key: name, value }) => {
      const key = this.#key(name, pointer)
      const [offset] = name.range
      if (seen.has(key)) throw this.#fault(offset, pointer, `the key ${JSON.stringify(key)} stands here twice`)
      seen.add(key)
      const here = `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
      // What an alias brings in is at the line of the alias.
      if (this.#aliases === 0) this.#place(offset, here)
      return [key, this.read(value, here, levels - 1)] as const
    })
    // Not an assignment, which would let a key called __proto__ vanish before anyone could refuse it.
    return Object.fromEntries(entries)
  }

  #key(node: ParsedNode, pointer: string): string {
    const [offset] = node.range
    if (!isScalar(node) || (node.tag !== undefined && !allowedTags.has(node.tag)))
      throw this.#fault(offset, pointer, 'a key is text')
    if (node.value === '<<' && node.type === 'PLAIN')
      throw this.#fault(offset, pointer, 'merge keys are not supported; write the members out')
    if (node.value === '' && node.type === 'PLAIN') throw this.#fault(offset, pointer, 'a key is missing')
    return String(node.value)
  }

  #plain(text: string, offset: number, pointer: string): Json {
    const value = plainValue(text)
    if (value !== undefined) return value
    throw this.#fault(offset, pointer, `the number ${text.slice(0, 40)} cannot be held exactly; quote it to have text`)
  }

  /** What goes wrong in a copy is at the alias that asked for it. */
  #fault(offset: number, pointer: string, message: string): YamlFault {
    return new YamlFault(this.#aliases > 0 ? this.#outermostAlias : offset, pointer, message)
  }
}

/**
 * What an unquoted scalar means; undefined for a number that cannot be held. Numbers are decimal and do not begin with
 * zeros: `0o17`, `0x1f` and `007` are text.
 */
function plainValue(text: string): Json | undefined {
  if (/^(?:|~|null|Null|NULL)$/.test(text)) return null
  if (/^(?:true|True|TRUE)$/.test(text)) return true
  if (/^(?:false|False|FALSE)$/.test(text)) return false
  if (!/^[-+]?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/.test(text)) return text
  const number = Number(text)
  if (!Number.isFinite(number)) return undefined
  return /^[-+]?\d+$/.test(text) && !Number.isSafeInteger(number) ? undefined : number
}
