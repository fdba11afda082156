// Stages that wait for one another without need, as far as the definition shows, and what their standing side by side saves.
import { stagesNamedBy } from '../../domain/execution/expression.ts'
import { createGraph } from '../../domain/execution/graph.ts'
import { expressionsIn } from '../../domain/execution/template.ts'
import type { CompiledStage, CompiledWorkflow } from '../../domain/workflow/definition.ts'
import type { FindingOf } from './findings.ts'
import { isForOrder } from './handlers.ts'
import { type RecordedRun, spanOf } from './recorded-run.ts'
import { p50, spelled } from './statistics.ts'

/** The median of fewer runs moves with every run. */
const MIN_SPANS = 20
/** A change of the workflow is worth this part of its critical path, and a second of somebody's time. */
const WORTH_SHARE = 0.05
const WORTH_MS = 1_000
/** Each edge that is tried costs a walk over the graph, and more advice than this is none. */
const MAX_TRIED = 10

type Stages = ReadonlyMap<string, CompiledStage>
type Edge = { readonly need: CompiledStage; readonly stage: CompiledStage }

/** The edges on the chain of stages that takes longest which could go; what saves most first. */
export function findParallel(
  definition: CompiledWorkflow,
  runs: readonly RecordedRun[],
): FindingOf<'parallelisable'>[] {
  const stages: Stages = new Map(definition.stages.map((stage) => [stage.id, stage]))
  const spans = spansOf(definition, runs)
  const medianMs = new Map([...spans].map(([id, all]) => [id, p50(all)]))
  const { path, totalMs: pathMs } = createGraph(definition.stages).criticalPath(medianMs)
  const measured = (id: string): boolean => (spans.get(id)?.length ?? 0) >= MIN_SPANS
  /** Two stages side by side save no more than the shorter one takes. */
  const mostMs = ({ need, stage }: Edge): number => Math.min(medianMs.get(need.id)!, medianMs.get(stage.id)!)
  const worthMs = Math.max(WORTH_MS, WORTH_SHARE * pathMs)
  return path
    .slice(1)
    .map((id, at): Edge => ({ need: stages.get(path[at]!)!, stage: stages.get(id)! }))
    .filter((edge) => measured(edge.need.id) && measured(edge.stage.id) && mostMs(edge) >= worthMs)
    .filter((edge) => couldGo(edge, definition.stages))
    .toSorted((a, b) => mostMs(b) - mostMs(a))
    .slice(0, MAX_TRIED)
    .flatMap((edge) => {
      const sideBySideMs = createGraph(sideBySide(edge, definition.stages)).criticalPath(medianMs).totalMs
      const savedMs = pathMs - sideBySideMs
      const seen = Math.min(spans.get(edge.need.id)!.length, spans.get(edge.stage.id)!.length)
      return savedMs < worthMs ? [] : [finding(edge, definition.stages, { pathMs, sideBySideMs, savedMs, runs: seen })]
    })
    .toSorted((a, b) => b.evidence.savedMs - a.evidence.savedMs)
}

/** How long each stage took from ready to ended, in the runs that completed. */
function spansOf({ stages }: CompiledWorkflow, runs: readonly RecordedRun[]): ReadonlyMap<string, readonly number[]> {
  const completed = runs.filter(({ status }) => status === 'completed')
  return new Map(
    stages.map(({ id }) => {
      const spans = completed.flatMap((run) => spanOf(run.stages.get(id)) ?? [])
      return [id, spans.filter(({ ran }) => ran).map(({ readyMs, endMs }) => endMs - readyMs)]
    }),
  )
}

/** Other triggers are about how the need ended; they, and stages that are there for the order, are left alone. */
function couldGo({ need, stage }: Edge, stages: readonly CompiledStage[]): boolean {
  if (isForOrder(need) || isForOrder(stage) || reads(stage, need.id)) return false
  if (need.trigger !== 'all-success' || stage.trigger !== 'all-success') return false
  const after = stages.filter(({ needs }) => needs.includes(stage.id))
  return after.every(({ trigger }) => trigger === 'all-success' || trigger === 'all-done')
}

/** `stages` in an expression other than as `stages.build` or `stages['build']` may stand for any stage. */
const ANY_STAGE = /\bstages\b(?!\s*(?:\.\s*\w+\b(?!\s*\()|\[\s*(?:'[^']*'|"[^"]*")\s*\]))/

/** A script is not looked into: `${{ }}` has no meaning there. */
function reads({ uses, when, with: given }: CompiledStage, id: string): boolean {
  const { run, ...rest } = given
  const values = uses === 'shell' || run === undefined ? rest : given
  const texts = expressionsIn(values, '').map(({ text }) => text)
  if (when !== undefined) texts.push(when)
  return texts.some((text) => ANY_STAGE.test(text) || stagesNamedBy(text).includes(id))
}

/** The graph in which the stage starts with its need, and what comes after the stage still waits for both. */
const sideBySide = ({ need, stage }: Edge, stages: readonly CompiledStage[]) =>
  stages.map(({ id, needs }) => {
    if (id === stage.id) return { id, needs: [...new Set([...needs.filter((one) => one !== need.id), ...need.needs])] }
    return { id, needs: needs.includes(stage.id) ? [...new Set([...needs, need.id])] : needs }
  })

type Times = Pick<FindingOf<'parallelisable'>['evidence'], 'pathMs' | 'sideBySideMs' | 'savedMs' | 'runs'>

function finding({ need, stage }: Edge, stages: readonly CompiledStage[], times: Times): FindingOf<'parallelisable'> {
  const sameDirectory = need.uses === 'shell' && stage.uses === 'shell'
  const after = stages.filter(({ needs }) => needs.includes(stage.id)).map(({ id }) => id)
  const instead = need.needs.length === 0 ? 'nothing' : need.needs.join(', ')
  const files = sameDirectory ? [`files that ${need.id} leaves in the working directory of the run`] : []
  const reasons = [`the success of ${need.id}`, ...files, 'anything else that it does'].join(', nor ')
  return {
    kind: 'parallelisable',
    stage: stage.id,
    severity: 'info',
    message:
      `${stage.id} waits for ${need.id} but reads nothing that it answers. Side by side they could shorten the ` +
      `critical path from ${spelled(times.pathMs)} to ${spelled(times.sideBySideMs)}.`,
    evidence: { need: need.id, ...times, sameDirectory },
    suggestion: `If ${stage.id} needs neither ${reasons}, let it need ${instead} in place of ${need.id}${after.length > 0 ? `, and let ${after.join(', ')} need both` : ''}.`,
  }
}
