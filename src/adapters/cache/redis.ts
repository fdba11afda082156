import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Json } from '../../domain/message.ts'
import { type Cache, MAX_CACHED_LENGTH } from '../../ports/cache.ts'
import type { Logger } from '../../ports/logger.ts'
import { createRedis, reasonOf, redisAddress } from '../redis/client.ts'

/** Longer than this an answer is sooner worked out than waited for. */
const TIMEOUT_MS = 250
export const CACHE_PREFIX = '{millrace}:cache:'

/** An entry is `position:JSON`. One that is newer stays, whoever comes last. */
const PUT = `
local at = tonumber(string.match(redis.call('GET', KEYS[1]) or '', '^(-?%d+):') or '')
if at and at > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
return 1
`

type Commands = Redis & {
  putEntry(key: string, position: number, text: string, ttlMs: number): Promise<number>
}

/** The cache of all processes. Without its Redis it knows nothing; that is said once when it goes and once when it is back. */
export function createRedisCache({ url, logger }: { readonly url: string; readonly logger: Logger }): Cache {
  const redis = createRedis(url, TIMEOUT_MS, { putEntry: { lua: PUT, numberOfKeys: 1 } }) as Commands
  const address = redisAddress(url)
  let away = false
  let isRefused = false
  let closing = false

  function failed(error: Error): undefined {
    if (error.name === 'ReplyError') return refused(error)
    if (!away && !closing)
      logger.warn({ redis: address }, `the cache is away, answers are worked out: ${reasonOf(error)}`)
    away = true
    return undefined
  }

  /** It is there, and does not do what it is asked, as where the account may not. */
  function refused({ message }: Error): undefined {
    if (!isRefused) logger.warn({ redis: address }, `the cache is refused, answers are worked out: ${message}`)
    isRefused = true
    return undefined
  }

  redis.on('error', failed)
  redis.on('close', () => failed(new Error('the connection was lost')))
  redis.on('ready', () => {
    if (away) logger.info({ redis: address }, 'the cache is back')
    away = false
  })
  // It tries again by itself.
  void redis.connect().catch(() => {})

  /** Undefined where it cannot be done now: nobody waits for a connection. */
  const asking = async <T>(ask: () => Promise<T>): Promise<T | undefined> =>
    redis.status === 'ready' ? ask().catch(failed) : undefined

  return {
    async get(key, position) {
      const entry = await asking(() => redis.get(nameOf(key)))
      const [, at, text = ''] = /^(-?\d+):(.*)$/s.exec(entry ?? '') ?? []
      return at === undefined || Number(at) < position ? undefined : jsonOf(text)
    },
    async put(key, position, value, ttlMs) {
      const text = JSON.stringify(value)
      if (text.length <= MAX_CACHED_LENGTH) await asking(() => redis.putEntry(nameOf(key), position, text, ttlMs))
    },
    async close() {
      closing = true
      redis.disconnect()
    },
  }
}

/** Keys may be long, and say what people asked for. */
const nameOf = (key: string): string => CACHE_PREFIX + createHash('sha256').update(key).digest('base64url')

/** What is no JSON was not put there by us. */
function jsonOf(text: string): Json | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
