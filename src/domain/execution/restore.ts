import type { Json } from '../message.ts'
import { type Fault, Rejected } from '../rejected.ts'
import type { CompiledStage, CompiledWorkflow } from '../workflow/definition.ts'
import type { Restored } from './commands.ts'
import type { ExecutionEvent, ExecutionEventOf } from './events.ts'
import { givenFaults } from './given-input.ts'
import { createGraph } from './graph.ts'
import { hasSucceeded, type OpenExecution, type StageState, stageOf } from './state.ts'
import { undoneIn } from './undone.ts'

type Generated = ExecutionEventOf<'StagesGenerated'>

/** What the new run has otherwise than the one it goes on from. */
type StageOverride = { readonly with?: { readonly [key: string]: Json }; readonly output?: Json }
export type Overrides = { readonly [stage: string]: StageOverride }

/** Where a run is restored from: its state there, or just before it ended; and the groups that had been generated, in order. */
export type Origin = { readonly state: OpenExecution; readonly generated: readonly Generated[] }

/** The place to restore from: before a revision, or where a stage had saved, or was about to begin. */
export type Place = { readonly revision?: number; readonly stage?: string; readonly checkpoint?: number }

/**
 * The revision that a place stands for, given all events of the stream: that of the stage's last checkpoint, or of the one
 * with the number, or the last before the stage was first scheduled. The end of the stream where nothing is said.
 * @throws Rejected RESTORE_IMPOSSIBLE
 */
export function revisionAt(events: readonly ExecutionEvent[], { revision, stage, checkpoint }: Place): number {
  const last = events.length - 1
  if (revision !== undefined && revision > last)
    throw impossible('/revision', `the run has no revision ${revision}; its last is ${last}`)
  if (stage === undefined) return revision ?? last
  const upTo = events.slice(0, (revision ?? last) + 1)
  const saved = upTo.findLastIndex(
    ({ type, data }) =>
      type === 'StageCheckpointed' &&
      data.stage === stage &&
      (checkpoint === undefined || data.sequence === checkpoint),
  )
  if (saved >= 0) return saved
  if (checkpoint !== undefined) throw impossible('/checkpoint', `${stage} has no checkpoint ${checkpoint} there`)
  const begins = upTo.findIndex((event) => event.type === 'StageScheduled' && event.data.stage === stage)
  if (begins > 0) return begins - 1
  throw impossible('/stage', `${JSON.stringify(stage)} had not begun there`)
}

/**
 * The definition that the new run has, and what it knows from the start: what completed stays completed, what had been
 * passed over on purpose stays so, what had saved how far it was goes on from there; all else begins again.
 * @throws Rejected RESTORE_IMPOSSIBLE, with every override that cannot be
 */
export function restore(
  origin: Origin,
  base: CompiledWorkflow | undefined,
  overrides: Overrides,
): { readonly definition: CompiledWorkflow; readonly restored: readonly Restored[] } {
  const definition = withOverrides(base ?? definitionOf(origin.state), overrides)
  const known = new Map(definition.stages.map((stage) => [stage.id, stage]))
  const done = doneIn(origin.state)
  const groups = groupsToKeep(origin, known, overrides, done)
  for (const { data } of groups) for (const { id } of data.stages) known.set(id, stageNamed(origin.state, id))
  const faults = overrideFaults(definition, known, overrides, done)
  if (faults.length > 0) throw new Rejected('RESTORE_IMPOSSIBLE', 'the run cannot be restored so', faults)
  return {
    definition,
    restored: [
      ...groups,
      ...restoredStages(known, overrides, done),
      ...origin.state.signals.map((data): Restored => ({ type: 'SignalReceived', data })),
    ],
  }
}

/** How far a stage had come, as far as it counts; undefined where there is nothing to go on from. */
type Done = (id: string) => StageState | undefined

function doneIn(state: OpenExecution): Done & { readonly undone: ReturnType<typeof undoneIn> } {
  const undone = undoneIn(state)
  const done: Done = (id) => (undone(id) === 'no' ? state.stages[state.run.graph.indexOf(id)] : undefined)
  return Object.assign(done, { undone })
}

/** The definition the run began with, and what a person has changed in it since. */
function definitionOf({ run }: OpenExecution): CompiledWorkflow {
  const own = ({ parent, compensates }: CompiledStage) => parent === undefined && compensates === undefined
  return { ...run.definition, stages: run.definition.stages.filter(own) }
}

function withOverrides(definition: CompiledWorkflow, overrides: Overrides): CompiledWorkflow {
  const stages = definition.stages.map((stage) => {
    const changes = Object.hasOwn(overrides, stage.id) ? overrides[stage.id]?.with : undefined
    return changes === undefined ? stage : { ...stage, with: { ...stage.with, ...changes } }
  })
  return { ...definition, stages }
}

function overrideFaults(
  { stages }: CompiledWorkflow,
  known: ReadonlyMap<string, CompiledStage>,
  overrides: Overrides,
  done: Done,
): Fault[] {
  const graph = createGraph(stages)
  return Object.entries(overrides).flatMap(([id, { with: changes, output }]): Fault[] => {
    const pointer = `/overrides/stages/${id.replaceAll('~', '~0').replaceAll('/', '~1')}`
    const stage = known.get(id)
    if (stage === undefined) return [{ pointer, message: `there is no stage ${JSON.stringify(id)} in the new run` }]
    if (changes === undefined) return []
    const refused = (message: string) => [{ pointer: `${pointer}/with`, message }]
    if (output !== undefined) return refused(`${id} does not run, since its output is given`)
    const before = done(id)
    if (before !== undefined && hasSucceeded(before))
      return refused(`${id} had ended there and does not run again; restore from an earlier revision`)
    if (stage.parent !== undefined) return refused(`${id} was generated; change ${stage.parent}`)
    return givenFaults(stage, stage.with, graph).map((fault) => ({ ...fault, pointer: pointer + fault.pointer }))
  })
}

/** Groups of stages whose parent had not succeeded, and has not changed in what it generates. */
function groupsToKeep(
  { state, generated }: Origin,
  known: ReadonlyMap<string, CompiledStage>,
  overrides: Overrides,
  done: ReturnType<typeof doneIn>,
): Generated[] {
  const kept = new Set<string>()
  return generated.filter(({ data }) => {
    const before = stageNamed(state, data.parent)
    const now = kept.has(data.parent) ? before : known.get(data.parent)
    const same = now !== undefined && JSON.stringify(now.matrix) === JSON.stringify(before.matrix)
    const given = Object.hasOwn(overrides, data.parent) ? overrides[data.parent] : undefined
    // What its work generated it may generate otherwise when it is given something else.
    const other = given?.output !== undefined || (before.matrix === undefined && given?.with !== undefined)
    const past = done(data.parent)
    if (!same || other || done.undone(data.parent) === 'again' || (past && hasSucceeded(past))) return false
    for (const { id } of data.stages) kept.add(id)
    return true
  })
}

const stageNamed = ({ run }: OpenExecution, id: string): CompiledStage => stageOf(run, run.graph.indexOf(id))

function restoredStages(known: ReadonlyMap<string, CompiledStage>, overrides: Overrides, done: Done): Restored[] {
  const restored: Restored[] = []
  const add = (data: ExecutionEventOf<'StageRestored'>['data']) => restored.push({ type: 'StageRestored', data })
  for (const id of known.keys()) {
    const state = done(id)
    const attempt = state !== undefined && 'attempt' in state ? state.attempt : 0
    const output = Object.hasOwn(overrides, id) ? overrides[id]?.output : undefined
    if (output !== undefined) add({ stage: id, as: 'completed', attempt, output })
    else if (state === undefined) continue
    else if (state.status === 'completed') add({ stage: id, as: 'completed', attempt, output: state.output })
    else if (state.status === 'skipped' && hasSucceeded(state)) {
      const { reason, detail } = state
      add({ stage: id, as: 'skipped', reason, detail })
    } else if ('checkpoint' in state && state.checkpoint !== undefined)
      add({ stage: id, as: 'resumable', checkpoint: state.checkpoint.state })
  }
  return restored
}

const impossible = (pointer: string, message: string): Rejected =>
  new Rejected('RESTORE_IMPOSSIBLE', message, [{ pointer, message }])
