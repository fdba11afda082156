import * as z from 'zod'
import type { Fault } from '../rejected.ts'
import { findCycles } from './cycles.ts'

/** A stage as the graph sees it; `needs` name the stages that have to end before it. */
export type GraphStage = { readonly id: string; readonly needs: readonly string[] }

export type GraphSummary = {
  readonly stages: number
  readonly edges: number
  /** Number of levels, and the size of the widest: how many stages can run at once at most. */
  readonly depth: number
  readonly width: number
  readonly roots: readonly string[]
  readonly leaves: readonly string[]
}

export type CriticalPath = { readonly path: readonly string[]; readonly totalMs: number }

export const MAX_STAGES = 1_000

const serialised = z.strictObject({
  stages: z.array(z.strictObject({ id: z.string(), needs: z.array(z.string()) })).max(MAX_STAGES),
})

/**
 * The stages of a workflow and who waits for whom. Stages are numbered in the order of the document, so that a decider
 * can keep its state in arrays. Building one costs a map and two arrays; everything else is computed when asked for.
 */
export class WorkflowGraph {
  readonly ids: readonly string[]
  readonly #needs: readonly (readonly number[])[]
  readonly #dependents: readonly (readonly number[])[]
  readonly #indexes: ReadonlyMap<string, number>
  #order: readonly number[] | undefined
  #ancestors: readonly Uint32Array[] | undefined

  /** Use `createGraph`; the parts have to agree with each other. */
  constructor(
    ids: readonly string[],
    needs: readonly (readonly number[])[],
    dependents: readonly (readonly number[])[],
    indexes: ReadonlyMap<string, number>,
  ) {
    this.ids = ids
    this.#needs = needs
    this.#dependents = dependents
    this.#indexes = indexes
  }

  get size(): number {
    return this.ids.length
  }

  /** The number of a stage, -1 where there is none of that name. */
  indexOf(id: string): number {
    return this.#indexes.get(id) ?? -1
  }

  needsOf(index: number): readonly number[] {
    return this.#needs[index]!
  }

  dependentsOf(index: number): readonly number[] {
    return this.#dependents[index]!
  }

  dependencies(id: string): readonly string[] {
    return this.#needs[this.#known(id)]!.map((index) => this.ids[index]!)
  }

  dependents(id: string): readonly string[] {
    return this.#dependents[this.#known(id)]!.map((index) => this.ids[index]!)
  }

  /** Whether `id` waits for `ancestor`, directly or through others. */
  isAncestor(ancestor: string, id: string): boolean {
    this.#ancestors ??= this.#findAncestors()
    const index = this.#known(ancestor)
    return (this.#ancestors[this.#known(id)]![index >>> 5]! & (1 << (index & 31))) !== 0
  }

  /** Every stage after all that it needs; among stages that are free at once, the order of the document. */
  topologicalOrder(): readonly string[] {
    return this.#ordered().map((index) => this.ids[index]!)
  }

  /** Stages by the number of steps that have to come before them: each level can run at once. */
  levels(): readonly (readonly string[])[] {
    const levelOf = new Array<number>(this.size).fill(0)
    for (const index of this.#ordered())
      for (const need of this.#needs[index]!) levelOf[index] = Math.max(levelOf[index]!, levelOf[need]! + 1)
    const levels: string[][] = []
    for (const [index, level] of levelOf.entries()) {
      while (levels.length <= level) levels.push([])
      levels[level]!.push(this.ids[index]!)
    }
    return levels
  }

  /** The stages that are not done and wait for nothing that is not done, in the order of the document. */
  readyNodes(done: ReadonlySet<string>): readonly string[] {
    return this.ids.filter(
      (id, index) => !done.has(id) && this.#needs[index]!.every((need) => done.has(this.ids[need]!)),
    )
  }

  /** The chain of stages that takes longest, given how long each takes; a stage without a duration takes none. */
  criticalPath(durationsMs: ReadonlyMap<string, number>): CriticalPath {
    if (this.size === 0) return { path: [], totalMs: 0 }
    const endsAtMs = new Array<number>(this.size).fill(0)
    const before = new Array<number>(this.size).fill(-1)
    let last = -1
    for (const index of this.#ordered()) {
      let latest = -1
      for (const need of this.#needs[index]!) if (latest < 0 || endsAtMs[need]! > endsAtMs[latest]!) latest = need
      before[index] = latest
      endsAtMs[index] = (latest < 0 ? 0 : endsAtMs[latest]!) + (durationsMs.get(this.ids[index]!) ?? 0)
      if (last < 0 || endsAtMs[index]! > endsAtMs[last]!) last = index
    }
    const path: string[] = []
    for (let index = last; index >= 0; index = before[index]!) path.push(this.ids[index]!)
    return { path: path.reverse(), totalMs: endsAtMs[last]! }
  }

  summary(): GraphSummary {
    const levels = this.levels()
    return {
      stages: this.size,
      edges: this.#needs.reduce((sum, needs) => sum + needs.length, 0),
      depth: levels.length,
      width: levels.reduce((widest, level) => Math.max(widest, level.length), 0),
      roots: this.ids.filter((_, index) => this.#needs[index]!.length === 0),
      leaves: this.ids.filter((_, index) => this.#dependents[index]!.length === 0),
    }
  }

  clone(): WorkflowGraph {
    return createGraph(this.stages())
  }

  stages(): readonly GraphStage[] {
    return this.ids.map((id) => ({ id, needs: this.dependencies(id) }))
  }

  toJSON(): { stages: readonly GraphStage[] } {
    return { stages: this.stages() }
  }

  serialise(): string {
    return JSON.stringify(this)
  }

  #known(id: string): number {
    const index = this.#indexes.get(id)
    if (index === undefined) throw new Error(`the graph has no stage ${JSON.stringify(id)}`)
    return index
  }

  #ordered(): readonly number[] {
    this.#order ??= this.#sort()
    return this.#order
  }

  #sort(): readonly number[] {
    const waitsFor = this.#needs.map((needs) => needs.length)
    const order: number[] = []
    for (const [index, count] of waitsFor.entries()) if (count === 0) order.push(index)
    // The list is its own queue: what it makes free is appended while it is walked.
    for (let next = 0; next < order.length; next++)
      for (const dependent of this.#dependents[order[next]!]!) if (--waitsFor[dependent]! === 0) order.push(dependent)
    if (order.length < this.size) throw new Error('the graph has a cycle; validateGraph says where')
    return order
  }

  /** One bit for each pair: a dense graph of 1,000 stages takes 125 KB, and 32 words for each edge. */
  #findAncestors(): readonly Uint32Array[] {
    const words = (this.size + 31) >>> 5
    const ancestors = this.ids.map(() => new Uint32Array(words))
    for (const index of this.#ordered())
      for (const need of this.#needs[index]!) {
        const own = ancestors[index]!
        const inherited = ancestors[need]!
        for (let word = 0; word < words; word++) own[word]! |= inherited[word]!
        own[need >>> 5]! |= 1 << (need & 31)
      }
    return ancestors
  }
}

/** Builds the graph of stages that `validateGraph` found nothing wrong with; an unknown need is a bug and throws. */
export function createGraph(stages: readonly GraphStage[]): WorkflowGraph {
  const ids: string[] = new Array(stages.length)
  const needs: number[][] = new Array(stages.length)
  const dependents: number[][] = new Array(stages.length)
  const indexes = new Map<string, number>()
  for (let index = 0; index < stages.length; index++) {
    ids[index] = stages[index]!.id
    needs[index] = []
    dependents[index] = []
    indexes.set(ids[index]!, index)
  }
  for (let index = 0; index < stages.length; index++)
    for (const need of stages[index]!.needs) {
      const at = indexes.get(need)
      if (at === undefined)
        throw new Error(`stage ${JSON.stringify(ids[index])} needs ${JSON.stringify(need)}, which does not exist`)
      needs[index]!.push(at)
      dependents[at]!.push(index)
    }
  return new WorkflowGraph(ids, needs, dependents, indexes)
}

/** Reads what `serialise` wrote; throws where the text is not a valid graph. */
export function deserialiseGraph(text: string): WorkflowGraph {
  const { stages } = serialised.parse(JSON.parse(text))
  const [fault] = validateGraph(stages)
  if (fault) throw new Error(`not a graph: ${fault.message}`)
  return createGraph(stages)
}

/** Everything that is wrong with the stages, each problem once, with a pointer into the workflow's document. */
export function validateGraph(stages: readonly GraphStage[]): readonly Fault[] {
  if (stages.length > MAX_STAGES)
    return [{ pointer: '/stages', message: `a workflow has at most 1,000 stages; this one has ${stages.length}` }]
  const faults: Fault[] = []
  const known = new Map<string, readonly string[]>()
  for (const { id, needs } of stages) {
    if (known.has(id)) faults.push({ pointer: pointerTo(id), message: `two stages are called ${JSON.stringify(id)}` })
    known.set(id, needs)
  }
  for (const stage of stages) faults.push(...needFaults(stage, known))
  for (const cycle of findCycles(stages)) {
    const [first, second] = cycle as [string, string]
    const at = known.get(first)!.indexOf(second)
    const spelled = [...cycle, first].join(' → ')
    faults.push({
      pointer: `${pointerTo(first)}/needs/${at}`,
      message: `the stages need each other in a cycle: ${spelled}`,
    })
  }
  return faults
}

function needFaults(stage: GraphStage, known: ReadonlyMap<string, unknown>): readonly Fault[] {
  const faults: Fault[] = []
  const seen = new Set<string>()
  for (const [at, need] of stage.needs.entries()) {
    const pointer = `${pointerTo(stage.id)}/needs/${at}`
    if (seen.has(need)) faults.push({ pointer, message: `${JSON.stringify(need)} is needed twice` })
    else if (need === stage.id) faults.push({ pointer, message: 'a stage cannot need itself' })
    else if (!known.has(need)) faults.push({ pointer, message: `there is no stage called ${JSON.stringify(need)}` })
    seen.add(need)
  }
  return faults
}

const pointerTo = (id: string): string => `/stages/${id.replaceAll('~', '~0').replaceAll('/', '~1')}`
