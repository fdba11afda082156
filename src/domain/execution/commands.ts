import type { Json } from '../message.ts'
import type { ExecutionEventOf, StageError } from './events.ts'

/** Every command carries the time it is decided at, ISO 8601 in UTC. */
type Timed<T> = T & { readonly at: string }
/** The attempt is the fencing token: a command about another attempt than the current one is refused. */
type OfAttempt<T> = Timed<T & { readonly stage: string; readonly attempt: number }>

/** What the event will record is what the command asks for: starting needs no decision but whether it happened already. */
export type StartExecution = Timed<{ type: 'StartExecution' } & ExecutionEventOf<'ExecutionStarted'>['data']>

/** What a worker says of its attempt. A short attempt may be reported by its outcome alone. */
export type StageReport =
  | OfAttempt<{ type: 'StartStage'; readonly worker: string }>
  | OfAttempt<{ type: 'CompleteStage'; readonly worker: string; readonly output: Json }>
  | OfAttempt<{ type: 'FailStage'; readonly worker?: string; readonly error: StageError }>
  /** The attempt ended because it was asked to. */
  | OfAttempt<{ type: 'StopStage'; readonly worker: string }>
  /** The attempt ended, or must be taken to have ended, through no fault of its work. */
  | OfAttempt<{ type: 'LoseStage'; readonly worker?: string; readonly error: StageError }>

export type ExecutionCommand =
  | StartExecution
  | StageReport
  | OfAttempt<{ type: 'WakeStage' }>
  /** `by` a person: at once, whatever is due; by the `timer`: the attempt that is due. */
  | OfAttempt<{ type: 'RetryStage'; readonly by: 'timer' }>
  | Timed<{ type: 'RetryStage'; readonly by: 'person'; readonly stage: string }>
  | Timed<{ type: 'CancelExecution'; readonly reason: string }>
  | Timed<{ type: 'TimeOutExecution' }>
