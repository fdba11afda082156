import type { Json } from '../domain/message.ts'

/** What was worked out once and costs much. It may be forgotten at any time, and nothing is known while the store is away: it never fails. */
export interface Cache {
  /** What is kept under the key, unless it is of a time before the log's `position`. */
  get(key: string, position: number): Promise<Json | undefined>
  /**
   * Keeps a value as it is at the log's `position` at least, for `ttlMs`, unless there is one of a later position. What is larger than
   * `MAX_CACHED_LENGTH` as JSON is not kept. Resolves when it was kept or given up.
   */
  put(key: string, position: number, value: Json, ttlMs: number): Promise<void>
  close(): Promise<void>
}

/** Knows nothing. */
export const noCache: Cache = { get: async () => undefined, put: async () => {}, close: async () => {} }

/** Characters of JSON. */
export const MAX_CACHED_LENGTH = 262_144
