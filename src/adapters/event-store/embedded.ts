import { join } from 'node:path'
import type { NewEvent, RecordedEvent } from '../../domain/message.ts'
import {
  type AppendResult,
  AppendTooLarge,
  type Batch,
  type EventStore,
  type ExpectedRevision,
  MAX_APPEND_BYTES,
  START,
  StoreUnavailable,
  WrongExpectedRevision,
} from '../../ports/event-store.ts'
import { type AppendOutcome, type AppendRequest, LOG_FILE, type StoredRow } from './embedded-log.ts'
import { recorded, toCells, toRow } from './embedded-rows.ts'
import type { Reply } from './embedded-thread.ts'
import { LogThread } from './log-thread.ts'
import { Tail } from './tail.ts'
import { checkWal } from './wal-check.ts'

const READ_BATCH = 1_000

type Waiting = {
  readonly stream: string
  readonly expected: ExpectedRevision
  readonly events: readonly NewEvent[]
  resolve(result: AppendResult): void
  reject(error: Error): void
}

/**
 * The log as a SQLite file in `folder`, which several processes of one machine may open. Appends go to a writer
 * thread that commits many with one fsync; reads go to a reader thread, so neither waits for the other; followers at
 * the head are fed from memory.
 */
export class EmbeddedEventStore implements EventStore {
  readonly #folder: string
  #writerThread: LogThread | undefined
  readonly #reader: LogThread
  readonly #tail = new Tail()
  readonly #waiting = new Map<number, Waiting>()
  #outbox: AppendRequest[] = []
  /** The last `seq` of each message that the writer has not answered. */
  #sent: number[] = []
  #movedTo = START
  #seq = 0
  #refusing: string | undefined
  readonly #failure = Promise.withResolvers<Error>()
  #closing = false

  private constructor(folder: string) {
    this.#folder = folder
    this.#reader = new LogThread(folder, true, {
      received: (reply) => this.#received(reply),
      ended: (error) => this.#fail(error),
    })
  }

  /** Resolves with why this process can use the log no more: an I/O error while writing, or a thread that crashed. */
  get failed(): Promise<Error> {
    return this.#failure.promise
  }

  /** Why the newest append found the log unable to take any, as on a full disk; undefined once one has succeeded. */
  get refusing(): string | undefined {
    return this.#refusing
  }

  /** Started by the first append: who only reads does without it. */
  get #writer(): LogThread {
    this.#writerThread ??= new LogThread(this.#folder, false, {
      received: (reply) => this.#received(reply),
      ended: (error) => {
        this.#abandon(error)
        this.#fail(error)
      },
    })
    return this.#writerThread
  }

  /** @throws StoreUnavailable, also for a log that is damaged: see DamagedLog */
  static async open(folder: string): Promise<EmbeddedEventStore> {
    try {
      checkWal(join(folder, `${LOG_FILE}-wal`))
    } catch (error) {
      throw cannotOpen(error)
    }
    const store = new EmbeddedEventStore(folder)
    try {
      store.#tail.start(await store.head())
      return store
    } catch (error) {
      await store.#reader.terminate()
      throw cannotOpen(error)
    }
  }

  append(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): Promise<AppendResult> {
    if (events.length === 0) throw new Error(`an append to ${stream} has no events`)
    const { cells, bytes } = toCells(events)
    if (bytes > MAX_APPEND_BYTES) return Promise.reject(new AppendTooLarge(stream, bytes))
    return new Promise((resolve, reject) => {
      const seq = ++this.#seq
      this.#waiting.set(seq, { stream, expected, events, resolve, reject })
      // What is appended together crosses together. While the thread is busy that is all of a turn of the event loop;
      // with nothing under way there is nothing to wait for but what comes in the same breath.
      if (this.#outbox.push({ seq, stream, expected, cells }) > 1) return
      if (this.#sent.length === 0) queueMicrotask(() => this.#send())
      else setImmediate(() => this.#send())
    })
  }

  #send(): void {
    // One message is being committed and one waits: more would only cut the same appends into smaller pieces.
    if (this.#sent.length >= 2 || this.#outbox.length === 0) return
    const requests = this.#outbox
    this.#outbox = []
    try {
      this.#writer.post({ kind: 'append', requests })
      this.#sent.push(requests.at(-1)!.seq)
    } catch (error) {
      for (const { seq } of requests) this.#settle(seq)?.reject(error as Error)
    }
  }

  #received(reply: Reply): void {
    if (reply.kind === 'outcomes') for (const outcome of reply.outcomes) this.#appended(outcome)
    if (reply.kind === 'outcomes') this.#tail.wake()
    if (reply.kind === 'refusing') this.#refusing = reply.message
    if (reply.kind === 'broken') this.#fail(cannotTrust(reply.message))
    // While appends of our own are under way, what moved is most likely theirs, and is about to come with their outcome;
    // what others wrote in between shows there as a gap.
    if (reply.kind === 'moved') this.#movedTo = reply.head
    if (this.#waiting.size === 0) this.#tail.moved(this.#movedTo)
    if (reply.kind === 'outcomes' || reply.kind === 'failed') setImmediate(() => this.#send())
    if (reply.kind === 'failed')
      for (const seq of reply.seqs)
        this.#settle(seq)?.reject(new StoreUnavailable(`the event log failed: ${reply.message}`, !reply.maybeWritten))
  }

  #appended(outcome: AppendOutcome): void {
    const waiting = this.#settle(outcome.seq)
    if (!waiting) return
    const { stream, expected, events, resolve, reject } = waiting
    if (outcome.kind === 'conflict') {
      reject(new WrongExpectedRevision(stream, expected, outcome.actual === -1 ? 'noStream' : outcome.actual))
      return
    }
    const { revision, position } = outcome
    if (outcome.kind === 'appended') {
      this.#refusing = undefined
      const back = events.length - 1
      events.forEach((event, i) => {
        this.#tail.push({ ...event, stream, revision: revision - back + i, position: position - back + i })
      })
    }
    resolve({ revision, position })
  }

  #settle(seq: number): Waiting | undefined {
    const waiting = this.#waiting.get(seq)
    this.#waiting.delete(seq)
    while (this.#sent[0] !== undefined && this.#sent[0] <= seq) this.#sent.shift()
    return waiting
  }

  async *readStream(
    stream: string,
    options: { from?: number; direction?: 'forwards' | 'backwards'; limit?: number } = {},
  ): AsyncGenerator<readonly RecordedEvent[]> {
    const backwards = options.direction === 'backwards'
    let from = options.from ?? (backwards ? Number.MAX_SAFE_INTEGER : 0)
    let left = options.limit ?? Number.POSITIVE_INFINITY
    while (left > 0) {
      const limit = Math.min(left, READ_BATCH)
      const rows = await this.#reader.ask<StoredRow[]>({ kind: 'readStream', seq: 0, stream, from, backwards, limit })
      if (rows.length > 0) yield rows.map(recorded)
      if (rows.length < limit) return
      left -= rows.length
      from = rows.at(-1)!.revision + (backwards ? -1 : 1)
    }
  }

  async *readAll(
    options: { after?: number; prefixes?: readonly string[] } = {},
  ): AsyncGenerator<readonly RecordedEvent[]> {
    const head = await this.head()
    let after = options.after ?? START
    while (after < head) {
      const rows = await this.#reader.ask<StoredRow[]>({ kind: 'readAll', seq: 0, after, limit: READ_BATCH })
      if (rows.length === 0) return
      after = rows.at(-1)!.position
      const events = rows
        .filter((row) => row.position <= head && startsWithOne(row.stream, options.prefixes))
        .map(recorded)
      if (events.length > 0) yield events
    }
  }

  async *subscribe(options: {
    after: number
    prefixes?: readonly string[]
    batchSize?: number
    signal: AbortSignal
  }): AsyncGenerator<Batch> {
    const { prefixes, batchSize = READ_BATCH, signal } = options
    let after = options.after
    let told = false
    // One listener for all of the subscription's waits: at the head it waits once for each batch of appends.
    const wake = () => this.#tail.wake()
    signal.addEventListener('abort', wake)
    try {
      while (!signal.aborted) {
        const fromMemory = this.#tail.after(after, batchSize)
        const found =
          fromMemory ?? (await this.#reader.ask<StoredRow[]>({ kind: 'readAll', seq: 0, after, limit: batchSize }))
        after = found.at(-1)?.position ?? after
        const caughtUp = found.length < batchSize
        if (found.length > 0 || (caughtUp && !told)) {
          told = caughtUp
          // What the filter leaves out is not parsed: a snapshot is longer than thousands of events.
          const events = fromMemory
            ? filtered(fromMemory, prefixes)
            : filtered(found as StoredRow[], prefixes).map(recorded)
          yield { events, position: after, caughtUp }
        } else await this.#tail.moreThan(after, signal)
      }
    } finally {
      signal.removeEventListener('abort', wake)
    }
  }

  async truncate(stream: string, keepLast: number): Promise<void> {
    await this.#writer.ask({ kind: 'truncate', seq: 0, stream, keepLast })
  }

  async putBack(stream: string, events: readonly RecordedEvent[]): Promise<boolean> {
    await this.#writer.ask({ kind: 'putBack', seq: 0, stream, rows: events.map(toRow) })
    return true
  }

  head(): Promise<number> {
    return this.#reader.ask<number>({ kind: 'head', seq: 0 })
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#sent = []
    this.#send()
    await this.#writerThread?.close()
    await this.#reader.close()
    this.#abandon(new Error('it is closed'))
  }

  #fail(error: Error): void {
    if (!this.#closing) this.#failure.resolve(error)
  }

  /** Nobody will answer any more. What the writer was given may have been written. */
  #abandon(error: Error): void {
    const unsent = new Set(this.#outbox.map(({ seq }) => seq))
    for (const [seq, { reject }] of this.#waiting)
      reject(new StoreUnavailable(`the event log failed: ${error.message}`, unsent.has(seq)))
    this.#waiting.clear()
    this.#outbox = []
    this.#sent = []
  }
}

const cannotOpen = (error: unknown): StoreUnavailable =>
  new StoreUnavailable(`the event log cannot be opened: ${(error as Error).message}`, true, error)

const cannotTrust = (why: string): StoreUnavailable =>
  new StoreUnavailable(
    `the event log cannot be trusted after an error while writing it: ${why}; only a new start tells what the disk holds`,
    false,
  )

const filtered = <E extends { readonly stream: string }>(events: readonly E[], prefixes?: readonly string[]) =>
  prefixes === undefined ? events : events.filter((event) => startsWithOne(event.stream, prefixes))

const startsWithOne = (stream: string, prefixes: readonly string[] | undefined): boolean =>
  prefixes === undefined || prefixes.some((prefix) => stream.startsWith(prefix))
