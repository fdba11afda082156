import type { WorkerRegistration } from './events.ts'

/** What a worker says of itself, and of one that says nothing any more. */
export type WorkerCommand =
  | { type: 'RegisterWorker'; registration: WorkerRegistration }
  | { type: 'DrainWorker'; graceMs: number }
  | { type: 'StopWorker'; interrupted: number }
  | { type: 'LoseWorker'; reason: string }
