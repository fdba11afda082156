import type { ASTNode, ParseResult } from '@marcbachmann/cel-js'
import { Environment } from '@marcbachmann/cel-js'
import type { Json } from '../message.ts'

/**
 * Expressions of workflows: CEL (Common Expression Language), cut down to what is safe to run in the engine. There is no
 * clock, no regular expression and no function outside the list below, and the work that one evaluation may do is bounded.
 */
export type ExpressionScope = {
  readonly input: Json
  /** The combination that a stage of a matrix runs with. */
  readonly matrix: { readonly [axis: string]: Json }
  readonly stages: {
    readonly [id: string]: { readonly status: string; readonly output?: Json; readonly error?: unknown }
  }
  readonly execution: {
    readonly id: string
    readonly workflow: string
    readonly version: number
    readonly namespace: string
    /** The time of its schedule that the run is for; null where no schedule started it. */
    readonly nominalAt: string | null
  }
}

/** An expression that passed registration and still cannot be evaluated over this scope, such as for a missing key. */
export class ExpressionFailed extends Error {
  readonly expression: string
  constructor(expression: string, reason: string) {
    super(`the expression ${JSON.stringify(expression.slice(0, 200))} failed: ${reason}`)
    this.name = 'ExpressionFailed'
    this.expression = expression
  }
}

const MAX_LENGTH = 2_000
/** One for each node that is evaluated, and one for each element or character of what it yields beyond a few. */
const MAX_STEPS = 1_000_000
const MAX_CACHED = 2_000

const variables = new Set(['input', 'stages', 'execution', 'matrix'])
const executionMembers = ['id', 'workflow', 'version', 'namespace', 'nominalAt']
const stageMembers = ['status', 'output', 'error']
const forbidden = new Set(['__proto__', 'constructor', 'prototype'])
const macros = new Set(['all', 'exists', 'exists_one', 'map', 'filter'])
const functions = new Set([
  ...['size', 'string', 'int', 'double', 'bool', 'dyn', 'has'],
  ...['startsWith', 'endsWith', 'contains', 'indexOf', 'lastIndexOf', 'substring', 'split', 'join'],
  ...['lowerAscii', 'upperAscii', 'trim'],
  ...macros,
])

type Evaluator = { run(node: ASTNode, context: unknown): unknown }
/** What an expression names; `matrix` alone stands for whatever it has. */
type Named = { readonly stages: Set<string>; readonly axes: Set<string>; matrix: boolean }
type Parsed = { readonly run: ParseResult; readonly named: Named; readonly type: string }

let stepsLeft = 0
const environment = createEnvironment()
const parsed = new Map<string, Parsed>()

function createEnvironment(): Environment {
  const created = new Environment({
    homogeneousAggregateLiterals: false,
    limits: { maxAstNodes: 500, maxDepth: 40, maxListElements: 100, maxMapEntries: 100, maxCallArguments: 8 },
  })
    .registerVariable('input', 'dyn')
    .registerVariable('stages', 'map')
    .registerVariable('execution', 'map')
    .registerVariable('matrix', 'map')
  // Numbers of JSON are doubles in CEL, which has no arithmetic between those and its integers: `input.n + 1` would fail.
  const arithmetic: { readonly [operator: string]: (a: number, b: number) => number } = {
    '+': (a, b) => a + b,
    '-': (a, b) => a - b,
    '*': (a, b) => a * b,
    '/': (a, b) => a / b,
    '%': (a, b) => a % b,
  }
  for (const [operator, apply] of Object.entries(arithmetic)) {
    const onNumbers = (a: number | bigint, b: number | bigint): number => apply(Number(a), Number(b))
    created.registerOperator(`double ${operator} int: double`, onNumbers)
    created.registerOperator(`int ${operator} double: double`, onNumbers)
  }
  created.registerOperator('double % double: double', (a: number, b: number) => a % b)
  return metered(created)
}

/** Makes every evaluation pay from `stepsLeft`. The library hands its evaluator to functions as `this`, and nowhere else. */
function metered(created: Environment): Environment {
  created.registerFunction('meter(): bool', function (this: Evaluator) {
    const run = this.run.bind(this)
    this.run = (node, context) => {
      const value = run(node, context)
      stepsLeft -= 1 + sizeOf(value)
      if (stepsLeft < 0) throw new Error(`it takes more than ${MAX_STEPS} steps`)
      return value
    }
    return true
  })
  created.evaluate('meter()')
  return created
}

const sizeOf = (value: unknown): number =>
  Array.isArray(value) ? value.length : typeof value === 'string' ? value.length >>> 4 : 0

/** What is wrong with an expression, or undefined. Whoever registers a workflow asks this, so that runs meet no surprises. */
export function checkExpression(text: string): string | undefined {
  return faultOf(() => parse(text))
}

/** The same for a `when`, whose result has to be true or false. */
export function checkCondition(text: string): string | undefined {
  return faultOf(() => {
    const { type } = parse(text)
    if (type !== 'bool' && type !== 'dyn') throw new Error(`a condition is true or false; this one is of type ${type}`)
  })
}

/** The stages that an expression names, as `stages.build` or `stages['build-api']`. Names that are computed are not seen. */
export function stagesNamedBy(text: string): readonly string[] {
  return [...parse(text).named.stages]
}

/** The axes of the matrix that an expression names; undefined where it does not look at the matrix. */
export function axesNamedBy(text: string): readonly string[] | undefined {
  const { axes, matrix } = parse(text).named
  return matrix ? [...axes] : undefined
}

/** Throws `ExpressionFailed` where the condition cannot be evaluated or is neither true nor false. */
export function evaluateCondition(text: string, scope: ExpressionScope): boolean {
  const value = evaluateExpression(text, scope)
  if (typeof value !== 'boolean')
    throw new ExpressionFailed(text, `its result is not true or false but ${typeName(value)}`)
  return value
}

/** The value of an expression as JSON; its integers become numbers. Throws `ExpressionFailed`. */
export function evaluateExpression(text: string, scope: ExpressionScope): Json {
  try {
    const { run } = parse(text)
    stepsLeft = MAX_STEPS
    return toJson(run(scope))
  } catch (error) {
    throw new ExpressionFailed(text, reasonOf(error))
  }
}

/** Parses and checks, or throws an error whose message is the fault. Results are kept: a run asks for the same few again. */
function parse(text: string): Parsed {
  const known = parsed.get(text)
  if (known) return known
  if (text.length > MAX_LENGTH)
    throw new Error(`an expression has at most ${MAX_LENGTH} characters; this one has ${text.length}`)
  if (text.trim() === '') throw new Error('the expression is empty')
  const run = environment.parse(text)
  const named: Named = { stages: new Set(), axes: new Set(), matrix: false }
  inspect(run.ast, new Set(), named)
  const { type, error } = run.check()
  if (error) throw error
  if (type === 'bytes' || type === 'type') throw new Error(`a value of type ${type} has no form in JSON`)
  const result = { run, named, type: type ?? 'dyn' }
  if (parsed.size >= MAX_CACHED) parsed.delete(parsed.keys().next().value!)
  parsed.set(text, result)
  return result
}

/** Walks what the parser made and throws at the first part that Millrace does not allow; collects what it names. */
function inspect(node: ASTNode, bound: ReadonlySet<string>, named: Named): void {
  if (node.op === 'id' && !variables.has(node.args) && !bound.has(node.args))
    throw new Error(
      `there is no ${JSON.stringify(node.args)} here; expressions see input, stages, execution and matrix`,
    )
  if (node.op === 'value' && node.args !== null && typeof node.args === 'object')
    throw new Error('bytes and unsigned numbers have no form in JSON')
  // A key that the library would drop without a word.
  if (node.op === 'map') for (const [key] of node.args) if (key.op === 'value') requireAllowed(key.args)
  if (node.op === 'call' || node.op === 'rcall') inspectCall(node.args[0])
  if (node.op === 'id' && node.args === 'matrix' && !bound.has('matrix')) named.matrix = true
  inspectAccess(node, bound, named)
  const inner = node.op === 'rcall' && macros.has(node.args[0]) ? new Set([...bound, nameBoundBy(node.args[2])]) : bound
  for (const child of childrenOf(node)) inspect(child, inner, named)
}

function inspectCall(name: string): void {
  if (name === 'matches')
    throw new Error('matches() is not available; use startsWith, endsWith, contains or a list with `in`')
  if (!functions.has(name)) throw new Error(`there is no function ${name}()`)
}

const nameBoundBy = ([variable]: readonly ASTNode[]): string => (variable?.op === 'id' ? variable.args : '')

function inspectAccess(node: ASTNode, bound: ReadonlySet<string>, named: Named): void {
  const key = keyOf(node)
  if (key === undefined) return
  requireAllowed(key)
  const owner = (node.args as readonly ASTNode[])[0]!
  if (owner.op === 'id' && bound.has(owner.args)) return
  if (owner.op === 'id' && owner.args === 'execution') requireMember(key, executionMembers, 'execution')
  if (owner.op === 'id' && owner.args === 'stages') named.stages.add(key)
  if (owner.op === 'id' && owner.args === 'matrix') named.axes.add(key)
  const ownerKey = keyOf(owner)
  if (ownerKey === undefined) return
  const root = (owner.args as readonly ASTNode[])[0]!
  if (root.op === 'id' && root.args === 'stages' && !bound.has('stages'))
    requireMember(key, stageMembers, `stages.${ownerKey}`)
}

function requireAllowed(key: unknown): void {
  if (typeof key === 'string' && forbidden.has(key)) throw new Error(`the name ${JSON.stringify(key)} is not allowed`)
}

function requireMember(key: string, known: readonly string[], owner: string): void {
  if (!known.includes(key)) throw new Error(`${owner} has no ${JSON.stringify(key)}; it has ${known.join(', ')}`)
}

/** The name in `a.name` or `a['name']`. */
function keyOf(node: ASTNode): string | undefined {
  if (node.op === '.') return node.args[1]
  if (node.op !== '[]') return undefined
  const index = node.args[1]
  return index.op === 'value' && typeof index.args === 'string' ? index.args : undefined
}

/** Every node below this one; the arguments of a node are nodes, names and literals, in lists of lists. */
function childrenOf(node: ASTNode): readonly ASTNode[] {
  const isNode = (part: unknown): part is ASTNode => typeof part === 'object' && part !== null && 'op' in part
  const parts = Array.isArray(node.args) ? (node.args as unknown[]).flat(2) : [node.args]
  return parts.filter(isNode)
}

function toJson(value: unknown): Json {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return value
    throw new Error(`${value} is not a number of JSON`)
  }
  if (typeof value === 'bigint') {
    if (BigInt(Number(value)) === value) return Number(value)
    throw new Error(`${value} is beyond what a number of JSON holds exactly`)
  }
  if (Array.isArray(value)) return value.map(toJson)
  if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]))
  throw new Error(`a value of type ${typeName(value)} has no form in JSON`)
}

const typeName = (value: unknown): string => {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'a list' : typeof value
}

/** The library's own errors repeat the source in several lines; their summary is the sentence. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) throw error
  return 'summary' in error ? String(error.summary) : error.message
}

function faultOf(check: () => void): string | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}
