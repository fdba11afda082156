import type { Work } from '../domain/execution/work.ts'

/** A running consumer. `close` takes no new work and resolves when what was taken is done. */
export interface Consumer {
  close(): Promise<void>
}

type ConsumerOptions = {
  /** How much it takes at once in all, and of a queue where `perQueue` names a limit. */
  readonly concurrency: number
  readonly perQueue?: Readonly<Record<string, number>>
  /** What it has: it is given work of its queues that asks for no more. */
  readonly labels?: readonly string[]
}

/** How things stand with the work of one queue that asks for the same labels. */
export type RouteStats = {
  readonly queue: string
  readonly labels: readonly string[]
  /** How much waits, and since when what has waited longest does (ISO 8601). */
  readonly depth: number
  readonly oldestAt?: string
  /** How much was taken and is not done yet. */
  readonly running: number
  /** How much came and was taken in the last minute, and since the queue was opened. */
  readonly publishedPerMinute: number
  readonly takenPerMinute: number
  readonly published: number
  readonly taken: number
  /** How many consumers would take it; none is why it waits. */
  readonly consumers: number
}

export interface WorkQueue {
  /** False when the queue is empty after a restart and must be filled again from the log. */
  readonly durable: boolean
  /** Resolves when the queue holds the work. Work whose id waits or runs already is dropped. */
  publish(work: readonly Work[]): Promise<void>
  /** Forgets the work that waits under these ids; nobody wants it any more. A queue that cannot hands it over all the same. */
  withdraw(ids: readonly string[]): Promise<void>
  /**
   * Hands work of the named queues to `handle`, also of routes that come to be later. Higher priority goes first, then what
   * was scheduled first; waiting makes up for priority, and no namespace holds up another, so that nothing waits for ever.
   * What `handle` rejects comes again, up to 3 deliveries, and then goes to the dead letters.
   */
  consume(queues: readonly string[], options: ConsumerOptions, handle: (work: Work) => Promise<void>): Consumer
  /** Those of the ids of work that neither wait nor run, be it that they were never published, are done, or are dead letters. */
  lacking(ids: readonly string[]): Promise<readonly string[]>
  /** Every route that had work or whose queue is served, by queue and labels. */
  stats(): Promise<readonly RouteStats[]>
  /** What nobody is given again, and why; without `work` where it never was any. */
  deadLetters(): Promise<readonly { work?: Work; reason: string }[]>
  close(): Promise<void>
}
