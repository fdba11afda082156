// What the log says is under way: attempts that have not ended, and timers that have neither fired nor been cleared.
import type { ExecutionEvent } from '../domain/execution/events.ts'
import { type Timer, timerChanges } from '../domain/execution/timers.ts'
import { isForWorkers, SUB_WORKFLOW } from '../domain/execution/work.ts'
import { parseStream, type RecordedEvent } from '../domain/message.ts'
import type { Holder } from '../domain/pool/events.ts'

export type OpenAttempt = {
  readonly executionId: string
  readonly stage: string
  readonly attempt: number
  /** Where in the stream of its run it was scheduled. */
  readonly revision: number
  readonly doneBy: 'worker' | 'sub-workflow' | 'waiting'
}

/** An attempt or a run that waits for a pool or a group, and the event that asked. */
export type OpenAsking = { readonly holder: Holder; readonly event: RecordedEvent<ExecutionEvent> }

/** As plain data, which can go from one thread to another. */
export type OpenWorkState = {
  readonly attempts: readonly OpenAttempt[]
  readonly timers: readonly Timer[]
  readonly asking: readonly OpenAsking[]
  /** Runs that their group has let begin. */
  readonly admitted: readonly Holder[]
}

/** A fold of executions, whichever and however many. */
export class OpenWork {
  readonly #attempts = new Map<string, Map<string, OpenAttempt>>()
  readonly #timers = new Map<string, Timer>()
  /** By the run's id, then by stage; a run that waits for its group has no stage. */
  readonly #asking = new Map<string, Map<string, OpenAsking>>()
  readonly #admitted = new Set<string>()

  apply(event: RecordedEvent<ExecutionEvent>): void {
    const { id } = parseStream(event.stream)
    for (const change of timerChanges(event))
      if ('set' in change) this.#timers.set(change.set.key, change.set)
      else this.#timers.delete(change.clear)
    switch (event.type) {
      case 'ExecutionStarted':
        if (event.data.concurrency) this.#ask(id, '', { holder: { executionId: id }, event })
        return
      case 'ExecutionAdmitted':
        this.#ask(id, '', undefined)
        this.#admitted.add(id)
        return
      case 'StageDeferred': {
        const { stage, attempt, reason } = event.data
        if (reason === 'asked') this.#ask(id, stage, { holder: { executionId: id, stage, attempt }, event })
        return
      }
      case 'StageScheduled':
        this.#ask(id, event.data.stage, undefined)
        this.#begin(id, event)
        return
      case 'StageCompleted':
      case 'StageFailed':
      case 'StageCancelled':
      case 'StageSkipped':
        this.#end(id, event.data.stage)
        return
      case 'StagesGenerated':
        this.#end(id, event.data.parent)
        return
      case 'ExecutionCompleted':
      case 'ExecutionFailed':
      case 'ExecutionCancelled':
        this.#attempts.delete(id)
        this.#asking.delete(id)
        this.#admitted.delete(id)
        return
      default:
        return
    }
  }

  state(): OpenWorkState {
    const attempts = [...this.#attempts.values()].flatMap((stages) => [...stages.values()])
    const asking = [...this.#asking.values()].flatMap((stages) => [...stages.values()])
    const admitted = [...this.#admitted].map((executionId) => ({ executionId }))
    return { attempts, timers: [...this.#timers.values()], asking, admitted }
  }

  #ask(executionId: string, stage: string, asking: OpenAsking | undefined): void {
    const stages = this.#asking.get(executionId) ?? new Map<string, OpenAsking>()
    if (asking) this.#asking.set(executionId, stages.set(stage, asking))
    else stages.delete(stage)
    if (stages.size === 0) this.#asking.delete(executionId)
  }

  #begin(executionId: string, { data, revision }: Extract<RecordedEvent<ExecutionEvent>, { type: 'StageScheduled' }>) {
    const { stage, attempt } = data
    const doneBy = isForWorkers(data) ? 'worker' : data.handler === SUB_WORKFLOW ? 'sub-workflow' : 'waiting'
    const stages = this.#attempts.get(executionId) ?? new Map<string, OpenAttempt>()
    this.#attempts.set(executionId, stages.set(stage, { executionId, stage, attempt, revision, doneBy }))
  }

  #end(executionId: string, stage: string): void {
    this.#ask(executionId, stage, undefined)
    const stages = this.#attempts.get(executionId)
    stages?.delete(stage)
    if (stages?.size === 0) this.#attempts.delete(executionId)
  }
}
