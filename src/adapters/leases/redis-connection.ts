// One supervised connection to Redis. Nothing waits in a queue for a Redis that is away: what is asked meanwhile rejects at once, and
// what was under way within `timeoutMs`.
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { LeasesUnavailable } from '../../ports/leases.ts'
import type { Logger } from '../../ports/logger.ts'
import { createRedis, reasonOf, redisAddress } from '../redis/client.ts'
import { type ScriptName, scripts } from './redis-scripts.ts'

/** Times in milliseconds. `graceMs` is how long leases are given to be renewed after the store was away: the longest time to live. */
export type RedisConnectionOptions = {
  readonly url: string
  readonly graceMs: number
  readonly logger: Logger
  /** How long a start waits for a Redis that is not there yet. */
  readonly withinMs: number
  readonly signal?: AbortSignal | undefined
}

export type RedisConnection = {
  /** Where it is, without user and password. */
  readonly address: string
  /** Why it cannot be used right now, as far as is known. */
  readonly away: string | undefined
  /** Runs a script over `keys` and answers what it answers; `undefined` where the store cannot tell yet. */
  run(name: ScriptName, keys: readonly string[], args?: readonly (string | number)[]): Promise<unknown>
  /** One step of SCAN: the next cursor, `'0'` at the end, and some keys that match. */
  scan(cursor: string, match: string): Promise<readonly [string, readonly string[]]>
  close(): Promise<void>
}

/** What Redis refuses however often it is asked. */
const FINAL = /^(WRONGPASS|NOAUTH|NOPERM|ERR (invalid|AUTH|Client sent AUTH)|ERR.*DB index)/
const isFinal = (error: Error | undefined): boolean => error !== undefined && FINAL.test(error.message)
const SCRIPTS = Object.fromEntries(Object.entries(scripts).map(([name, lua]) => [name, { lua }]))
const WAIT_MS = 50
/** Of one tag, so that scripts may use them together in a cluster, too. */
export const KEY_PREFIX = '{millrace}:lease:'
/** What the store says of itself. */
export const RECORD = '{millrace}:leases'

/** @throws LeasesUnavailable after `withinMs`, at once where waiting changes nothing, and when `signal` aborts */
export async function connectRedis(options: RedisConnectionOptions): Promise<RedisConnection> {
  const { url, graceMs, withinMs, logger, signal } = options
  // A lease outlives a heartbeat that was missed, and the reconnection after it.
  const timeoutMs = Math.min(Math.max(graceMs / 6, 250), 2_000)
  const address = redisAddress(url)
  const redis = createRedis(url, timeoutMs, SCRIPTS)
  let problem: Error | undefined
  redis.on('error', (error: Error) => {
    problem = error
  })
  // One try at least, however short the time.
  const deadline = performance.now() + Math.max(withinMs, timeoutMs)
  let said = false
  void redis.connect().catch(() => {})
  // It calls itself ready also where it could not select its database.
  while (redis.status !== 'ready' || isFinal(problem)) {
    const isOver = performance.now() > deadline || (problem !== undefined && withinMs < timeoutMs)
    if (isFinal(problem) || isOver || signal?.aborted) {
      redis.disconnect()
      throw new LeasesUnavailable(`Redis at ${address} cannot be used: ${reasonOf(problem)}`)
    }
    if (problem && !said) logger.warn({ redis: address, withinMs }, `waiting for Redis: ${reasonOf(problem)}`)
    said ||= problem !== undefined
    await delay(WAIT_MS, undefined, signal ? { signal } : {}).catch(() => {})
    if (redis.status === 'end') void redis.connect().catch(() => {})
  }
  return supervise(redis, { address, timeoutMs, graceMs, logger })
}

function supervise(
  redis: Redis,
  options: { address: string; timeoutMs: number; graceMs: number; logger: Logger },
): RedisConnection {
  const { address, timeoutMs, graceMs, logger } = options
  /** Leases are renewed three times in their life, so that none can run out within this. */
  const gapMs = graceMs / 4
  const checkMs = Math.min(Math.max(gapMs / 4, 20), 1_000)
  let epoch = ''
  /** When the server last answered, its time then, and since when it has done so without a gap; on the monotonic clock. */
  let answeredMs = performance.now()
  let serverMs = 0
  let steadySinceMs = performance.now()
  let away: string | undefined
  let closing = false
  let check: NodeJS.Timeout | undefined

  const failed = (error: Error): LeasesUnavailable => {
    const reason = reasonOf(error)
    if (away === undefined && !closing) logger.warn({ redis: address }, `Redis is away, leases wait for it: ${reason}`)
    away = reason
    // Without its cause: errors of the client carry their command, and that may be the one with the password.
    return new LeasesUnavailable(`Redis at ${address} cannot be reached: ${reason}`)
  }
  const answered = (nowMs: number): void => {
    // What happened to leases that somebody else held, who may have been cut off with this process, nobody can say here.
    if (away !== undefined || nowMs - answeredMs > gapMs) steadySinceMs = nowMs
    if (away !== undefined) logger.info({ redis: address }, 'Redis is back, leases go on')
    away = undefined
    answeredMs = nowMs
  }

  const run: RedisConnection['run'] = async (name, keys, args = []) => {
    const sentMs = performance.now()
    const steadySince = away !== undefined || sentMs - answeredMs > gapMs ? sentMs : steadySinceMs
    const unsure = sentMs - steadySince < graceMs
    const deadline = serverMs === 0 ? 0 : Math.ceil(serverMs + (sentMs - answeredMs) + timeoutMs)
    const own = [epoch, randomUUID(), graceMs, gapMs, deadline, unsure ? 1 : 0]
    const given = [1 + keys.length, RECORD, ...keys, ...own, ...args]
    let reply: [number, string, unknown]
    try {
      reply = await (redis as unknown as Record<ScriptName, (...given: unknown[]) => Promise<never>>)[name](...given)
    } catch (error) {
      throw failed(error as Error)
    }
    answered(performance.now())
    if (epoch !== '' && epoch !== reply[1])
      logger.warn(
        { redis: address, waitMs: graceMs },
        'Redis has lost its leases; their holders are given time to renew',
      )
    ;[serverMs, epoch] = reply
    return reply[2] === -1 ? undefined : reply[2]
  }

  const look = async (): Promise<void> => {
    if (redis.status === 'end' && !closing) void redis.connect().catch(() => {})
    await run('look', []).catch(() => {})
    if (!closing) check = setTimeout(() => void look(), checkMs)
  }
  redis.on('close', () => failed(new Error('the connection was lost')))
  void look()

  return {
    address,
    get away() {
      return away
    },
    run,
    async scan(cursor, match) {
      try {
        return await redis.scan(cursor, 'MATCH', match, 'COUNT', 1_000)
      } catch (error) {
        throw failed(error as Error)
      }
    },
    async close() {
      closing = true
      clearTimeout(check)
      redis.disconnect()
    },
  }
}
