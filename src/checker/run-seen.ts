// What the log has said of a run so far, as the checkers of a run share it.
import type { ExecutionEvent, ExecutionEventOf, SkipReason, Wait } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import type { CompiledStage, FailureRule } from '../domain/workflow/definition.ts'
import type { Accuse } from './violations.ts'

export type Recorded<T extends ExecutionEvent['type'] = ExecutionEvent['type']> = RecordedEvent<ExecutionEventOf<T>>

type End = 'completed' | 'failed' | 'skipped' | 'cancelled'

/** `attempt` is the latest that was scheduled, 0 before the first. */
export type Seen = {
  stage: CompiledStage
  /** `idle`: before the first attempt, or between two; `failing`: between `StageFailed` and what has to follow in its batch. */
  status: 'idle' | 'failing' | 'asking' | 'scheduled' | 'waiting' | 'running' | 'expanded' | End
  attempt: number
  /** How many attempts its own work has had, and its fallback; and how many of each were lost. */
  own: { tried: number; lost: number }
  fallback: { tried: number; lost: number } | undefined
  manual: number
  /** The attempts that a rule of the workflow grants it. */
  granted: number
  /** Of the retry that was announced and has not begun. */
  dueAt: string | undefined
  /** The pool that its next attempt waits for. */
  asks: string | undefined
  waits: Wait | undefined
  approval: { required: number; self: boolean; granted: string[]; rejected: boolean } | undefined
  /** The last checkpoint of the attempt. */
  sequence: number
  skipped: SkipReason | undefined
  restored: boolean
  children: readonly Seen[]
}

export type Run = {
  readonly stages: Map<string, Seen>
  readonly accuse: Accuse
  readonly startedBy: string
  /** Id of the command that started it. */
  readonly startedWith: string
  readonly onFailure: string
  readonly rules: readonly FailureRule[]
  /** Waits for its group: nothing of it may begin. */
  queued: boolean
  timeoutAt: string
  paused: Recorded<'ExecutionPaused'> | undefined
  cancellation: Recorded<'ExecutionCancellationRequested'> | undefined
  /** A failure has ended what was under way. */
  failing: false | 'fail-fast' | 'compensate'
  /** Completed stages that know how to be undone, in the order of their completion. */
  undoable: string[]
  compensated: boolean
  signals: { name: string; payload: string }[]
  signalIds: Set<string>
  ended: boolean
}

export const seenOf = (stage: CompiledStage): Seen => ({
  stage,
  status: 'idle',
  attempt: 0,
  own: { tried: 0, lost: 0 },
  fallback: undefined,
  manual: 0,
  granted: 0,
  dueAt: undefined,
  asks: undefined,
  waits: undefined,
  approval: undefined,
  sequence: 0,
  skipped: undefined,
  restored: false,
  children: [],
})

const ENDS: readonly string[] = ['completed', 'failed', 'skipped', 'cancelled'] satisfies End[]
export const hasEnded = ({ status }: Seen): boolean => ENDS.includes(status)

const ON_PURPOSE: readonly unknown[] = ['condition', 'person', 'recovery'] satisfies SkipReason[]
export const hasSucceeded = ({ status, skipped }: Seen): boolean =>
  status === 'completed' || (status === 'skipped' && ON_PURPOSE.includes(skipped))

/** Whether a stage that has not begun is to begin, never will, or has to wait. */
export function verdictOn(run: Run, { stage: { trigger, needs } }: Seen): 'start' | 'never' | 'wait' {
  const of = needs.map((need) => run.stages.get(need)!)
  const all = of.every(hasEnded)
  switch (trigger) {
    case 'all-success':
      if (of.some((need) => hasEnded(need) && !hasSucceeded(need))) return 'never'
      return all ? 'start' : 'wait'
    case 'all-done':
      return all ? 'start' : 'wait'
    case 'any-success':
      return of.some(hasSucceeded) ? 'start' : all ? 'never' : 'wait'
    case 'any-failure':
      return of.some(({ status }) => status === 'failed') ? 'start' : all ? 'never' : 'wait'
  }
}

/** The stages of a group that take up room in it. */
export const runningIn = ({ children }: Seen): readonly Seen[] =>
  children.filter(
    ({ status, asks }) => ['scheduled', 'running', 'waiting', 'expanded'].includes(status) || asks !== undefined,
  )

export const maxParallelOf = ({ stage }: Seen): number => stage.matrix?.maxParallel ?? Infinity

export const said = ({ stage, status, attempt }: Seen): string => `${stage.id} is ${status} at attempt ${attempt}`
