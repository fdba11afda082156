import type { WorkerCommand } from '../domain/worker/commands.ts'

/** What a worker says of itself, and when (ISO 8601). */
export type WorkerNews = Exclude<WorkerCommand, { type: 'LoseWorker' }> & { readonly at: string }

/** Where workers say that they are there, and that they go. */
export interface WorkerRegistry {
  /**
   * Resolves `accepted` when the log has it, also when it had it already; `refused` when it says that the worker has stopped;
   * `sent` when it is durable and will be taken.
   */
  report(workerId: string, news: WorkerNews): Promise<'accepted' | 'refused' | 'sent'>
}
