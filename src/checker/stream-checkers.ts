// What is checked of a stream besides its revisions and batches, by the category of its name.
import type { RecordedEvent } from '../domain/message.ts'
import { createRunChecker } from './run-checker.ts'
import { createScheduleChecker } from './schedule-checker.ts'
import type { Accuse, Expectation } from './violations.ts'

/** Takes the events of one stream in their order. */
export type StreamChecker = {
  take(event: RecordedEvent): void
  /** There is no more for now. */
  end(): void
  /** Nothing may follow, so that nothing else has to be remembered. */
  readonly ended: boolean
}

export const streamCheckers: Readonly<Record<string, (expectation: Expectation, accuse: Accuse) => StreamChecker>> = {
  execution: createRunChecker as (expectation: Expectation, accuse: Accuse) => StreamChecker,
  schedule: createScheduleChecker,
}
