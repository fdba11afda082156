// What the log says is under way: attempts that have not ended, and timers that have neither fired nor been cleared.
import type { ExecutionEvent } from '../domain/execution/events.ts'
import { type Timer, timerChanges } from '../domain/execution/timers.ts'
import { isForWorkers, SUB_WORKFLOW } from '../domain/execution/work.ts'
import { parseStream, type RecordedEvent } from '../domain/message.ts'

export type OpenAttempt = {
  readonly executionId: string
  readonly stage: string
  readonly attempt: number
  /** Where in the stream of its run it was scheduled. */
  readonly revision: number
  readonly doneBy: 'worker' | 'sub-workflow' | 'waiting'
}

/** As plain data, which can go from one thread to another. */
export type OpenWorkState = { readonly attempts: readonly OpenAttempt[]; readonly timers: readonly Timer[] }

/** A fold of executions, whichever and however many. */
export class OpenWork {
  readonly #attempts = new Map<string, Map<string, OpenAttempt>>()
  readonly #timers = new Map<string, Timer>()

  apply(event: RecordedEvent<ExecutionEvent>): void {
    const { id } = parseStream(event.stream)
    for (const change of timerChanges(event))
      if ('set' in change) this.#timers.set(change.set.key, change.set)
      else this.#timers.delete(change.clear)
    switch (event.type) {
      case 'StageScheduled':
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
        return
      default:
        return
    }
  }

  state(): OpenWorkState {
    const attempts = [...this.#attempts.values()].flatMap((stages) => [...stages.values()])
    return { attempts, timers: [...this.#timers.values()] }
  }

  #begin(executionId: string, { data, revision }: Extract<RecordedEvent<ExecutionEvent>, { type: 'StageScheduled' }>) {
    const { stage, attempt } = data
    const doneBy = isForWorkers(data) ? 'worker' : data.handler === SUB_WORKFLOW ? 'sub-workflow' : 'waiting'
    const stages = this.#attempts.get(executionId) ?? new Map<string, OpenAttempt>()
    this.#attempts.set(executionId, stages.set(stage, { executionId, stage, attempt, revision, doneBy }))
  }

  #end(executionId: string, stage: string): void {
    const stages = this.#attempts.get(executionId)
    stages?.delete(stage)
    if (stages?.size === 0) this.#attempts.delete(executionId)
  }
}
