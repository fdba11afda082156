import { LRUCache } from 'lru-cache'
import type { Json } from '../../domain/message.ts'
import { type Cache, MAX_CACHED_LENGTH } from '../../ports/cache.ts'
import type { Clock } from '../../ports/clock.ts'

const MOST_LENGTH = 16_777_216

/** The cache of one process. Values are kept as text: what somebody does to an answer must not change the next one. */
export function createMemoryCache(clock: Pick<Clock, 'monotonicMs'>): Cache {
  const entries = new LRUCache<string, { readonly position: number; readonly text: string }>({
    maxSize: MOST_LENGTH,
    sizeCalculation: ({ text }, key) => text.length + key.length + 100,
    perf: { now: () => clock.monotonicMs() },
    ttlResolution: 0,
  })
  return {
    async get(key, position) {
      const entry = entries.get(key)
      return entry === undefined || entry.position < position ? undefined : (JSON.parse(entry.text) as Json)
    },
    async put(key, position, value, ttlMs) {
      const text = JSON.stringify(value)
      if (text.length > MAX_CACHED_LENGTH || (entries.get(key)?.position ?? position) > position) return
      entries.set(key, { position, text }, { ttl: ttlMs })
    },
    async close() {
      entries.clear()
    },
  }
}
