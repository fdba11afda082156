// The leases contract on a real Redis. Time goes by through the records, so that nothing waits; test/adapters/leases-redis-faults.test.ts
// has the time of the server itself.
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createRedisLeases } from '../../src/adapters/leases/redis.ts'
import { KEY_PREFIX, RECORD } from '../../src/adapters/leases/redis-connection.ts'
import { leasesContract } from '../contracts/leases.ts'
import { silent } from '../support/postgres.ts'
import { until } from '../support/recorded-log.ts'
import type { Server } from '../support/server-process.ts'
import { findServer } from '../support/servers.ts'
import { skipFor } from '../support/skip.ts'

const found = await findServer('redis')

describe('leases in Redis', () => {
  let server: Server
  let redis: Redis
  beforeAll(async () => {
    if (found.reason !== undefined) return
    server = await found.start()
    redis = new Redis(server.url)
  })
  afterAll(async () => {
    redis?.disconnect()
    await server?.stop()
  })
  beforeEach((context) => skipFor(found.reason, context))

  const open = (graceMs = 0) => createRedisLeases({ url: server.url, graceMs, withinMs: 10_000, logger: silent })

  /** Every lease is as old as if `ms` had gone by. */
  async function age(ms: number): Promise<void> {
    for (const key of await redis.keys(`${KEY_PREFIX.replace(/[{}]/g, '\\$&')}*`)) {
      await redis.hincrby(key, 'until', -ms)
      await redis.pexpire(key, (await redis.pttl(key)) - ms)
    }
  }

  leasesContract('redis', async () => {
    await redis.flushdb()
    const leases = await open()
    return { leases, pass: age, close: () => leases.close() }
  })

  it('is one store for all who use it', async () => {
    await redis.flushdb()
    const [one, two] = await Promise.all([open(), open()])
    const claims = await Promise.all(
      Array.from({ length: 40 }, (_, n) => (n % 2 ? one : two).claim('k', `w${n}`, 5_000)),
    )
    expect(claims.filter((given) => given)).toHaveLength(1)
    await two.revoke('k')
    const owner = `w${claims.indexOf(true)}`
    expect(await one.renew(owner, ['k'], 5_000)).toEqual({ revoked: ['k'], lost: [], confirmed: [] })
    await Promise.all([one.close(), two.close()])
  })

  it('takes more keys than one script or one scan does, and leaves the keys of others alone', async () => {
    await redis.flushdb()
    const leases = await open()
    const keys = Array.from({ length: 1_203 }, (_, n) => `${randomUUID()}:stage:${n}`).sort()
    await redis.mset(Object.fromEntries(keys.map((key) => [`other:${key}`, '1'])))
    await Promise.all(keys.map((key) => leases.claim(key, 'w', 60_000)))
    expect((await leases.held()).map(({ key }) => key)).toEqual(keys)
    await leases.release(keys[700]!, 'w')
    await leases.revoke(keys[1_000]!)
    expect(await leases.renew('w', keys, 60_000)).toEqual({ revoked: [keys[1_000]], lost: [keys[700]], confirmed: [] })
    expect(await leases.unheld(keys)).toEqual([keys[700]])
    await leases.close()
  })

  it('forgets what nobody asks for any more', async () => {
    await redis.flushdb()
    const leases = await open()
    await leases.claim('k', 'w', 1_000)
    await age(1_000)
    expect(await redis.exists(`${KEY_PREFIX}k`), 'it may still be renewed').toBe(1)
    await age(3_600_000)
    expect(await redis.exists(`${KEY_PREFIX}k`)).toBe(0)
    await leases.close()
  })

  it('lets a holder that is late renew, unless somebody was told that it is gone', async () => {
    await redis.flushdb()
    const leases = await open()
    await leases.claim('k', 'w', 1_000)
    await age(1_500)
    expect(await leases.renew('w', ['k'], 1_000)).toEqual({ revoked: [], lost: [], confirmed: [] })
    expect(await leases.unheld(['k'])).toEqual([])
    await age(1_500)
    expect(await leases.unheld(['k'])).toEqual(['k'])
    expect(await leases.renew('w', ['k'], 1_000)).toEqual({ revoked: [], lost: ['k'], confirmed: [] })
    await leases.close()
  })

  it('holds nothing for longer than its time where the clock of the server was set back', async () => {
    await redis.flushdb()
    const leases = await open()
    await leases.claim('k', 'w', 1_000)
    await age(-3_600_000)
    expect(await leases.unheld(['k'])).toEqual([])
    await age(1_000)
    expect(await leases.unheld(['k'])).toEqual(['k'])
    await leases.close()
  })

  it('ends no lease because the clock of the server was put forward', async () => {
    await redis.flushdb()
    const leases = await open(1_000)
    await leases.claim('k', 'w', 1_000)
    await until('calm', () => leases.unheld(['nobody']).catch(() => undefined))
    await redis.multi().hincrby(`${KEY_PREFIX}k`, 'until', -600_000).hincrby(RECORD, 'seen', -600_000).exec()
    await expect(leases.unheld(['k'])).rejects.toThrow(/gives holders 1000 ms/)
    await expect(leases.claim('k', 'v', 1_000)).rejects.toThrow(/gives holders 1000 ms/)
    expect(await leases.renew('w', ['k'], 60_000)).toEqual({ revoked: [], lost: [], confirmed: [] })
    await until('calm', () => leases.unheld(['nobody']).catch(() => undefined))
    expect(await leases.unheld(['k'])).toEqual([])
    await leases.close()
  })

  it('takes no expiry for granted until it has been there for one grace', async () => {
    await redis.flushdb()
    const leases = await open(60_000)
    expect(await leases.claim('new', 'w', 1_000), 'what was never given').toBe(true)
    expect(await leases.unheld(['new'])).toEqual([])
    await expect(leases.unheld(['new', 'other'])).rejects.toThrow(/gives holders 60000 ms/)
    await age(2_000)
    await expect(leases.unheld(['new'])).rejects.toThrow(/gives holders 60000 ms/)
    await expect(leases.claim('new', 'v', 1_000)).rejects.toThrow(/gives holders 60000 ms/)
    expect(await leases.renew('w', ['new'], 1_000)).toEqual({ revoked: [], lost: [], confirmed: [] })
    await leases.close()
  })
})
