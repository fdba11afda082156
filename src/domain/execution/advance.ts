// What follows from a stage's end: which stages become ready, which never will, and when the run is over.
import type { Json } from '../message.ts'
import type { CompiledStage } from '../workflow/definition.ts'
import type { Draft } from './draft.ts'
import { ExpressionFailed } from './expression.ts'
import { cancelIdle, recover } from './recover.ts'
import { begin, roomIn, scopeOf } from './schedule.ts'
import { hasEnded, hasSucceeded, isStopped, type StageState } from './state.ts'
import { resolveValues } from './template.ts'

/** Works off what is to follow, and ends the run if nothing of it is open any more. */
export function settle(draft: Draft): void {
  do {
    while (!draft.isOver && step(draft));
  } while (!draft.isOver && (draft.state.open === 0 ? !end(draft) : sweep(draft)))
}

/** Begins what an earlier decision had no room for, and says whether there is any. */
function sweep(draft: Draft): boolean {
  const { status, stages } = draft.state
  if (draft.swept || status !== 'running') return false
  draft.swept = true
  stages.forEach((state, index) => {
    if (state.status === 'blocked' && state.pending === 0) judge(draft, index, state)
  })
  return draft.due.length > 0
}

/** One thing that follows; false when there is none left. A failure comes first, since it may end what else is due. */
function step(draft: Draft): boolean {
  const failure = draft.failed.pop()
  if (failure) {
    recover(draft, failure)
    return true
  }
  const due = draft.due.shift()
  if (due !== undefined) {
    begin(draft, due)
    return true
  }
  const ended = draft.ended.pop()
  if (ended !== undefined) {
    follow(draft, ended)
    return true
  }
  const expanded = draft.expanded.pop()
  if (expanded !== undefined) {
    beginChildren(draft, expanded)
    return true
  }
  const group = draft.groups.pop()
  if (group !== undefined) regroup(draft, group)
  return group !== undefined
}

/** Lets the stages that were generated begin; without any, the one that generated them has ended. */
function beginChildren(draft: Draft, parent: number): void {
  const group = draft.now(parent)
  if (group.status !== 'expanded') return
  for (const child of group.children) {
    const state = draft.now(child)
    if (state.status === 'blocked') judge(draft, child, state)
  }
  draft.groups.push(parent)
}

/** Begins every stage that may, and skips what never will: at the start, and where a run goes on after a pause. */
export function beginReady(draft: Draft): void {
  draft.state.stages.forEach((state, index) => {
    if (state.status === 'blocked') judge(draft, index, state)
    else if (state.status === 'retrying' && state.dueAt <= draft.at) draft.due.push(index)
  })
}

/** The beginning of a run, as far as it is not there already: of what was restored a whole group may have ended. */
export function beginRun(draft: Draft): void {
  beginReady(draft)
  for (const [index, stage] of draft.state.stages.entries()) if (stage.status === 'expanded') draft.groups.push(index)
  settle(draft)
}

function follow(draft: Draft, index: number): void {
  const { compensates } = draft.stage(index)
  draft.leave(index)
  if (draft.state.status === 'cancelling' && compensates === undefined) return
  for (const dependent of draft.state.run.graph.dependentsOf(index)) {
    const state = draft.now(dependent)
    if (state.status === 'blocked') judge(draft, dependent, state, index)
  }
}

function judge(draft: Draft, index: number, state: StageState & { status: 'blocked' }, ended?: number): void {
  const stage = draft.stage(index)
  const verdict = verdictOn(draft, stage, state.pending, ended)
  if (verdict === 'start') draft.due.push(index)
  else if (verdict !== 'wait') {
    draft.emit({ type: 'StageSkipped', data: { stage: stage.id, reason: 'trigger', detail: verdict.skip } })
    draft.ended.push(index)
  }
}

/**
 * Whether a blocked stage starts, waits on or never starts. With the need that has just `ended`, and others still open, only
 * that one is looked at, so that all the needs of a stage together cost no more than twice their number.
 */
function verdictOn(
  draft: Draft,
  stage: CompiledStage,
  pending: number,
  ended?: number,
): 'start' | 'wait' | { skip: string } {
  const { graph } = draft.state.run
  const needs = ended === undefined || pending === 0 ? graph.needsOf(graph.indexOf(stage.id)) : [ended]
  const find = (holds: (need: StageState) => boolean) => needs.find((need) => holds(draft.now(need)))
  const all = pending === 0
  switch (stage.trigger) {
    case 'all-success': {
      const bad = find((need) => hasEnded(need) && !hasSucceeded(need))
      if (bad !== undefined) return { skip: `${draft.stage(bad).id} is ${draft.now(bad).status}` }
      return all ? 'start' : 'wait'
    }
    case 'all-done':
      return all ? 'start' : 'wait'
    case 'any-success':
      if (find(hasSucceeded) !== undefined) return 'start'
      return all ? { skip: needs.length === 0 ? 'any-success over no needs' : 'no need succeeded' } : 'wait'
    case 'any-failure':
      if (find((need) => need.status === 'failed') !== undefined) return 'start'
      return all ? { skip: needs.length === 0 ? 'any-failure over no needs' : 'no need failed' } : 'wait'
  }
}

/** Lets stages of a group that were held back begin, or ends the stage that generated them with the last of them. */
function regroup(draft: Draft, index: number): void {
  const group = draft.now(index)
  if (group.status !== 'expanded') return
  if (group.open > 0) {
    const room = roomIn(draft, index)
    if (room !== Infinity) draft.due.push(...group.children.filter((child) => isHeldBack(draft, child)).slice(0, room))
    return
  }
  const { id } = draft.stage(index)
  const { attempt } = group
  const { state } = draft
  const isFailed = (child: number) => draft.now(child).status === 'failed'
  const isBroken = (child: number) => isFailed(child) || isStopped(draft.now(child))
  const broken = group.children.filter(isBroken)
  if (broken.length === 0) {
    draft.emit({ type: 'StageCompleted', data: { stage: id, attempt, output: outputOf(draft, index, group) } })
    draft.ended.push(index)
  } else if (broken.some(isFailed) || !endsWithOthers(draft, index)) {
    const failed = broken.some(isFailed) ? broken.filter(isFailed) : broken
    const message = `failed: ${failed.map((child) => draft.stage(child).id).join(', ')}`.slice(0, 4_096)
    draft.failed.push({ index, attempt, error: { code: 'STAGES_FAILED', message, retryable: false } })
  } else {
    const reason = state.status === 'cancelling' ? state.reason : 'another stage failed'
    draft.emit({ type: 'StageCancelled', data: { stage: id, attempt, reason } })
    draft.ended.push(index)
  }
}

/** Whether what was generated was stopped for a reason outside: the run is ending, or a sibling of the generating stage failed. */
function endsWithOthers(draft: Draft, index: number): boolean {
  if (draft.isEnding(index)) return true
  for (let { parent } = draft.stage(index); parent !== undefined; ) {
    const at = draft.state.run.graph.indexOf(parent)
    const group = draft.now(at)
    if (group.status === 'expanded' && group.children.some((child) => draft.now(child).status === 'failed')) return true
    parent = draft.stage(at).parent
  }
  return false
}

/** Stages of a matrix need nothing, so one that has not begun waits for room alone. */
function isHeldBack(draft: Draft, child: number): boolean {
  const state = draft.now(child)
  return state.status === 'blocked' || (state.status === 'retrying' && state.dueAt <= draft.at)
}

/** What a stage answers that generated others: of a matrix the combinations with their outputs, in order. */
function outputOf(draft: Draft, index: number, group: StageState & { status: 'expanded' }): Json {
  if (draft.stage(index).matrix === undefined) return group.output
  return group.children.map((child) => {
    const state = draft.now(child)
    return {
      matrix: (draft.stage(child).values ?? {}) as { [axis: string]: Json },
      output: state.status === 'completed' ? state.output : null,
    }
  })
}

/** Ends a run of which nothing is open; false where it first undoes what it did, which opens it again. */
function end(draft: Draft): boolean {
  const { state } = draft
  if (wantsCompensation(draft)) {
    if (state.status !== 'paused') compensate(draft)
    return state.status === 'paused'
  }
  const ids = (status: StageState['status']) =>
    state.stages.flatMap((stage, index) => (stage.status === status ? [draft.stage(index).id] : []))
  // A stage answers for those that it generated.
  const failed = ids('failed').filter((id) => draft.stage(state.run.graph.indexOf(id)).parent === undefined)
  if (state.status === 'cancelling' && state.outcome === 'cancelled')
    draft.emit({ type: 'ExecutionCancelled', data: { reason: state.reason } })
  else if (state.status === 'cancelling') {
    const error = { code: 'EXECUTION_TIMED_OUT', message: state.reason, stages: ids('cancelled') }
    draft.emit({ type: 'ExecutionFailed', data: { error } })
  } else if (failed.length > 0) {
    const error = { code: 'STAGE_FAILED', message: `failed: ${failed.join(', ')}`, stages: failed }
    draft.emit({ type: 'ExecutionFailed', data: { error } })
  } else complete(draft, ids('completed').length)
  return true
}

function complete(draft: Draft, stages: number): void {
  const { outputs } = draft.state.run.definition
  try {
    const output =
      outputs === undefined ? undefined : resolveValues(outputs as { [key: string]: Json }, scopeOf(draft.state))
    draft.emit({ type: 'ExecutionCompleted', data: { stages, ...(output === undefined ? {} : { output }) } })
  } catch (error) {
    if (!(error instanceof ExpressionFailed)) throw error
    const failure = { code: 'OUTPUT_FAILED', message: error.message, stages: [] }
    draft.emit({ type: 'ExecutionFailed', data: { error: failure } })
  }
}

function wantsCompensation({ state }: Draft): boolean {
  if (state.compensable.length === 0) return false
  if (state.status !== 'cancelling') return state.failing === 'compensate'
  return (
    state.outcome === 'failed' && (state.failing === 'compensate' || state.run.definition.onFailure === 'compensate')
  )
}

/** One after another, the latest first; one that fails does not keep the others from being undone. */
function compensate(draft: Draft): void {
  const first = draft.state.stages.length
  const stages: CompiledStage[] = []
  for (const index of [...draft.state.compensable].reverse()) {
    const { id, compensate: step, values, resources } = draft.stage(index)
    if (step === undefined) throw new Error(`${id} does not know how to be undone`)
    const needs = stages.slice(-1).map((before) => before.id)
    // What is undone is undone under the same conditions: a rollback does not meet another deployment either.
    const known = { ...(values === undefined ? {} : { values }), ...(resources === undefined ? {} : { resources }) }
    stages.push({
      id: unusedId(draft, `${id}.compensate`),
      ...step,
      needs,
      trigger: 'all-done',
      compensates: id,
      ...known,
    })
  }
  draft.emit({ type: 'CompensationStarted', data: { stages } })
  draft.due.push(first)
}

/** Who generates stages names them, and may have taken the name. */
function unusedId(draft: Draft, id: string): string {
  return draft.state.run.graph.indexOf(id) === -1 ? id : unusedId(draft, `${id}-`)
}

/** Asks an open run to end: what is idle ends now, what runs is asked to stop and ends with its report. */
export function requestEnd(draft: Draft, reason: string, outcome: 'cancelled' | 'failed'): void {
  draft.emit({ type: 'ExecutionCancellationRequested', data: { reason, outcome } })
  draft.state.stages.forEach((state, index) => {
    if (hasEnded(state) || state.status === 'running' || state.status === 'expanded') return
    if (!cancelIdle(draft, index, state, reason))
      draft.emit({ type: 'StageCancelled', data: { stage: draft.stage(index).id, attempt: 0, reason } })
    draft.ended.push(index)
  })
}
