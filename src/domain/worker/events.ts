/** What a worker is and what it takes, as it says itself. Versions are free text. */
export type WorkerRegistration = {
  readonly host: string
  readonly pid: number
  /** Of the program. */
  readonly version: string
  /** A queue's `limit` is how many of its attempts it runs at once, where that is less than `concurrency`. */
  readonly queues: readonly { readonly name: string; readonly limit?: number }[]
  readonly labels: readonly string[]
  readonly concurrency: number
  readonly handlers: readonly { readonly name: string; readonly version?: string }[]
}

/** Facts of a worker's life. That it is alive from one moment to the next only its lease says. */
export type WorkerEvent =
  /** It is there; also once more when it had been taken for lost, or is another than it was. */
  | { type: 'WorkerRegistered'; data: WorkerRegistration }
  /** It takes no more work. What runs has so long to end. */
  | { type: 'WorkerDraining'; data: { readonly graceMs: number } }
  /** It has ended. `interrupted` counts the attempts that had not by the end of the grace; others will make them again. */
  | { type: 'WorkerStopped'; data: { readonly interrupted: number } }
  /** Nobody holds its lease any more. Its attempts are lost each by its own lease. */
  | { type: 'WorkerLost'; data: { readonly reason: string } }

/** The newest schema version of each event. */
export const workerEventVersions: Readonly<Record<WorkerEvent['type'], number>> = {
  WorkerRegistered: 1,
  WorkerDraining: 1,
  WorkerStopped: 1,
  WorkerLost: 1,
}

/** The stream of one worker, which ends with its process. */
export const workerStream = (workerId: string): string => `worker-${workerId}`
