import type { Json } from '../message.ts'
import type { CompiledStage } from '../workflow/definition.ts'
import type { Blocker, ExecutionEventOf, Grant, StageError } from './events.ts'

/** Every command carries the time it is decided at, ISO 8601 in UTC. */
type Timed<T> = T & { readonly at: string }
/** The attempt is the fencing token: a command about another attempt than the current one is refused. */
type OfAttempt<T> = Timed<T & { readonly stage: string; readonly attempt: number }>
type OfStage<T> = Timed<T & { readonly stage: string }>
type Why = { readonly reason: string }

/** The group follows from the definition and the input. */
type Beginning = Omit<ExecutionEventOf<'ExecutionStarted'>['data'], 'timeoutAt' | 'concurrency'>
/** What is known already of a run that is restored from another, in the order in which it came about. */
export type Restored = ExecutionEventOf<'StagesGenerated' | 'StageRestored' | 'SignalReceived'>

/** What the event will record is what the command asks for: starting needs no decision but whether it happened already. */
export type StartExecution = Timed<{ type: 'StartExecution'; readonly restored?: readonly Restored[] } & Beginning>

/** What a worker says of its attempt. A short attempt may be reported by its outcome alone. */
export type StageReport =
  /** `execution` is the run that does the work of a sub-workflow. */
  | OfAttempt<{ type: 'StartStage'; readonly worker: string; readonly execution?: string }>
  /** `sequence` counts from 1 in each attempt. */
  | OfAttempt<{ type: 'CheckpointStage'; readonly worker: string; readonly sequence: number; readonly state: Json }>
  /** `stages` are those that the stage goes on as; it completes with the last of them. */
  | OfAttempt<{
      type: 'CompleteStage'
      readonly worker: string
      readonly output: Json
      readonly stages?: readonly CompiledStage[]
    }>
  | OfAttempt<{ type: 'FailStage'; readonly worker?: string; readonly error: StageError }>
  /** The attempt ended because it was asked to. */
  | OfAttempt<{ type: 'StopStage'; readonly worker: string }>
  /** The attempt ended, or must be taken to have ended, through no fault of its work. */
  | OfAttempt<{ type: 'LoseStage'; readonly worker?: string; readonly error: StageError }>

/** `by` is the actor, `user:ada`; `groups` are those the actor is known to be in. */
type Answer = {
  readonly stage: string
  readonly by: string
  readonly groups: readonly string[]
  readonly comment?: string
}

/** What people and reactors ask of a run. */
export type ControlCommand =
  | OfAttempt<{ type: 'WakeStage' }>
  /** `by` a person: at once, whatever is due; by the `timer`: the attempt that is due. */
  | OfAttempt<{ type: 'RetryStage'; readonly by: 'timer' }>
  | OfStage<{
      type: 'RetryStage'
      readonly by: 'person'
      /** Members that take the place of those in the stage's `with`. */
      readonly with?: { readonly [key: string]: Json }
      readonly comment?: string
    }>
  | OfStage<{ type: 'SkipStage' } & Why>
  | OfStage<{ type: 'AbandonStage' } & Why>
  | Timed<{ type: 'ApproveStage' | 'RejectStage' } & Answer>
  | Timed<{ type: 'ReceiveSignal'; readonly id: string; readonly name: string; readonly payload: Json }>
  | Timed<{ type: 'PauseExecution' } & Why>
  | Timed<{ type: 'ResumeExecution' } & Why>
  | Timed<{ type: 'CancelExecution' } & Why>
  | Timed<{ type: 'TimeOutExecution' }>
  /** The pool that the attempt asked has granted it. */
  | OfAttempt<{ type: 'AdmitStage'; readonly grant: Grant }>
  /** Why the pool has not. */
  | OfAttempt<{ type: 'DeferStage' } & Pick<ExecutionEventOf<'StageDeferred'>['data'], 'reason' | 'short' | 'blockers'>>
  /** The pool never will. */
  | OfAttempt<{ type: 'RefuseStage'; readonly error: StageError }>
  /** The run's group has room for it. */
  | Timed<{ type: 'AdmitExecution'; readonly grant: Grant }>
  | Timed<{ type: 'DeferExecution'; readonly blockers: readonly Blocker[] }>

export type ExecutionCommand = StartExecution | StageReport | ControlCommand
