// A definition run against what a past run recorded: the same decisions, at the recorded pace, and nothing happens outside.
import type { Json } from '../message.ts'
import type { CompiledWorkflow } from '../workflow/definition.ts'
import type { ExecutionCommand } from './commands.ts'
import { executionDecider } from './decide.ts'
import type { ExecutionEvent, ExecutionEventOf } from './events.ts'
import type { RecordedAttempt, Recording } from './recording.ts'
import { type Execution, hasEnded, isOpen, nominalTimeOf, stageOf } from './state.ts'

type SimulatedStage = {
  readonly stage: string
  readonly status: string
  readonly attempts: number
  /** Milliseconds after the start of the run. */
  readonly startedMs?: number
  readonly finishedMs?: number
  /** Nothing like it was recorded: it was taken to succeed, or somebody to agree, at once. */
  readonly assumed: boolean
}

export type Simulation = {
  readonly status: 'completed' | 'failed' | 'cancelled' | 'running'
  readonly durationMs: number
  readonly retries: number
  readonly stages: readonly SimulatedStage[]
  /** The stages that the run waited for, from first to last: each is the need that ended last of the one after it. */
  readonly path: readonly string[]
}

type Planned = { readonly atMs: number; readonly order: number; readonly command: ExecutionCommand }
type Seen = { attempts: number; startedMs: number | undefined; finishedMs: number | undefined; assumed: boolean }

/** A definition that goes round for ever is cut off; it then answers `running`. */
const MAX_COMMANDS = 50_000
const WORKER = 'simulation'

export function simulate(definition: CompiledWorkflow, input: Json, recording: Recording): Simulation {
  return new Simulator(definition, recording).run(input)
}

class Simulator {
  readonly #definition: CompiledWorkflow
  readonly #recording: Recording
  readonly #startMs: number
  readonly #planned: Planned[] = []
  readonly #seen = new Map<string, Seen>()
  readonly #used = new Map<string, number>()
  #state: Execution = executionDecider.initialState
  #nowMs: number
  #order = 0
  #retries = 0

  constructor(definition: CompiledWorkflow, recording: Recording) {
    this.#definition = definition
    this.#recording = recording
    this.#startMs = Date.parse(recording.startedAt)
    this.#nowMs = this.#startMs
  }

  run(input: Json): Simulation {
    this.#decide(this.#start(input))
    for (const { afterMs, name, payload } of this.#recording.signals) {
      const id = `signal-${afterMs}-${name}`
      this.#plan(this.#startMs + afterMs, (at) => ({ type: 'ReceiveSignal', id, name, payload, at }))
    }
    for (let taken = 0; isOpen(this.#state) && taken < MAX_COMMANDS; taken++) {
      const next = this.#planned.shift()
      if (!next) break
      this.#nowMs = next.atMs
      this.#decide(next.command)
    }
    return this.#result()
  }

  #start(input: Json): ExecutionCommand {
    const { nominalAt } = this.#recording
    return {
      ...{ type: 'StartExecution', at: this.#at(), executionId: 'simulation', namespace: 'simulation', input },
      ...{ workflow: this.#definition.name, version: 0, definition: this.#definition, labels: {}, priority: 0 },
      ...{ trigger: { kind: 'api', by: 'user:simulation', ...nominalTimeOf({ nominalAt }) }, fingerprint: '' },
    } as ExecutionCommand
  }

  #at(ms = this.#nowMs): string {
    return new Date(ms).toISOString()
  }

  #plan(atMs: number, command: (at: string) => ExecutionCommand): void {
    const order = this.#order++
    let place = this.#planned.length
    while (place > 0 && this.#planned[place - 1]!.atMs > atMs) place--
    this.#planned.splice(place, 0, { atMs, order, command: command(this.#at(atMs)) })
  }

  /** What was planned can have been overtaken: a command that is refused is one that nobody would have given. */
  #decide(command: ExecutionCommand): void {
    let events: readonly ExecutionEvent[]
    try {
      events = executionDecider.decide(command, this.#state)
    } catch (error) {
      if (error instanceof Error && error.name === 'Rejected') return
      throw error
    }
    for (const event of events) {
      this.#state = executionDecider.evolve(this.#state, event)
      this.#follow(event)
    }
  }

  #follow(event: ExecutionEvent): void {
    switch (event.type) {
      case 'ExecutionStarted':
        if (event.data.concurrency)
          this.#plan(this.#nowMs, (at) => ({ type: 'AdmitExecution', grant: { pool: '', fence: 0 }, at }))
        else this.#plan(Date.parse(event.data.timeoutAt), (at) => ({ type: 'TimeOutExecution', at }))
        return
      case 'StageScheduled':
        this.#scheduled(event)
        return
      case 'StageDeferred': {
        const { stage, attempt, pool } = event.data
        this.#plan(this.#nowMs, (at) => ({ type: 'AdmitStage', stage, attempt, grant: { pool, fence: 0 }, at }))
        return
      }
      case 'ExecutionAdmitted':
        this.#plan(Date.parse(event.data.timeoutAt), (at) => ({ type: 'TimeOutExecution', at }))
        return
      case 'StageStarted':
        this.#of(event.data.stage).startedMs ??= this.#nowMs
        return
      case 'StageRetried': {
        const { stage, attempt, dueAt } = event.data
        this.#retries++
        this.#plan(Date.parse(dueAt), (at) => ({ type: 'RetryStage', by: 'timer', stage, attempt, at }))
        return
      }
      case 'StageFailed':
        this.#failed(event)
        return
      case 'ExecutionCancellationRequested':
        this.#stopAll()
        return
      case 'StageCompleted':
      case 'StageSkipped':
      case 'StageCancelled':
        this.#of(event.data.stage).finishedMs = this.#nowMs
        return
      default:
        return
    }
  }

  #of(stage: string): Seen {
    const known = this.#seen.get(stage)
    if (known) return known
    const seen: Seen = { attempts: 0, startedMs: undefined, finishedMs: undefined, assumed: false }
    this.#seen.set(stage, seen)
    return seen
  }

  #failed({ data: { stage, attempt, recovery, stops = [] } }: ExecutionEventOf<'StageFailed'>): void {
    this.#of(stage).finishedMs = this.#nowMs
    for (const other of stops) this.#stop(other)
    if (recovery !== 'ask') return
    this.#of(stage).assumed = true
    const reason = `attempt ${attempt} failed and nobody is there to ask`
    this.#plan(this.#nowMs, (at) => ({ type: 'AbandonStage', stage, reason, at }))
  }

  #stop(stage: string): void {
    const { attempts: attempt } = this.#of(stage)
    this.#plan(this.#nowMs, (at) => ({ type: 'StopStage', stage, attempt, worker: WORKER, at }))
  }

  #stopAll(): void {
    if (this.#state.status === 'none') return
    const { run, stages } = this.#state
    for (const [index, state] of stages.entries()) if (state.status === 'running') this.#stop(stageOf(run, index).id)
  }

  #scheduled({ data }: ExecutionEventOf<'StageScheduled'>): void {
    const { stage, attempt, waitsFor } = data
    this.#of(stage).attempts = attempt
    if (waitsFor?.until !== undefined)
      this.#plan(Date.parse(waitsFor.until), (at) => ({ type: 'WakeStage', stage, attempt, at }))
    if (waitsFor?.for === 'approval') this.#answers(stage)
    else if (waitsFor?.for === 'signal') this.#signal(stage, waitsFor.name)
    else if (waitsFor === undefined) this.#work(stage, attempt, data.timeoutMs)
  }

  #answers(stage: string): void {
    const recorded = this.#recording.answers.get(stage)
    for (const { afterMs, grants, by } of recorded ?? [])
      this.#plan(this.#nowMs + afterMs, (at) => {
        const type = grants ? 'ApproveStage' : 'RejectStage'
        return { type, stage, by, groups: this.#approvers(stage), at }
      })
    if (recorded) return
    this.#of(stage).assumed = true
    for (let person = 1; person <= 100; person++)
      this.#plan(this.#nowMs, (at) => ({
        ...{ type: 'ApproveStage', stage, by: `user:simulated-${person}`, at },
        groups: this.#approvers(stage),
      }))
  }

  /** Whoever may approve in the definition at hand is taken to be in the same groups. */
  #approvers(stage: string): readonly string[] {
    if (this.#state.status === 'none') return []
    const state = this.#state.stages[this.#state.run.graph.indexOf(stage)]
    return state?.status === 'waiting' && state.waits.for === 'approval' ? state.waits.approvers : []
  }

  #signal(stage: string, name: string): void {
    if (this.#recording.signals.some((signal) => signal.name === name)) return
    this.#of(stage).assumed = true
    const id = `assumed-${stage}`
    this.#plan(this.#nowMs, (at) => ({ type: 'ReceiveSignal', id, name, payload: null, at }))
  }

  #work(stage: string, attempt: number, timeoutMs: number): void {
    const { waitMs, durationMs, outcome } = this.#next(stage)
    const startsMs = this.#nowMs + waitMs
    const about = { stage, attempt, worker: WORKER }
    this.#plan(startsMs, (at) => ({ type: 'StartStage', ...about, at }))
    if (durationMs > timeoutMs && outcome.kind !== 'lost') {
      const error = { code: 'TIMED_OUT', message: 'the attempt took longer than its timeout' }
      this.#plan(startsMs + timeoutMs, (at) => ({ type: 'FailStage', ...about, error, at }))
      return
    }
    this.#plan(startsMs + durationMs, (at) => {
      if (outcome.kind === 'completed') {
        const { output, stages = [] } = outcome
        return { type: 'CompleteStage', ...about, output, stages, at }
      }
      return { type: outcome.kind === 'lost' ? 'LoseStage' : 'FailStage', ...about, error: outcome.error, at }
    })
  }

  /** What the stage did next in the recording. Where that ends, it is taken to succeed, as long as its last attempt took. */
  #next(stage: string): RecordedAttempt {
    const recorded = this.#recording.attempts.get(stage) ?? []
    const used = this.#used.get(stage) ?? 0
    this.#used.set(stage, used + 1)
    const found = recorded[used]
    if (found) return found
    this.#of(stage).assumed = true
    const last = recorded.findLast(({ outcome }) => outcome.kind === 'completed') ?? recorded.at(-1)
    const output = last?.outcome.kind === 'completed' ? last.outcome.output : null
    return { waitMs: last?.waitMs ?? 0, durationMs: last?.durationMs ?? 0, outcome: { kind: 'completed', output } }
  }

  #result(): Simulation {
    if (this.#state.status === 'none') throw new Error('a run that was started is there')
    const { run, stages, status } = this.#state
    const simulated = stages.map((state, index): SimulatedStage => {
      const stage = stageOf(run, index).id
      const { attempts = 0, startedMs, finishedMs, assumed = false } = this.#seen.get(stage) ?? {}
      return {
        ...{ stage, status: state.status, attempts, assumed },
        ...(startedMs === undefined ? {} : { startedMs: startedMs - this.#startMs }),
        ...(finishedMs === undefined || !hasEnded(state) ? {} : { finishedMs: finishedMs - this.#startMs }),
      }
    })
    const durationMs = this.#nowMs - this.#startMs
    const ended = status === 'completed' || status === 'failed' || status === 'cancelled' ? status : 'running'
    return { status: ended, durationMs, retries: this.#retries, stages: simulated, path: this.#path(simulated) }
  }

  #path(simulated: readonly SimulatedStage[]): string[] {
    if (this.#state.status === 'none') return []
    const { graph } = this.#state.run
    const latest = (indexes: readonly number[]): number =>
      indexes.reduce((last, index) => {
        const ends = simulated[index]?.finishedMs ?? -1
        return ends > (simulated[last]?.finishedMs ?? -1) ? index : last
      }, -1)
    const path: string[] = []
    let at = latest(simulated.map((_, index) => index))
    for (; at >= 0; at = latest(graph.needsOf(at))) path.push(simulated[at]!.stage)
    return path.reverse()
  }
}
