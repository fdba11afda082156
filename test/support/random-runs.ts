// Random workflows of every feature, and what a world that knows no mercy does to their runs.
import fc from 'fast-check'
import type { ExecutionCommand } from '../../src/domain/execution/commands.ts'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import type { StageError } from '../../src/domain/execution/events.ts'
import {
  type Execution,
  hasEnded,
  isOpen,
  type OpenExecution,
  type StageState,
} from '../../src/domain/execution/state.ts'
import { NOTHING } from '../../src/domain/pool/amounts.ts'
import { Rejected } from '../../src/domain/rejected.ts'
import type {
  CompiledStage,
  CompiledStep,
  CompiledWorkflow,
  FailureRule,
} from '../../src/domain/workflow/definition.ts'
import type { Decided } from './as-recorded.ts'
import { later, stage, start, workflow } from './executions.ts'

const work = ['shell', 'shell', 'shell'] as const
export const kinds = [...work, 'wait', 'approval', 'signal', 'condition', 'broken', 'doubtful'] as const
export const matrices = ['none', 'none', 'none', 'list', 'narrow', 'patient', 'dynamic', 'empty', 'bad'] as const

const specs = fc.record({
  needs: fc.array(fc.nat(20), { maxLength: 3 }),
  trigger: fc.constantFrom(
    ...(['all-success', 'all-success', 'all-success', 'all-done', 'any-success', 'any-failure'] as const),
  ),
  maxAttempts: fc.integer({ min: 1, max: 3 }),
  kind: fc.constantFrom(...kinds),
  matrix: fc.constantFrom(...matrices),
  fallback: fc.constantFrom('none', 'none', 'shell', 'broken'),
  compensate: fc.constantFrom('none', 'shell', 'shell', 'wait', 'approval', 'signal', 'broken'),
  continueOnError: fc.integer({ min: 0, max: 5 }),
  pooled: fc.integer({ min: 0, max: 3 }),
})
export type Spec = typeof specs extends fc.Arbitrary<infer T> ? T : never

const workOf: { readonly [kind: string]: Partial<CompiledStage> } = {
  wait: { uses: 'wait', with: { duration: '1m' } },
  approval: { uses: 'approval', with: { required: 2, timeout: '1h' } },
  signal: { uses: 'signal', with: { name: 'go' } },
  condition: { when: 'input.yes' },
  doubtful: { when: 'input.nowhere' },
  broken: { with: { run: 'true', env: { X: '${{ input.nowhere }}' } } },
}
const axesOf: { readonly [matrix: string]: CompiledStage['matrix'] } = {
  list: { axes: { os: ['a', 'b', 'c'] }, failFast: true },
  narrow: { axes: { os: ['a', 'b', 'c', 'd'] }, failFast: true, maxParallel: 2 },
  patient: { axes: { os: ['a', 'b', 'c'] }, failFast: false, maxParallel: 1 },
  dynamic: { axes: { os: '${{ input.list }}' }, failFast: false },
  empty: { axes: { os: [] }, failFast: true },
  bad: { axes: { os: '${{ input.yes }}' }, failFast: true },
}

/** What waits holds nothing. */
const matchesWork = (kind: string): boolean => !['wait', 'approval', 'signal'].includes(kind)
const amounts = { ...NOTHING, slots: 1 }
const backoff = { type: 'fixed', initialMs: 1_000, maxMs: 1_000, jitter: 0.5 } as const

export function stageOfSpec(spec: Spec, prefix: string, index: number): CompiledStage {
  const needs = index === 0 ? [] : [...new Set(spec.needs.map((n) => `${prefix}${n % index}`))]
  const retry = { maxAttempts: spec.maxAttempts, backoff }
  const step = (kind: string): CompiledStep => {
    const { uses, queue, with: given, timeoutMs } = stage('x', workOf[kind])
    return { uses, queue, with: given, timeoutMs, retry }
  }
  const matrix = axesOf[spec.matrix]
  return stage(`${prefix}${index}`, {
    ...{ needs, trigger: spec.trigger, retry },
    ...workOf[spec.kind],
    ...(matrix === undefined ? {} : { matrix }),
    ...(spec.fallback === 'none' ? {} : { fallback: step(spec.fallback) }),
    ...(spec.compensate === 'none' ? {} : { compensate: step(spec.compensate) }),
    ...(spec.continueOnError === 0 ? { continueOnError: true } : {}),
    ...(spec.pooled === 0 && matchesWork(spec.kind) ? { resources: { pool: 'p', amounts } } : {}),
  })
}

/** The code of an error says what is to follow from it. */
const actions = ['ask', 'skip', 'fallback', 'continue', 'fail-fast', 'compensate'] as const
export const rules: readonly FailureRule[] = [
  ...actions.map((action) => ({ name: action, match: { codes: [`PLAN_${action}`] }, recover: { action } })),
  { name: 'retry', match: { codes: ['PLAN_retry'] }, recover: { action: 'retry', maxAttempts: 5, queue: 'big' } },
]

export const definitions: fc.Arbitrary<CompiledWorkflow> = fc
  .record({
    stages: fc.array(specs, { minLength: 1, maxLength: 6, size: 'max' }),
    onFailure: fc.constantFrom(...(['fail-fast', 'continue', 'continue', 'continue', 'compensate'] as const)),
    timeoutMs: fc.constantFrom(20_000, 3_600_000),
    grouped: fc.integer({ min: 0, max: 5 }),
  })
  .map(({ stages, grouped, ...rest }) =>
    workflow(
      stages.map((spec, index) => stageOfSpec(spec, 's', index)),
      {
        ...rest,
        failures: rules,
        ...(grouped === 0 ? { concurrency: { group: 'g', limit: 1, onConflict: 'queue' } } : {}),
      },
    ),
  )

/** What the world may do next, right or wrong: the choice is made again on the state of the moment. */
export type Move = { readonly kind: number; readonly pick: number; readonly stale: boolean; readonly specs: Spec[] }
export const moves: fc.Arbitrary<Move[]> = fc.array(
  fc.record({
    kind: fc.nat(999),
    pick: fc.nat(1_000),
    stale: fc.boolean(),
    specs: fc.array(specs, { minLength: 1, maxLength: 4 }),
  }),
  { minLength: 3, maxLength: 60, size: 'max' },
)

type Target = {
  readonly id: string
  readonly now: StageState
  readonly attempt: number
  readonly at: string
  readonly move: Move
}

const planned = ['ask', 'ask', 'skip', 'retry', 'fallback', 'continue'].map((action) => `PLAN_${action}`)
const codes = ['X', 'X', 'X', 'X', 'X', ...planned]
const rare = ['PLAN_fail-fast', 'PLAN_compensate']

function errorOf({ pick }: Move): StageError {
  const code = pick % 25 === 0 ? rare[pick % 2]! : codes[pick % codes.length]!
  return { code, message: 'x', retryable: pick % 4 > 0 }
}

function reportOf({ id, now, attempt, at, move }: Target, state: OpenExecution): ExecutionCommand {
  const { pick, stale, kind } = move
  const worker = now.status === 'running' && !(stale && pick % 11 === 0) ? now.worker : `w${pick % 2}`
  const about = { stage: id, attempt, worker, at }
  if (kind < 180) return { type: 'StartStage', ...about }
  if (kind < 350) return { type: 'CompleteStage', ...about, output: { n: pick } }
  if (kind < 400 && state.stages.length < 40) {
    const stages = move.specs.map((spec, index) => stageOfSpec(spec, `${id}.g`, index))
    return { type: 'CompleteStage', ...about, output: { n: pick }, stages }
  }
  if (kind < 520) return { type: 'FailStage', ...about, error: errorOf(move) }
  if (kind < 560) return { type: 'LoseStage', ...about, error: { code: 'WORKER_LOST', message: 'x' } }
  if (kind < 600) return { type: 'StopStage', ...about }
  return { type: 'CheckpointStage', ...about, sequence: 1 + (pick % 3), state: { done: pick } }
}

function controlOf({ id, attempt, at, move }: Target): ExecutionCommand {
  const { kind, pick } = move
  const why = { reason: 'because', at }
  if (kind < 690) return { type: 'RetryStage', by: 'timer', stage: id, attempt, at }
  if (kind < 740)
    return { type: 'RetryStage', by: 'person', stage: id, at, ...(pick % 2 ? { with: { run: 'false' } } : {}) }
  if (kind < 780) return { type: 'WakeStage', stage: id, attempt, at }
  if (kind < 860) {
    const type = pick % 4 === 0 ? 'RejectStage' : 'ApproveStage'
    return { type, stage: id, by: `user:u${pick % 3}`, groups: [], at }
  }
  if (kind < 890) return { type: 'ReceiveSignal', id: String(pick % 30), name: 'go', payload: { n: pick }, at }
  if (kind < 910) return { type: 'SkipStage', stage: id, ...why }
  if (kind < 930) return { type: 'AbandonStage', stage: id, ...why }
  if (kind < 955) return { type: 'PauseExecution', ...why }
  if (kind < 985) return { type: 'ResumeExecution', ...why }
  return kind < 990 ? { type: 'CancelExecution', ...why } : { type: 'TimeOutExecution', at }
}

/** What the allocator says of a stage that asks a pool, and of a run that waits for its group. */
function allocationOf({ id, now, attempt, at, move }: Target, state: OpenExecution): ExecutionCommand | undefined {
  const { pick, stale } = move
  const grant = { pool: stale && pick % 17 === 0 ? 'other' : 'p', fence: pick }
  if (state.status === 'queued') {
    if (pick % 3 === 0) return { type: 'DeferExecution', blockers: [{ executionId: 'x' }], at }
    return { type: 'AdmitExecution', grant, at }
  }
  if (now.status !== 'waiting' || now.waits.for !== 'pool' || pick % 4 === 0) return undefined
  const about = { stage: id, attempt, at }
  if (pick % 9 === 1) return { type: 'DeferStage', ...about, reason: pick % 2 ? 'capacity' : 'turn', blockers: [] }
  const error = { code: 'POOL_TOO_SMALL', message: 'x', retryable: false }
  return pick % 9 === 2 ? { type: 'RefuseStage', ...about, error } : { type: 'AdmitStage', ...about, grant }
}

function commandFor(move: Move, state: OpenExecution, at: string): ExecutionCommand {
  const live = (s: StageState) => !hasEnded(s) && s.status !== 'blocked' && s.status !== 'expanded'
  const going = state.stages.flatMap((s, index) => (live(s) ? [index] : []))
  const any = going.length === 0 || move.pick % 8 === 0
  const index = any ? move.pick % state.stages.length : going[move.pick % going.length]!
  const now = state.stages[index]!
  const attempt = ('attempt' in now ? now.attempt : 1) + (move.stale && move.pick % 13 === 0 ? 1 : 0)
  const target = { id: state.run.definition.stages[index]!.id, now, attempt, at, move }
  return allocationOf(target, state) ?? (move.kind < 630 ? reportOf(target, state) : controlOf(target))
}

export type Step = Decided & {
  readonly command: ExecutionCommand
  readonly before: Execution
  readonly after: Execution
}

export function decided(command: ExecutionCommand, before: Execution): Step {
  let events: Decided['events'] = []
  try {
    events = executionDecider.decide(command, before)
  } catch (error) {
    if (!(error instanceof Rejected)) throw error
  }
  return { command, before, events, at: command.at, after: events.reduce(executionDecider.evolve, before) }
}

/** Plays moves on a new run until it has ended. */
export function play(definition: CompiledWorkflow, chosen: readonly Move[]): Step[] {
  const input = { yes: chosen.length % 3 > 0, list: ['x', 'y'].slice(chosen.length % 2) }
  const steps = [decided(start(definition, { input }), executionDecider.initialState)]
  let atMs = 0
  for (const move of chosen) {
    const state = steps.at(-1)!.after
    if (!isOpen(state)) break
    atMs += move.pick % 2_000
    steps.push(decided(commandFor(move, state, later(atMs)), state))
  }
  return steps
}

type World = 'kind' | 'unkind' | 'late'

/** What a healthy world could do next about one stage; people answer, time passes, workers complete. */
function helpful(
  now: StageState,
  stageId: string,
  turn: number,
  at: string,
  world: World,
): ExecutionCommand | undefined {
  const about = { stage: stageId, at }
  switch (now.status) {
    case 'scheduled':
    case 'running': {
      const worker = now.status === 'running' ? now.worker : 'w'
      const attempt = { ...about, attempt: now.attempt, worker }
      const error = { code: turn % 8 === 3 ? 'PLAN_ask' : 'X', message: 'x' }
      if (world !== 'kind' && turn % 4 === 3) return { type: 'FailStage', ...attempt, error }
      return { type: 'CompleteStage', ...attempt, output: null }
    }
    case 'retrying':
      return { type: 'RetryStage', by: 'timer', ...about, attempt: now.attempt }
    case 'waiting': {
      const { waits, attempt } = now
      if (waits.for === 'timer') return { type: 'WakeStage', ...about, attempt }
      if (waits.for === 'signal') return { type: 'ReceiveSignal', id: `h${turn}`, name: waits.name, payload: null, at }
      if (waits.for === 'pool') return { type: 'AdmitStage', ...about, attempt, grant: { pool: 'p', fence: turn } }
      if (waits.for === 'approval') return { type: 'ApproveStage', ...about, by: `user:h${turn}`, groups: [] }
      if (turn % 3 === 0) return { type: 'RetryStage', by: 'person', ...about }
      return { type: turn % 3 === 1 ? 'AbandonStage' : 'SkipStage', ...about, reason: 'on with it' }
    }
    default:
      return undefined
  }
}

/**
 * Brings a run to its end by doing what is to be done, and throws where nothing helps or there is no end to it. In an
 * unkind world every fourth attempt fails; in a late one the run's time is over, too.
 */
export function finish(from: Execution, world: World): Step[] {
  const steps: Step[] = world !== 'late' ? [] : [decided({ type: 'TimeOutExecution', at: later(1e8) }, from)]
  let state = steps[0]?.after ?? from
  for (let turn = 0; isOpen(state); turn++) {
    if (turn > 600) throw new Error('the run does not come to its end')
    const at = later(1e9 + turn * 1e6)
    const { stages, run }: OpenExecution = state
    const next: ExecutionCommand[] = state.status === 'paused' ? [{ type: 'ResumeExecution', reason: 'on', at }] : []
    if (state.status === 'queued') next.push({ type: 'AdmitExecution', grant: { pool: 'g', fence: turn }, at })
    for (const [index, now] of stages.entries()) {
      const command = helpful(now, run.definition.stages[index]!.id, turn, at, world)
      if (command) next.push(command)
    }
    const step = next
      .values()
      .map((command) => decided(command, state))
      .find(({ events }) => events.length > 0)
    if (!step)
      throw new Error(`stuck: ${stages.map((s, i) => `${run.definition.stages[i]!.id} ${s.status}`).join(', ')}`)
    steps.push(step)
    state = step.after
  }
  return steps
}
