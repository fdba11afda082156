// How a stage begins: its values resolved, it is given to a worker, waits for somebody, or becomes the stages of its matrix.
import type { z } from 'zod'
import { boundedText } from '../bounded-text.ts'
import type { Json } from '../message.ts'
import { resolvedInputs } from '../workflow/builtin-inputs.ts'
import type { CompiledStage } from '../workflow/definition.ts'
import type { Draft } from './draft.ts'
import type { ExecutionEventOf, Grant, Wait } from './events.ts'
import { queueOf } from './evolve-stage.ts'
import { ExpressionFailed, type ExpressionScope, evaluateCondition } from './expression.ts'
import { MAX_STAGES } from './graph.ts'
import { combinationsOf } from './matrix.ts'
import { type OpenExecution, type StageState, stageOf } from './state.ts'
import { resolveValues } from './template.ts'

type Input = { readonly [key: string]: Json }
type Approval = Omit<ExecutionEventOf<'ApprovalRequested'>['data'], 'stage' | 'attempt'>

/** Begins the next attempt of a stage that is due, unless something has come between. */
export function begin(draft: Draft, index: number): void {
  const now = draft.now(index)
  if (now.status !== 'blocked' && now.status !== 'retrying') return
  if (!draft.mayStart(index) || !hasRoom(draft, index)) return
  // What does not fit into this decision begins with the next one; an attempt that was announced is not put off.
  if (now.status === 'blocked' && !draft.hasRoom()) return
  // One that failed before its first attempt is looked at as if it had never begun.
  if (now.status === 'blocked' || now.attempt === 1) first(draft, index)
  else again(draft, index, now.attempt)
}

function hasRoom(draft: Draft, index: number): boolean {
  const { parent } = draft.stage(index)
  return parent === undefined || roomIn(draft, draft.state.run.graph.indexOf(parent)) > 0
}

/** How many more stages of a group may run: of a matrix only so many do at once. Who waits for a retry or a person does not. */
export function roomIn(draft: Draft, parent: number): number {
  const { maxParallel = Infinity } = draft.stage(parent).matrix ?? {}
  const group = draft.now(parent)
  if (maxParallel === Infinity || group.status !== 'expanded') return Infinity
  const runs = (state: StageState) =>
    state.status === 'scheduled' ||
    state.status === 'running' ||
    state.status === 'expanded' ||
    (state.status === 'waiting' && state.waits.for !== 'person')
  return maxParallel - group.children.filter((child) => runs(draft.now(child))).length
}

function first(draft: Draft, index: number): void {
  const stage = draft.stage(index)
  try {
    if (stage.when === undefined || evaluateCondition(stage.when, scopeOf(draft.state, stage))) {
      again(draft, index, 1)
      return
    }
  } catch (error) {
    failedExpression(draft, index, 0, error)
    return
  }
  draft.emit({ type: 'StageSkipped', data: { stage: stage.id, reason: 'condition', detail: stage.when } })
  draft.ended.push(index)
}

/** Where a value has no answer, the stage fails before the attempt is there. */
function again(draft: Draft, index: number, number: number): void {
  const { matrix } = draft.stage(index)
  try {
    if (matrix) expand(draft, index, matrix)
    else attempt(draft, index, number)
  } catch (error) {
    failedExpression(draft, index, number - 1, error)
  }
}

function expand(draft: Draft, index: number, matrix: NonNullable<CompiledStage['matrix']>): void {
  const { id: parent } = draft.stage(index)
  const axes = resolveValues(matrix.axes as { [axis: string]: Json }, scopeOf(draft.state, draft.stage(index)))
  const stages = combinationsOf(parent, axes)
  assertFits(draft, parent, stages)
  draft.emit({ type: 'StagesGenerated', data: { parent, attempt: 0, output: null, stages } })
  draft.expanded.push(index)
}

function assertFits(draft: Draft, parent: string, stages: readonly { readonly id: string }[]): void {
  const fault = generatedFault(draft, stages)
  if (fault !== undefined) throw new ExpressionFailed(parent, fault)
}

/** What keeps a run from having more stages, or undefined. */
export function generatedFault({ state }: Draft, stages: readonly { readonly id: string }[]): string | undefined {
  const total = state.stages.length + stages.length
  if (total > MAX_STAGES) return `the run would have ${total} stages, the limit is ${MAX_STAGES}`
  const known = stages.find(({ id }) => state.run.graph.indexOf(id) !== -1)
  return known && `the run has a stage ${JSON.stringify(known.id)} already`
}

/** The pool has granted what the attempt asked for. */
export function admit(draft: Draft, index: number, number: number, grant: Grant): void {
  try {
    attempt(draft, index, number, grant)
  } catch (error) {
    failedExpression(draft, index, number - 1, error)
  }
}

/** An attempt that needs a part of a pool asks for it first; what its input will be must be known by then. */
function attempt(draft: Draft, index: number, number: number, grant?: Grant): void {
  const now = draft.now(index)
  const stage = draft.stage(index)
  const work = 'fallback' in now && now.fallback ? (stage.fallback ?? stage) : stage
  const input: Input = resolveValues(work.with, scopeOf(draft.state, stage))
  if (input !== work.with) assertBounded(input)
  const { waitsFor, approval } = waitOf(work.uses, input, draft.at)
  // What waits holds nothing, be it a fallback or what undoes a stage that does.
  if (stage.resources && grant === undefined && waitsFor === undefined) {
    const { workflow, priority } = draft.state.run
    const about = { stage: stage.id, attempt: number, ...stage.resources, workflow, priority }
    draft.emit({ type: 'StageDeferred', data: { ...about, reason: 'asked', blockers: [] } })
    draft.takeAttempt({})
    return
  }
  const checkpoint = 'checkpoint' in now ? now.checkpoint : undefined
  draft.emit({
    type: 'StageScheduled',
    data: {
      stage: stage.id,
      attempt: number,
      queue: queueOf(now) ?? work.queue,
      handler: work.uses,
      input,
      timeoutMs: work.timeoutMs,
      priority: draft.state.run.priority,
      ...(grant === undefined ? {} : { grant }),
      ...(waitsFor === undefined ? {} : { waitsFor }),
      ...(checkpoint === undefined ? {} : { resume: checkpoint.state }),
    },
  })
  draft.takeAttempt(input)
  if (approval) draft.emit({ type: 'ApprovalRequested', data: { stage: stage.id, attempt: number, ...approval } })
  if (waitsFor?.for === 'signal') takeSignal(draft, index, number, waitsFor.name)
}

/** A signal that came before anything waited for it is not lost. */
function takeSignal(draft: Draft, index: number, attempt: number, name: string): void {
  const signal = draft.state.signals.find((one) => one.name === name)
  if (signal === undefined) return
  draft.emit({ type: 'StageCompleted', data: { stage: draft.stage(index).id, attempt, output: signal.payload } })
  draft.ended.push(index)
}

/** Values of earlier stages can add up; an event has a limit, and this leaves room for what goes into the log with it. */
const MAX_INPUT_LENGTH = 262_144

function assertBounded(input: Input): void {
  const { length } = JSON.stringify(input)
  if (length <= MAX_INPUT_LENGTH) return
  const reason = `its values make an input of ${length} characters, the limit is ${MAX_INPUT_LENGTH}`
  throw new ExpressionFailed(Object.keys(input).join(', '), reason)
}

class InputInvalid extends Error {}

function failedExpression(draft: Draft, index: number, attempt: number, error: unknown): void {
  const code = error instanceof InputInvalid ? 'INPUT_INVALID' : 'EXPRESSION_FAILED'
  if (!(error instanceof ExpressionFailed || error instanceof InputInvalid)) throw error
  draft.failed.push({ index, attempt, error: { code, message: error.message, retryable: false } })
}

/** @throws InputInvalid where the values, resolved, are not what the handler takes */
function waitOf(handler: string, input: Input, at: string): { waitsFor?: Wait; approval?: Approval } {
  switch (handler) {
    case 'wait': {
      const { duration = 0, until = Date.parse(at) + duration } = parsed(resolvedInputs.wait, input)
      return { waitsFor: { for: 'timer', until: new Date(until).toISOString() } }
    }
    case 'signal': {
      const { name, timeout } = parsed(resolvedInputs.signal, input)
      return { waitsFor: { for: 'signal', name, ...untilOf(timeout, at) } }
    }
    case 'approval': {
      const { approvers, required, selfApproval, message, timeout } = parsed(resolvedInputs.approval, input)
      const until = untilOf(timeout, at)
      const said = message === undefined ? {} : { message }
      const approval = { approvers, required, selfApproval, ...said, ...until }
      return { waitsFor: { for: 'approval', ...until }, approval }
    }
    default:
      return {}
  }
}

/** Says where the fault is, never what stands there: it may be a secret. */
function parsed<S extends z.ZodType>(schema: S, input: Input): z.output<S> {
  const { data, error } = schema.safeParse(input)
  if (error === undefined) return data as z.output<S>
  const faults = error.issues.map(({ path, message }) => `${['with', ...path].join('.')}: ${message}`)
  throw new InputInvalid(boundedText(faults.join('; '), 4_096))
}

const untilOf = (timeoutMs: number | undefined, at: string): { until?: string } =>
  timeoutMs === undefined ? {} : { until: new Date(Date.parse(at) + timeoutMs).toISOString() }

/** `stages` is made only when an expression asks for it: most stages have none, and it costs as much as the graph is large. */
export function scopeOf(
  { run, stages }: Pick<OpenExecution, 'run' | 'stages'>,
  { values = {} }: Pick<CompiledStage, 'values'> = {},
): ExpressionScope {
  const { executionId: id, workflow, version, namespace, input, nominalAt = null } = run
  return {
    input,
    execution: { id, workflow, version, namespace, nominalAt },
    matrix: values,
    get stages() {
      const states = stages.map((state, index) => {
        const output = state.status === 'completed' ? state.output : null
        const error = 'error' in state && state.error !== undefined ? state.error : null
        return [
          stageOf(run, index).id,
          { status: state.status === 'expanded' ? 'running' : state.status, output, error },
        ]
      })
      return Object.fromEntries(states)
    },
  }
}
