// Decides from the log alone which of the promised invariants a system has broken. It shares no rule with the engine:
// what it needs of triggers and attempts it works out again, so that a mistake there is not made here as well.
import type { ExecutionEvent } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import type { ScheduleEvent } from '../domain/schedule/events.ts'
import { checkRun } from './run-checker.ts'
import { checkSchedule, checkScheduledRuns } from './schedule-checker.ts'

export type Expectation = {
  /** Faults have stopped and there was time to recover: every run has ended. */
  readonly healed?: boolean
  /** From the request to cancel to the end of the run, milliseconds. */
  readonly cancelWithinMs?: number
}

/** Notes that an event breaks an invariant, by the number that the list of promises gives it. */
export type Accuse = (event: Pick<RecordedEvent, 'stream' | 'revision'>, invariant: number, what: string) => void

/**
 * One line for each violation, naming stream, revision and invariant; `events` are the whole log in the order it was
 * read in.
 */
export function violations(events: readonly RecordedEvent[], expectation: Expectation = {}): readonly string[] {
  const lines: string[] = []
  const accuse: Accuse = ({ stream, revision }, invariant, what) => {
    lines.push(`${stream} revision ${revision}: invariant ${invariant}: ${what}`)
  }
  checkPositions(events, accuse)
  checkIds(events, accuse)
  checkCauses(events, accuse)
  checkScheduledRuns(events, accuse)
  for (const [stream, ofStream] of streamsOf(events)) {
    checkRevisions(stream, ofStream, accuse)
    checkCommands(ofStream, accuse)
    if (stream.startsWith('execution-')) checkRun(ofStream as RecordedEvent<ExecutionEvent>[], expectation, accuse)
    if (stream.startsWith('schedule-')) checkSchedule(ofStream as RecordedEvent<ScheduleEvent>[], accuse)
  }
  return lines
}

export function streamsOf(events: readonly RecordedEvent[]): ReadonlyMap<string, readonly RecordedEvent[]> {
  return Map.groupBy(events, ({ stream }) => stream)
}

function checkPositions(events: readonly RecordedEvent[], accuse: Accuse): void {
  let last = -1
  for (const event of events) {
    if (event.position <= last) accuse(event, 2, `position ${event.position} comes after ${last}`)
    last = event.position
  }
}

function checkIds(events: readonly RecordedEvent[], accuse: Accuse): void {
  const seen = new Set<string>()
  for (const event of events) {
    if (seen.has(event.id)) accuse(event, 3, `the event id ${event.id} is there twice`)
    seen.add(event.id)
  }
}

function checkCauses(events: readonly RecordedEvent[], accuse: Accuse): void {
  const seen = new Set<string>()
  for (const event of events) {
    const { causationId } = event.metadata
    if (causationId !== undefined && !seen.has(causationId))
      accuse(event, 37, `its cause ${causationId} is not before it in the log`)
    seen.add(event.id)
  }
}

/** Old snapshots are let go of, so only their streams may begin later than at 0. */
function checkRevisions(stream: string, events: readonly RecordedEvent[], accuse: Accuse): void {
  let next = stream.startsWith('snapshot-') ? (events[0]?.revision ?? 0) : 0
  for (const event of events) {
    if (event.revision !== next) accuse(event, 1, `revision ${next} was due`)
    next = event.revision + 1
  }
}

/** What one command decided stands together, in the stream and in the log. */
function checkCommands(events: readonly RecordedEvent[], accuse: Accuse): void {
  const closed = new Set<string>()
  let before: RecordedEvent | undefined
  for (const event of events) {
    const { commandId } = event.metadata
    const together = before?.metadata.commandId === commandId
    // A snapshot is one command in several appends, each of which may be lost.
    if (together && before?.position !== event.position - 1 && !event.stream.startsWith('snapshot-'))
      accuse(event, 2, `the batch of command ${commandId} is torn apart after position ${before?.position}`)
    if (!together && before) closed.add(before.metadata.commandId)
    if (closed.has(commandId)) accuse(event, 3, `command ${commandId} was accepted a second time`)
    before = event
  }
}
