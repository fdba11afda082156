import type { ExecutionEvent } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import type { ScheduleEvent } from '../domain/schedule/events.ts'
import { IdSet } from './id-set.ts'
import { PoolChecker } from './pool-checker.ts'
import { ScheduledRunsChecker } from './schedule-checker.ts'
import { type StreamChecker, streamCheckers } from './stream-checkers.ts'
import type { Accuse, Expectation } from './violations.ts'

type OpenStream = {
  /** The revision that is due. */
  next: number
  /** Of the last event. */
  commandId: string
  position: number
  /** Commands whose batch is over. */
  readonly closed: IdSet
  readonly checker: StreamChecker | undefined
}

/**
 * Checks a log event by event, in its order. It remembers what goes on; of a run that has ended no more than its name, and of
 * every event its id, both as 64 bits.
 */
export class LogChecker {
  events = 0
  /** How many events there were of each type. */
  readonly types = new Map<string, number>()
  readonly #expectation: Expectation
  readonly #accuse: Accuse
  readonly #pools: PoolChecker | undefined
  readonly #scheduled: ScheduledRunsChecker
  readonly #ids = new IdSet()
  readonly #ended = new IdSet()
  readonly #open = new Map<string, OpenStream>()
  #position = -1
  /** Position of the event before the one that is being looked at. */
  #preceding = -1

  constructor(expectation: Expectation, accuse: Accuse) {
    this.#expectation = expectation
    this.#accuse = accuse
    this.#scheduled = new ScheduledRunsChecker(accuse)
    this.#pools = expectation.withoutPools ? undefined : new PoolChecker(accuse)
  }

  get streams(): { readonly open: number; readonly ended: number } {
    return { open: this.#open.size, ended: this.#ended.size }
  }

  take(event: RecordedEvent): void {
    this.events++
    this.types.set(event.type, (this.types.get(event.type) ?? 0) + 1)
    this.#checkLog(event)
    this.#pools?.take(event)
    this.#scheduled.take(event as RecordedEvent<ScheduleEvent | ExecutionEvent>)
    const open = this.#open.get(event.stream)
    if (!open && this.#ended.has(event.stream)) {
      this.#accuse(event, 7, `${event.type} comes after the end of the run`)
      return
    }
    if (open) this.#checkStream(open, event)
    const stream = open ?? this.#begin(event)
    stream.next = event.revision + 1
    stream.commandId = event.metadata.commandId
    stream.position = event.position
    stream.checker?.take(event)
    if (!stream.checker?.ended) return
    stream.checker.end()
    this.#open.delete(event.stream)
    this.#ended.add(event.stream)
  }

  /** The log ends here for now. */
  end(): void {
    for (const { checker } of this.#open.values()) checker?.end()
    this.#pools?.end(this.#expectation.healed ?? false)
  }

  #checkLog(event: RecordedEvent): void {
    const { id, position } = event
    const { causationId } = event.metadata
    if (position <= this.#position) this.#accuse(event, 2, `position ${position} comes after ${this.#position}`)
    this.#preceding = this.#position
    this.#position = position
    if (causationId !== undefined && !this.#ids.has(causationId))
      this.#accuse(event, 37, `its cause ${causationId} is not before it in the log`)
    if (!this.#ids.add(id)) this.#accuse(event, 3, `the event id ${id} is there twice`)
  }

  /** Old snapshots are let go of, so only their streams may begin later than at 0. */
  #begin(event: RecordedEvent): OpenStream {
    const { stream, revision, position, metadata } = event
    if (revision !== 0 && !isSnapshot(stream)) this.#accuse(event, 1, 'revision 0 was due')
    const checker = streamCheckers[stream.slice(0, stream.indexOf('-'))]?.(this.#expectation, this.#accuse)
    const begun = { next: 0, commandId: metadata.commandId, position, closed: new IdSet(), checker }
    this.#open.set(stream, begun)
    return begun
  }

  /** What one command decided stands together, in the stream and in the log. */
  #checkStream(before: OpenStream, event: RecordedEvent): void {
    const { commandId } = event.metadata
    if (event.revision !== before.next) this.#accuse(event, 1, `revision ${before.next} was due`)
    const together = before.commandId === commandId
    // A snapshot is one command in several appends, each of which may be lost.
    if (together && before.position !== this.#preceding && !isSnapshot(event.stream))
      this.#accuse(event, 2, `the batch of command ${commandId} is torn apart after position ${before.position}`)
    if (!together) before.closed.add(before.commandId)
    if (before.closed.has(commandId)) this.#accuse(event, 3, `command ${commandId} was accepted a second time`)
  }
}

const isSnapshot = (stream: string): boolean => stream.startsWith('snapshot-')
