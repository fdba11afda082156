// The cache contract in the process and on a real Redis, and what becomes of answers while that Redis is away.
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { createMemoryCache } from '../../src/adapters/cache/memory.ts'
import { CACHE_PREFIX, createRedisCache } from '../../src/adapters/cache/redis.ts'
import type { Cache } from '../../src/ports/cache.ts'
import { START } from '../../src/ports/event-store.ts'
import { cacheContract } from '../contracts/cache.ts'
import { silent } from '../support/postgres.ts'
import type { OwnServer, Server } from '../support/server-process.ts'
import { findOwnServer, findServer } from '../support/servers.ts'
import { skipFor } from '../support/skip.ts'

cacheContract('in the process', async () => {
  let nowMs = 1_000_000
  const cache = createMemoryCache({ monotonicMs: () => nowMs })
  const pass = async (ms: number) => {
    nowMs += ms
  }
  return { cache, pass, close: () => cache.close() }
})

it('the cache of a process is bounded, and what was asked for lately stays', async () => {
  const cache = createMemoryCache({ monotonicMs: () => 0 })
  const text = 'x'.repeat(200_000)
  for (let n = 0; n < 500; n++) {
    await cache.put(`k${n}`, 1, text, 60_000)
    expect(await cache.get('k0', 1)).toBe(text)
  }
  const known = await Promise.all(Array.from({ length: 500 }, (_, n) => cache.get(`k${n}`, 1)))
  expect(known.filter((value) => value !== undefined).length).toBeLessThan(100)
})

/** Connected, or as good as never. */
async function ready(cache: Cache): Promise<void> {
  await vi.waitFor(async () => {
    await cache.put('ready', 1, true, 10_000)
    expect(await cache.get('ready', 1)).toBe(true)
  })
}

const shared = await findServer('redis')
describe('on Redis', () => {
  let server: Server
  let redis: Redis
  beforeAll(async () => {
    if (shared.reason !== undefined) return
    server = await shared.start()
    redis = new Redis(server.url)
  })
  afterAll(async () => {
    redis?.disconnect()
    await server?.stop()
  })
  beforeEach((context) => skipFor(shared.reason, context))

  cacheContract('redis', async () => {
    await redis.flushdb()
    const cache = createRedisCache({ url: server.url, logger: silent })
    await ready(cache)
    const pass = async (ms: number) => {
      for (const key of await redis.keys('*')) await redis.pexpire(key, (await redis.pttl(key)) - ms)
    }
    return { cache, pass, close: () => cache.close() }
  })

  it('all processes share it, and what somebody else has put there is no answer', async () => {
    const [one, two] = [1, 2].map(() => createRedisCache({ url: server.url, logger: silent })) as [Cache, Cache]
    await Promise.all([ready(one), ready(two)])
    await one.put('k', 3, { shared: true }, 60_000)
    expect(await two.get('k', 3)).toEqual({ shared: true })
    const keys = await redis.keys('*')
    expect(keys.every((key) => key.startsWith(CACHE_PREFIX))).toBe(true)
    for (const odd of ['', 'no entry', '9', '9:', '9:{', 'x:1', '-:1']) {
      for (const key of keys) await redis.set(key, odd)
      expect(await one.get('k', START)).toBeUndefined()
    }
    // Nor does it stand in the way of one.
    await redis.set(keys[0]!, 'no entry')
    await redis.set(keys[1]!, 'no entry')
    await one.put('k', 4, 'again', 60_000)
    expect(await two.get('k', 4)).toBe('again')
    await Promise.all([one.close(), two.close()])
  })

  it('where it may not, it knows nothing, says so once, and does not call Redis away', async () => {
    await redis.call('ACL', 'SETUSER', 'nobody', 'on', '>secret', '~*', '+hello', '+info', '+client', '+ping')
    const said: string[] = []
    const hear = (_: object, message: string) => void said.push(message)
    const url = server.url.replace('redis://', 'redis://nobody:secret@')
    const cache = createRedisCache({ url, logger: { info: hear, warn: hear, error: hear } })
    await vi.waitFor(async () => {
      await cache.put('k', 1, 1, 1_000)
      expect(said).toHaveLength(1)
    })
    for (let n = 0; n < 5; n++) expect(await cache.get('k', START)).toBeUndefined()
    expect(said).toEqual([expect.stringContaining('the cache is refused')])
    expect(said[0]).not.toContain('secret')
    await cache.close()
    await redis.call('ACL', 'DELUSER', 'nobody')
  })
})

const own = await findOwnServer('redis')
describe('without its Redis', () => {
  beforeEach((context) => skipFor(own.reason, context))

  it('it knows nothing, at once, and says so once; when Redis is back it knows again', async () => {
    const server: OwnServer = await own.start()
    const said: string[] = []
    const hear = (_: object, message: string) => void said.push(message)
    const cache = createRedisCache({ url: server.url, logger: { info: hear, warn: hear, error: hear } })
    try {
      await ready(cache)
      for (const harm of [() => server.kill(), async () => server.pause()]) {
        await harm()
        for (let n = 0; n < 5; n++) {
          await cache.put('k', 1, n, 10_000)
          expect(await cache.get('ready', 1)).toBeUndefined()
        }
        await vi.waitFor(() => expect(said).toHaveLength(1))
        expect(said.splice(0)[0]).toContain('the cache is away')
        server.resume()
        await server.restart()
        await ready(cache)
        await vi.waitFor(() => expect(said).toEqual(['the cache is back']))
        said.splice(0)
      }
    } finally {
      await cache.close()
      await server.stop()
    }
  })

  it('a process starts without it, and uses it once it comes', async () => {
    const server: OwnServer = await own.start()
    await server.kill()
    const cache = createRedisCache({ url: server.url, logger: silent })
    try {
      await cache.put('k', 1, 1, 1_000)
      expect(await cache.get('k', 1)).toBeUndefined()
      await server.restart()
      await ready(cache)
    } finally {
      await cache.close()
      await server.stop()
    }
  })
})
