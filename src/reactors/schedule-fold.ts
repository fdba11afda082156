import type { ScheduleRef } from '../commands/scheduled-runs.ts'
import type { ExecutionEvent } from '../domain/execution/events.ts'
import type { DomainEvent, RecordedEvent } from '../domain/message.ts'
import { parseStream } from '../domain/message.ts'
import type { AskedSpec, CompiledSchedules } from '../domain/schedule/commands.ts'
import { agrees } from '../domain/schedule/decide.ts'
import { type RunOutcome, type ScheduleEvent, scheduleStream } from '../domain/schedule/events.ts'
import { evolve, initialState, type KnownSchedule, type OpenRun } from '../domain/schedule/state.ts'
import type { WorkflowEvent } from '../domain/workflow/events.ts'

/** A run that a schedule has open: by which event it is to start or to end, and what the log says of it. */
export type ScheduledRun = {
  readonly stream: string
  causationId: string
  started: boolean
  ended?: { readonly causationId: string; readonly outcome: RunOutcome }
}

type Followed = { readonly state: KnownSchedule; readonly causationId: string }

/** The schedules that a workflow's newest version has. */
type Wanted = {
  readonly namespace: string
  readonly workflow: string
  readonly schedules: CompiledSchedules
  readonly causationId: string
  readonly retired: boolean
}

export type Dump = {
  readonly schedules: readonly (readonly [string, Followed])[]
  readonly runs: readonly (readonly [string, ScheduledRun])[]
  readonly wanted: readonly (readonly [string, Wanted])[]
}

/** What is to be done to make a workflow's schedules those of its definition. */
type Difference =
  | { readonly does: 'define'; readonly ref: ScheduleRef; readonly spec: AskedSpec }
  | { readonly does: 'remove'; readonly ref: ScheduleRef; readonly workflow: string; readonly reason: string }

/** What the log says of schedules, of the runs that they have open, and of the schedules that workflows define. */
export class ScheduleFold {
  readonly #schedules = new Map<string, Followed>()
  readonly #runs = new Map<string, ScheduledRun>()
  readonly #wanted = new Map<string, Wanted>()
  /** Streams of the schedules that a workflow defined, by the stream of that. */
  readonly #owned = new Map<string, Set<string>>()
  /** What has changed and may want something done: streams of schedules and of workflows, ids of runs. */
  readonly dirty = { schedules: new Set<string>(), runs: new Set<string>(), workflows: new Set<string>() }

  apply(event: RecordedEvent): void {
    const { category, id } = parseStream(event.stream)
    if (category === 'schedule') this.#takeSchedule(event as RecordedEvent<ScheduleEvent>)
    else if (category === 'workflow') this.#takeWorkflow(event as RecordedEvent<WorkflowEvent>)
    else this.#takeExecution(id, event as RecordedEvent<ExecutionEvent>)
  }

  schedule(stream: string): KnownSchedule | undefined {
    return this.#schedules.get(stream)?.state
  }

  refOf(stream: string, causationId = this.#schedules.get(stream)!.causationId): ScheduleRef {
    const { namespace, name } = this.#schedules.get(stream)!.state
    return { namespace, name, causationId }
  }

  /** Undefined once nothing can be done about it any more. */
  run(executionId: string): { readonly run: ScheduledRun; readonly open: OpenRun } | undefined {
    const run = this.#runs.get(executionId)
    const open = run && this.schedule(run.stream)?.open.find((one) => one.executionId === executionId)
    return run && open && { run, open }
  }

  differences(workflowStream: string): readonly Difference[] {
    const wanted = this.#wanted.get(workflowStream)
    if (!wanted) return []
    const { namespace, workflow, schedules, causationId, retired } = wanted
    const named = new Map(Object.entries(schedules).map(([key, spec]) => [`${workflow}.${key}`, spec]))
    const define = [...named].flatMap(([name, spec]): Difference[] => {
      const present = this.schedule(scheduleStream(namespace, name))
      if (present && present.status !== 'deleted' && agrees(spec, present.spec)) return []
      return [{ does: 'define', ref: { namespace, name, causationId }, spec }]
    })
    const reason = retired ? `the workflow ${workflow} was retired` : `the definition of ${workflow} has it no more`
    const remove = [...(this.#owned.get(workflowStream) ?? [])].flatMap((stream): Difference[] => {
      const { name } = this.schedule(stream)!
      return named.has(name) ? [] : [{ does: 'remove', ref: { namespace, name, causationId }, workflow, reason }]
    })
    return [...remove, ...define]
  }

  dump(): Dump {
    return { schedules: [...this.#schedules], runs: [...this.#runs], wanted: [...this.#wanted] }
  }

  /** Whether all of it had been done before the dump is not part of it, so everything is looked at again. */
  restore({ schedules, runs, wanted }: Dump): void {
    for (const [stream, followed] of schedules) this.#keep(stream, followed)
    for (const [id, run] of runs) {
      this.#runs.set(id, run)
      this.dirty.runs.add(id)
    }
    for (const [stream, workflow] of wanted) {
      this.#wanted.set(stream, workflow)
      this.dirty.workflows.add(stream)
    }
  }

  #takeSchedule(event: RecordedEvent<ScheduleEvent>): void {
    const { stream, id: causationId } = event
    const state = evolve(this.schedule(stream) ?? initialState, event) as KnownSchedule
    this.#keep(stream, { state, causationId })
    switch (event.type) {
      case 'ScheduleFired':
        this.#runs.set(event.data.executionId, { stream, causationId, started: false })
        this.dirty.runs.add(event.data.executionId)
        return
      case 'ScheduleQueued':
        for (const executionId of event.data.cancels ?? []) this.#ask(executionId, causationId)
        return
      case 'ScheduledRunEnded':
      case 'ScheduledRunRefused':
        this.#runs.delete(event.data.executionId)
        this.dirty.runs.delete(event.data.executionId)
        return
      default:
        return
    }
  }

  #ask(executionId: string, causationId: string): void {
    const run = this.#runs.get(executionId)
    if (!run) return
    run.causationId = causationId
    this.dirty.runs.add(executionId)
  }

  #keep(stream: string, followed: Followed): void {
    const { status, definedBy, namespace, open } = followed.state
    this.dirty.schedules.add(stream)
    if (definedBy !== undefined) this.#own(`workflow-${namespace}.${definedBy}`, stream, status !== 'deleted')
    if (status === 'deleted' && open.length === 0) this.#schedules.delete(stream)
    else this.#schedules.set(stream, followed)
  }

  #own(workflow: string, stream: string, isOwned: boolean): void {
    const owned = this.#owned.get(workflow) ?? new Set()
    if (isOwned) this.#owned.set(workflow, owned.add(stream))
    else owned.delete(stream)
    if (owned.size === 0) this.#owned.delete(workflow)
  }

  #takeWorkflow({ type, stream, id: causationId, data, metadata: { namespace } }: RecordedEvent<WorkflowEvent>): void {
    const schedules = type === 'WorkflowRetired' ? {} : (data.schedules ?? {})
    if (Object.keys(schedules).length === 0 && !this.#wanted.has(stream)) return
    const retired = type === 'WorkflowRetired'
    this.#wanted.set(stream, { namespace, workflow: data.name, schedules, causationId, retired })
    this.dirty.workflows.add(stream)
  }

  #takeExecution(id: string, event: RecordedEvent<ExecutionEvent>): void {
    const run = this.#runs.get(id)
    const outcome = run && outcomes[event.type]
    if (run && event.type === 'ExecutionStarted') run.started = true
    if (!run || outcome === undefined) return
    run.ended = { causationId: event.id, outcome }
    this.dirty.runs.add(id)
  }
}

const outcomes: { readonly [type: DomainEvent['type']]: RunOutcome } = {
  ExecutionCompleted: 'completed',
  ExecutionFailed: 'failed',
  ExecutionCancelled: 'cancelled',
}
