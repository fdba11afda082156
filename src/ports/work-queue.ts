import type { Work } from '../domain/execution/work.ts'

/** A running consumer. `close` takes no new work and resolves when what was taken is done. */
export interface Consumer {
  close(): Promise<void>
}

export interface WorkQueue {
  /** False when the queue is empty after a restart and must be filled again from the log. */
  readonly durable: boolean
  /** Resolves when the queue holds the work. Work whose id waits or runs already is dropped. */
  publish(work: readonly Work[]): Promise<void>
  /**
   * Hands work of the named queues to `handle`, at most `concurrency` at once in all, and per queue where `perQueue`
   * names a limit; higher priority first, then in the order published. What `handle` rejects comes again, up to
   * 3 deliveries, and then goes to the dead letters.
   */
  consume(
    queues: readonly string[],
    options: { concurrency: number; perQueue?: Readonly<Record<string, number>> },
    handle: (work: Work) => Promise<void>,
  ): Consumer
  /** Those of the ids of work that neither wait nor run, be it that they were never published, are done, or are dead letters. */
  lacking(ids: readonly string[]): Promise<readonly string[]>
  /** How much waits, by queue. */
  depth(): Promise<Readonly<Record<string, number>>>
  deadLetters(): Promise<readonly { work: Work; reason: string }[]>
  close(): Promise<void>
}
