import { childOf, type SubWorkflow } from '../commands/sub-workflows.ts'
import type { ExecutionEvent, ExecutionEventOf, ParentStage } from '../domain/execution/events.ts'
import { SUB_WORKFLOW } from '../domain/execution/work.ts'
import { parseStream, type RecordedEvent } from '../domain/message.ts'

/** An attempt that has not ended, and what the log says of it and its run. */
export type Call = SubWorkflow & {
  /** Where its `StageScheduled` is. */
  readonly revision: number
  /** Its run goes on when it is stopped. */
  readonly abandons: boolean
  started: boolean
  /** The event that asked it to stop. */
  stoppedBy?: string
  /** Where the stream of its run says how that ended. */
  endedAt?: number
}

/** A run that nobody waits for any more, and the event that made it so. */
export type Unwanted = { readonly called: SubWorkflow; readonly causationId: string }

export type Dump = {
  readonly calls: readonly Call[]
  readonly children: readonly (readonly [string, SubWorkflow])[]
  readonly unwanted: readonly (readonly [string, Unwanted])[]
}

/** What the log says of sub-workflows: the open attempts, the open runs that do their work, and which of those are to end. */
export class SubWorkflowCalls {
  /** By the parent's id, then by stage. */
  readonly #calls = new Map<string, Map<string, Call>>()
  readonly #children = new Map<string, SubWorkflow>()
  readonly #unwanted = new Map<string, Unwanted>()
  /** What has changed and may want something done, which is the calls, and the ids of runs to be cancelled. */
  readonly due = new Set<Call | string>()

  apply(event: RecordedEvent<ExecutionEvent>): void {
    const { id } = parseStream(event.stream)
    switch (event.type) {
      case 'ExecutionStarted':
        if (event.data.parent) this.#childStarted(id, event.data.parent, event)
        return
      case 'StageScheduled':
        if (event.data.handler === SUB_WORKFLOW) this.#scheduled(id, event.data, event)
        return
      case 'StageStarted':
        this.#started(id, event.data)
        return
      case 'StageFailed':
        this.#over(id, event.data.stage, event.id)
        this.#askToStop(id, event.data.stops, event.id)
        return
      case 'StageAbandoned':
        this.#askToStop(id, event.data.stops, event.id)
        return
      case 'StageCompleted':
      case 'StageCancelled':
      case 'StageSkipped':
        this.#over(id, event.data.stage, event.id)
        return
      case 'ExecutionCancellationRequested':
        this.#keep(id)
        this.#askToStop(id, this.#calls.get(id)?.keys(), event.id)
        return
      case 'ExecutionCompleted':
      case 'ExecutionFailed':
      case 'ExecutionCancelled':
        this.#childEnded(id, event.revision)
        return
      default:
        return
    }
  }

  unwanted(child: string): Unwanted | undefined {
    return this.#unwanted.get(child)
  }

  /** The attempt that is under way of a stage whose work is another run. */
  openAttempt(executionId: string, stage: string): number | undefined {
    return this.#calls.get(executionId)?.get(stage)?.attempt
  }

  dump(): Dump {
    const calls = [...this.#calls.values()].flatMap((stages) => [...stages.values()])
    return { calls, children: [...this.#children], unwanted: [...this.#unwanted] }
  }

  restore({ calls, children, unwanted }: Dump): void {
    for (const call of calls) this.#add(call)
    for (const [id, called] of children) this.#children.set(id, called)
    for (const [id, { called, causationId }] of unwanted) this.#discard(id, called, causationId)
  }

  #scheduled(
    executionId: string,
    { stage, attempt, input }: ExecutionEventOf<'StageScheduled'>['data'],
    { revision, metadata: { namespace } }: RecordedEvent<ExecutionEvent>,
  ): void {
    const abandons = input.onCancel === 'abandon'
    this.#add({ namespace, executionId, stage, attempt, revision, abandons, started: false })
  }

  #add(call: Call): void {
    const stages = this.#calls.get(call.executionId) ?? new Map<string, Call>()
    this.#calls.set(call.executionId, stages.set(call.stage, call))
    this.due.add(call)
  }

  #callOf({ executionId, stage, attempt }: Omit<SubWorkflow, 'namespace'>): Call | undefined {
    const call = this.#calls.get(executionId)?.get(stage)
    return call?.attempt === attempt ? call : undefined
  }

  #started(executionId: string, { stage, attempt }: { stage: string; attempt: number }): void {
    const call = this.#callOf({ executionId, stage, attempt })
    if (call) call.started = true
  }

  #askToStop(executionId: string, stages: Iterable<string> = [], causationId: string): void {
    for (const stage of stages) {
      const call = this.#calls.get(executionId)?.get(stage)
      if (!call || call.stoppedBy !== undefined) continue
      call.stoppedBy = causationId
      this.due.add(call)
    }
  }

  #over(executionId: string, stage: string, causationId: string): void {
    const stages = this.#calls.get(executionId)
    const call = stages?.get(stage)
    if (!stages || !call) return
    stages.delete(stage)
    if (stages.size === 0) this.#calls.delete(executionId)
    this.due.delete(call)
    const child = childOf(call)
    if (!call.abandons && this.#children.has(child)) this.#discard(child, call, causationId)
  }

  #childStarted(id: string, parent: ParentStage, { id: eventId, metadata }: RecordedEvent<ExecutionEvent>): void {
    // A run restored from the one that did the work is nobody's.
    if (childOf(parent) !== id) return
    const { executionId, stage, attempt } = parent
    const called = { namespace: metadata.namespace, executionId, stage, attempt }
    this.#children.set(id, called)
    // The attempt ended while its run was being started.
    if (!this.#callOf(called)) this.#discard(id, called, eventId)
  }

  #childEnded(id: string, revision: number): void {
    const called = this.#children.get(id)
    if (!called) return
    this.#children.delete(id)
    this.#keep(id)
    const call = this.#callOf(called)
    if (!call) return
    call.endedAt = revision
    this.due.add(call)
  }

  #discard(child: string, { namespace, executionId, stage, attempt }: SubWorkflow, causationId: string): void {
    this.#unwanted.set(child, { called: { namespace, executionId, stage, attempt }, causationId })
    this.due.add(child)
  }

  /** It has ended, or is about to. */
  #keep(child: string): void {
    this.#unwanted.delete(child)
    this.due.delete(child)
  }
}
