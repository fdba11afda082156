import type { Json, RecordedEvent } from '../message.ts'
import type { CompiledStage } from '../workflow/definition.ts'
import type { ExecutionEvent, StageError } from './events.ts'

/** What one attempt did, and how long after it was scheduled it started, and after that ended. */
export type RecordedAttempt = {
  readonly waitMs: number
  readonly durationMs: number
  readonly outcome:
    | { readonly kind: 'completed'; readonly output: Json; readonly stages?: readonly CompiledStage[] }
    | { readonly kind: 'failed' | 'lost'; readonly error: StageError }
}

/** How long after they were asked for an approval, or the start of a run, somebody gave an answer or a signal. */
type RecordedAnswer = { readonly afterMs: number; readonly grants: boolean; readonly by: string }
type RecordedSignal = { readonly afterMs: number; readonly name: string; readonly payload: Json }

/** The results and durations of a past run, to run another definition against. */
export type Recording = {
  readonly attempts: ReadonlyMap<string, readonly RecordedAttempt[]>
  readonly answers: ReadonlyMap<string, readonly RecordedAnswer[]>
  readonly signals: readonly RecordedSignal[]
  readonly startedAt: string
  /** The time of a schedule that the run was for. */
  readonly nominalAt?: string
}

type Open = { scheduledMs: number; startedMs: number | undefined }

/** Reads a recording from the events of a run. Attempts that were cancelled say nothing about what they would have done. */
export function recordingOf(events: readonly RecordedEvent<ExecutionEvent>[]): Recording {
  const attempts = new Map<string, RecordedAttempt[]>()
  const answers = new Map<string, RecordedAnswer[]>()
  const signals: RecordedSignal[] = []
  const open = new Map<string, Open>()
  const startedMs = Date.parse(events[0]!.at)
  const lost = lostAttempts(events)

  const close = (stage: string, atMs: number, outcome: RecordedAttempt['outcome']): void => {
    const of = open.get(stage)
    if (!of) return
    const begunMs = of.startedMs ?? of.scheduledMs
    add(attempts, stage, { waitMs: begunMs - of.scheduledMs, durationMs: atMs - begunMs, outcome })
    open.delete(stage)
  }

  for (const event of events) {
    const atMs = Date.parse(event.at)
    switch (event.type) {
      case 'StageScheduled':
        open.set(event.data.stage, { scheduledMs: atMs, startedMs: undefined })
        break
      case 'StageStarted': {
        const of = open.get(event.data.stage)
        if (of) of.startedMs = atMs
        break
      }
      case 'StageCompleted':
        close(event.data.stage, atMs, { kind: 'completed', output: event.data.output })
        break
      case 'StagesGenerated': {
        // Those of a matrix come of the definition; those of a handler are part of what its attempt answered.
        const stages = event.data.stages.filter((stage): stage is CompiledStage => 'uses' in stage)
        close(event.data.parent, atMs, { kind: 'completed', output: event.data.output, stages })
        break
      }
      case 'StageFailed': {
        const { stage, attempt, error } = event.data
        // The one after which a stage was given up is followed by no retry, and is known by its class.
        const wasLost = lost.has(`${stage}:${attempt}`) || event.data.class === 'infrastructure'
        close(stage, atMs, { kind: wasLost ? 'lost' : 'failed', error })
        break
      }
      case 'ApprovalGranted':
      case 'ApprovalRejected': {
        const { stage, by } = event.data
        const afterMs = atMs - (open.get(stage)?.scheduledMs ?? atMs)
        add(answers, stage, { afterMs, grants: event.type === 'ApprovalGranted', by })
        break
      }
      case 'SignalReceived':
        signals.push({ afterMs: atMs - startedMs, name: event.data.name, payload: event.data.payload })
        break
      case 'StageRestored':
        // It did that in the run restored from; in this one it took no time.
        if (event.data.as === 'completed') {
          const { stage, output } = event.data
          add(attempts, stage, { waitMs: 0, durationMs: 0, outcome: { kind: 'completed', output } })
        }
        break
      default:
    }
  }
  return { attempts, answers, signals, startedAt: events[0]!.at, ...nominalTimeIn(events[0]!) }
}

function nominalTimeIn(first: RecordedEvent<ExecutionEvent>): { readonly nominalAt?: string } {
  const nominalAt = first.type === 'ExecutionStarted' ? first.data.trigger.nominalAt : undefined
  return nominalAt === undefined ? {} : { nominalAt }
}

/** The attempts that ended through no fault of their work; the retry that follows says so. */
function lostAttempts(events: readonly RecordedEvent<ExecutionEvent>[]): ReadonlySet<string> {
  const lost = events.flatMap((event) =>
    event.type === 'StageRetried' && event.data.reason === 'lost'
      ? [`${event.data.stage}:${event.data.attempt - 1}`]
      : [],
  )
  return new Set(lost)
}

function add<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key)
  if (list) list.push(item)
  else lists.set(key, [item])
}
