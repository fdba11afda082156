// Decides from the log alone which of the promised invariants a system has broken. It shares no rule with the engine:
// what it needs of triggers and attempts it works out again, so that a mistake there is not made here as well.
import type { RecordedEvent } from '../domain/message.ts'
import { LogChecker } from './log-checker.ts'

export type Expectation = {
  /** Faults have stopped and there was time to recover: every run has ended. */
  readonly healed?: boolean
  /** From the request to cancel to the end of the run, milliseconds. */
  readonly cancelWithinMs?: number
  /** Only runs are shown, and not what pools say: whether a run holds what it says cannot be told. */
  readonly withoutPools?: boolean
}

/** Notes that an event breaks an invariant, by the number that the list of promises gives it. */
export type Accuse = (event: Pick<RecordedEvent, 'stream' | 'revision'>, invariant: number, what: string) => void

/**
 * One line for each violation, naming stream, revision and invariant; `events` are the whole log in the order it was
 * read in.
 */
export function violations(events: readonly RecordedEvent[], expectation: Expectation = {}): readonly string[] {
  const lines: string[] = []
  const checker = new LogChecker(expectation, ({ stream, revision }, invariant, what) => {
    lines.push(`${stream} revision ${revision}: invariant ${invariant}: ${what}`)
  })
  for (const event of events) checker.take(event)
  checker.end()
  return lines
}

export function streamsOf(events: readonly RecordedEvent[]): ReadonlyMap<string, readonly RecordedEvent[]> {
  return Map.groupBy(events, ({ stream }) => stream)
}
