/** `revoked`: its holder was asked to stop. */
type HeldLease = { readonly key: string; readonly owner: string; readonly revoked: boolean }

/** `revoked` must stop because it was asked to, `lost` because it is not the owner's any more; the rest is held, and `confirmed` where it was. */
type Renewed = {
  readonly revoked: readonly string[]
  readonly lost: readonly string[]
  readonly confirmed: readonly string[]
}

/**
 * The store cannot be asked, or cannot tell yet since it was away: nobody may take that for a lease that has ended. What was asked
 * may have been done all the same.
 */
export class LeasesUnavailable extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'LeasesUnavailable'
  }
}

/**
 * Who may run an attempt right now, which workers are there, and who has a role that one process has at a time. Keys are
 * `execution:stage:attempt`, `worker:id` and `role:name`; times are monotonic milliseconds of the store. Every member rejects with
 * `LeasesUnavailable`, in bounded time, while the store is away.
 */
export interface Leases {
  /** True when `owner` now holds the key for `ttlMs`; false when somebody else does, or it was revoked. */
  claim(key: string, owner: string, ttlMs: number): Promise<boolean>
  /** Prolongs what `owner` holds, and says what became of it. */
  renew(owner: string, keys: readonly string[], ttlMs: number): Promise<Renewed>
  release(key: string, owner: string): Promise<void>
  /** Tells the owner that what it does was taken note of; it learns so from its next `renew`. Where somebody else holds the key, or nobody, nothing happens. */
  confirm(key: string, owner: string): Promise<void>
  /** Asks the holder of a key to stop; it learns so from its next `renew`. Without a holder nothing happens. */
  revoke(key: string): Promise<void>
  /**
   * Those of `keys` that nobody holds. Rejects while the store is unreachable, and until every holder has had the time to renew
   * afterwards: leases then wait and never expire. What was answered once is its holder's no more.
   */
  unheld(keys: readonly string[]): Promise<readonly string[]>
  /** Every lease that somebody holds. Rejects as `unheld` does. */
  held(): Promise<readonly HeldLease[]>
  close(): Promise<void>
}

export const leaseKey = (executionId: string, stage: string, attempt: number): string =>
  `${executionId}:${stage}:${attempt}`

/** The lease that says of a worker that it is there. */
export const workerLeaseKey = (workerId: string): string => `worker:${workerId}`

/** The lease of whoever has a role that one process has at a time. */
export const roleLeaseKey = (role: string): string => `role:${role}`

export const isAttemptLease = (key: string): boolean => !/^(worker|role):/.test(key)
