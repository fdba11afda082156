// The way through each run that decided how long it took, and how long that took.
import { createGraph } from '../../domain/execution/graph.ts'
import type { CompiledWorkflow } from '../../domain/workflow/definition.ts'
import { type RecordedRun, type Span, spanOf } from './recorded-run.ts'
import { p50, p95, rounded, sum } from './statistics.ts'

export type RecordedPath = {
  readonly path: readonly string[]
  /** How many of the completed runs took it; the times are of these. */
  readonly runs: number
  readonly completedRuns: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly stages: readonly {
    readonly stage: string
    readonly p50Ms: number
    readonly p95Ms: number
    /** Of all the time that those runs took, the part that went by in this stage; 0 to 1. */
    readonly shareOfRun: number
  }[]
}

/** `partsMs` are the times between the ends of the stages of `path`, so they add up to `totalMs`. */
export type RunPath = {
  readonly path: readonly string[]
  readonly partsMs: readonly number[]
  readonly totalMs: number
}

type Ended = Span & { readonly id: string }

/** The critical path that most completed runs took; undefined where none completed: one that failed ends early. */
export function recordedPath(definition: CompiledWorkflow, runs: readonly RecordedRun[]): RecordedPath | undefined {
  const completed = runs.filter(({ status }) => status === 'completed')
  const pathOf = createPathFinder(definition)
  const taken = Map.groupBy(
    completed.map((run) => ({ run, way: pathOf(run) })),
    ({ way }) => way.path.join(' '),
  )
  const usual = [...taken.values()].reduce((best, one) => (isMoreUsual(one, best) ? one : best), [])
  const [first] = usual
  if (!first || first.way.path.length === 0) return undefined
  const totals = usual.map(({ way }) => way.totalMs)
  const runMs = sum(usual.map(({ run }) => run.finishedMs - run.startedMs))
  const stages = first.way.path.map((stage, at) => {
    const parts = usual.map(({ way }) => way.partsMs[at]!)
    return { stage, p50Ms: p50(parts), p95Ms: p95(parts), shareOfRun: runMs === 0 ? 0 : rounded(sum(parts) / runMs) }
  })
  const { path } = first.way
  return { path, runs: usual.length, completedRuns: completed.length, p50Ms: p50(totals), p95Ms: p95(totals), stages }
}

/** Of two ways that as many runs took, the longer one is the one to look at. */
function isMoreUsual(one: readonly { way: RunPath }[], other: readonly { way: RunPath }[]): boolean {
  const totalMs = (ways: readonly { way: RunPath }[]): number => sum(ways.map(({ way }) => way.totalMs))
  return one.length > other.length || (one.length === other.length && totalMs(one) > totalMs(other))
}

/** Of a run: from the stage that ended last, back through the need that ended last before each became ready. */
export function createPathFinder({ stages }: CompiledWorkflow): (run: RecordedRun) => RunPath {
  const needsOf = new Map(stages.map(({ id, needs }) => [id, needs]))
  const order = createGraph(stages).topologicalOrder()
  const placeOf = new Map(order.map((id, place) => [id, place]))
  // What one append ended has one time; then what became ready later is later, and else what comes later in the graph.
  const isLater = (a: Ended, b: Ended): boolean =>
    (a.endMs - b.endMs || a.readyMs - b.readyMs || placeOf.get(a.id)! - placeOf.get(b.id)!) > 0

  return (run) => {
    const ended = new Map(
      [...run.stages].flatMap(([id, stage]): [string, Ended][] => {
        const span = spanOf(stage)
        return span ? [[id, { id, ...span }]] : []
      }),
    )
    const latest = (ids: readonly string[], beforeMs = Infinity): Ended | undefined => {
      let last: Ended | undefined
      for (const id of ids) {
        const one = ended.get(id)
        if (one && one.endMs <= beforeMs && (!last || isLater(one, last))) last = one
      }
      return last
    }
    const way: Ended[] = []
    for (let next = latest(order); next; ) {
      const { id, readyMs, ran } = next
      if (ran) way.push(next)
      const needs = needsOf.get(id)!
      // A stage with `any-success` does not wait for all its needs; that none had ended can only be clocks that differ.
      next = latest(needs, readyMs) ?? latest(needs)
    }
    way.reverse()
    const partsMs = way.map(({ readyMs, endMs }, at) => endMs - (way[at - 1]?.endMs ?? readyMs))
    return { path: way.map(({ id }) => id), partsMs, totalMs: sum(partsMs) }
  }
}
