// Leases in Redis, for workers and engines of many processes (docs/decisions/0020-leases-in-redis.md).
import { type Leases, LeasesUnavailable } from '../../ports/leases.ts'
import { connectRedis, KEY_PREFIX, type RedisConnection, type RedisConnectionOptions } from './redis-connection.ts'

/** So that one script holds nobody up for long. */
const KEYS_AT_ONCE = 500

export type RedisLeases = Leases & {
  /** Why leases cannot be asked for right now, as far as is known. */
  readonly away: string | undefined
}

/** Resolves once Redis answers. @throws LeasesUnavailable as `connectRedis` does */
export async function createRedisLeases(options: RedisConnectionOptions): Promise<RedisLeases> {
  const redis = await connectRedis(options)
  const tell = async (...asked: Parameters<RedisConnection['run']>): Promise<unknown> => {
    const answer = await redis.run(...asked)
    if (answer !== undefined) return answer
    const why = `was away or has just been reached, and gives holders ${options.graceMs} ms to renew their leases`
    throw new LeasesUnavailable(`Redis at ${redis.address} ${why}`)
  }

  return {
    get away() {
      return redis.away
    },
    async claim(key, owner, ttlMs) {
      return (await tell('claim', [keyOf(key)], [owner, ttlMs])) === 1
    },
    async renew(owner, keys, ttlMs) {
      const revoked: string[] = []
      const lost: string[] = []
      const confirmed: string[] = []
      for (const some of chunks(keys)) {
        const answers = (await tell('renew', some.map(keyOf), [owner, ttlMs])) as readonly number[]
        lost.push(...some.filter((_, at) => answers[at] === 2))
        revoked.push(...some.filter((_, at) => answers[at] === 1 || answers[at] === 5))
        confirmed.push(...some.filter((_, at) => answers[at]! >= 4))
      }
      return { revoked, lost, confirmed }
    },
    async release(key, owner) {
      await tell('release', [keyOf(key)], [owner])
    },
    async confirm(key, owner) {
      await tell('confirm', [keyOf(key)], [owner])
    },
    async revoke(key) {
      await tell('revoke', [keyOf(key)])
    },
    async unheld(keys) {
      const nobodys: string[] = []
      for (const some of chunks(keys)) {
        const numbers = (await tell('unheld', some.map(keyOf))) as readonly number[]
        nobodys.push(...numbers.map((number) => some[number - 1]!))
      }
      return nobodys
    },
    async held() {
      const found = await scanAll(redis)
      const all = []
      for (const some of chunks(found)) {
        const answers = (await tell('held', some)) as readonly string[]
        for (const [at, key] of some.entries()) {
          const owner = answers[2 * at]!
          if (owner !== '') all.push({ key: key.slice(KEY_PREFIX.length), owner, revoked: answers[2 * at + 1] === '1' })
        }
      }
      return all
    },
    close: () => redis.close(),
  }
}

const keyOf = (key: string): string => `${KEY_PREFIX}${key}`

/** Redis may answer a key more than once. */
async function scanAll(redis: RedisConnection): Promise<readonly string[]> {
  const keys = new Set<string>()
  let cursor = '0'
  do {
    const [next, found] = await redis.scan(cursor, `${KEY_PREFIX.replace(/[{}]/g, '\\$&')}*`)
    for (const key of found) keys.add(key)
    cursor = next
  } while (cursor !== '0')
  return [...keys].sort()
}

const chunks = <T>(all: readonly T[]): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(all.length / KEYS_AT_ONCE) }, (_, at) =>
    all.slice(at * KEYS_AT_ONCE, (at + 1) * KEYS_AT_ONCE),
  )
