import type { NewEvent, RecordedEvent } from '../domain/message.ts'

/** What the stream must be like for an append to happen; a number is the revision of its last event. */
export type ExpectedRevision = 'noStream' | 'any' | number

/** Revision and position of the last event of the append, durable when the promise resolves. */
export type AppendResult = { readonly revision: number; readonly position: number }

/** One step of a subscription. `position` is how far the log was looked at, also past events that the filter left out. */
export type Batch = {
  readonly events: readonly RecordedEvent[]
  readonly position: number
  /** True when nothing more was in the log when this batch was read. May repeat, and comes also with no events. */
  readonly caughtUp: boolean
}

/** Before the first event: what to give as `after` to read everything. */
export const START = -1

/** How names begin of streams that are long, and of interest to their writer alone: few who follow the log want to be told of them. */
export const SNAPSHOTS = 'snapshot-'

/** An append may carry at most this many bytes of data and metadata; EventStoreDB refuses more by default. */
export const MAX_APPEND_BYTES = 1_000_000

export interface EventStore {
  /** About how far the positions of two neighbours lie apart, where positions do not count events. Default: 1. */
  readonly spacing?: number
  /**
   * Appends all of `events` or none. Appending the same event ids again where they already stand is no error and
   * answers as the first time did, so a caller may repeat a call whose outcome it does not know.
   * @throws WrongExpectedRevision | AppendTooLarge | StoreUnavailable
   */
  append(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): Promise<AppendResult>
  /** Batches in order from revision `from`, inclusive; a stream that is not there yields nothing. Default: forwards from the start, or backwards from the end. */
  readStream(
    stream: string,
    options?: { from?: number; direction?: 'forwards' | 'backwards'; limit?: number },
  ): AsyncIterable<readonly RecordedEvent[]>
  /** Batches of the whole log after position `after`, up to the head as it is while reading. */
  readAll(options?: { after?: number; prefixes?: readonly string[] }): AsyncIterable<readonly RecordedEvent[]>
  /**
   * Follows the log after position `after` and never ends before `signal` aborts. The next batch is read when it is
   * asked for, so a slow follower holds back nothing but itself. `prefixes` keeps streams whose name starts with one.
   */
  subscribe(options: {
    after: number
    prefixes?: readonly string[]
    batchSize?: number
    signal: AbortSignal
  }): AsyncIterable<Batch>
  /** Keeps the last `keepLast` events of a stream; the older ones are gone from every read. */
  truncate(stream: string, keepLast: number): Promise<void>
  /**
   * Puts events back into a stream, at the revisions and positions where `truncate` took them away; those that are there stay. False,
   * and nothing done, where the store has let go of their places for good.
   */
  putBack(stream: string, events: readonly RecordedEvent[]): Promise<boolean>
  /** Position of the last event, or `START` of an empty log. */
  head(): Promise<number>
  close(): Promise<void>
}

/** The stream was not as expected; `actual` is what it is. */
export class WrongExpectedRevision extends Error {
  readonly stream: string
  readonly expected: ExpectedRevision
  readonly actual: number | 'noStream'
  constructor(stream: string, expected: ExpectedRevision, actual: number | 'noStream') {
    super(`${stream} is at ${actual}, expected ${expected}`)
    this.name = 'WrongExpectedRevision'
    this.stream = stream
    this.expected = expected
    this.actual = actual
  }
}

/** The append is larger than `MAX_APPEND_BYTES`; nothing was written. */
export class AppendTooLarge extends Error {
  readonly bytes: number
  constructor(stream: string, bytes: number) {
    super(`append to ${stream} has ${bytes} bytes, the limit is ${MAX_APPEND_BYTES}`)
    this.name = 'AppendTooLarge'
    this.bytes = bytes
  }
}

/** The store could not be reached or could not write; the outcome is unknown unless `nothingWritten`. Safe to repeat. */
export class StoreUnavailable extends Error {
  readonly nothingWritten: boolean
  constructor(message: string, nothingWritten: boolean, cause?: unknown) {
    super(message, { cause })
    this.name = 'StoreUnavailable'
    this.nothingWritten = nothingWritten
  }
}
