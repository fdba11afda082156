import type { Held, Holder } from './events.ts'

export const holderKey = ({ executionId, stage, attempt }: Holder): string =>
  stage === undefined ? executionId : `${executionId}:${stage}:${attempt}`

const BUCKETS = 256

/**
 * Who holds what, as a value that never changes: another holder copies one of many small maps, so that a grant costs about the
 * same in a pool of ten thousand slots as in one of ten.
 */
export class Holders {
  static readonly none = new Holders([], 0)
  readonly size: number
  readonly #buckets: readonly (ReadonlyMap<string, Held> | undefined)[]

  private constructor(buckets: readonly (ReadonlyMap<string, Held> | undefined)[], size: number) {
    this.#buckets = buckets
    this.size = size
  }

  static of(held: readonly Held[]): Holders {
    return held.reduce((holders, one) => holders.with(one), Holders.none)
  }

  get(holder: Holder): Held | undefined {
    const key = holderKey(holder)
    return this.#buckets[bucketOf(key)]?.get(key)
  }

  with(held: Held): Holders {
    const key = holderKey(held.holder)
    const bucket = new Map(this.#buckets[bucketOf(key)]).set(key, held)
    return this.#replace(key, bucket)
  }

  without(holder: Holder): Holders {
    const key = holderKey(holder)
    const bucket = new Map(this.#buckets[bucketOf(key)])
    bucket.delete(key)
    return this.#replace(key, bucket)
  }

  /** The oldest grant first. */
  list(): readonly Held[] {
    return this.#buckets.flatMap((bucket) => [...(bucket?.values() ?? [])]).sort((a, b) => a.fence - b.fence)
  }

  #replace(key: string, bucket: ReadonlyMap<string, Held>): Holders {
    const at = bucketOf(key)
    const buckets = this.#buckets.length === 0 ? new Array(BUCKETS).fill(undefined) : this.#buckets.slice()
    const before = buckets[at]?.size ?? 0
    buckets[at] = bucket
    return new Holders(buckets, this.size + bucket.size - before)
  }
}

/** FNV-1a. */
function bucketOf(key: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  return (hash >>> 0) % BUCKETS
}
