// A Redis that is killed, emptied, stopped and cut off, while a holder renews, a watch looks for leases that nobody holds and
// a rival wants them: all that a lease may end by is a holder that does not renew.
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createRedisLeases, type RedisLeases } from '../../src/adapters/leases/redis.ts'
import { LeasesUnavailable } from '../../src/ports/leases.ts'
import { silent } from '../support/postgres.ts'
import { until } from '../support/recorded-log.ts'
import type { OwnServer } from '../support/server-process.ts'
import { findOwnServer } from '../support/servers.ts'
import { skipFor } from '../support/skip.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'

const TTL_MS = 1_200
const BEAT_MS = 60
/** Commands time out after 250 ms; the rest is for a machine that is busy. */
const ANSWERED_WITHIN_MS = 1_500
const KEYS = ['run:build:1', 'run:test:1', 'worker:w']

const found = await findOwnServer('redis')

describe('leases while Redis is away', () => {
  let server: OwnServer
  let proxy: TcpProxy
  let direct: string
  let through: string
  beforeAll(async () => {
    if (found.reason !== undefined) return
    server = await found.start()
    direct = server.url
    proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(direct).port) })
    through = `redis://127.0.0.1:${proxy.port}`
  })
  afterAll(async () => {
    await proxy?.close()
    await server?.stop()
  })
  const closing: (() => Promise<unknown>)[] = []
  beforeEach((context) => skipFor(found.reason, context))
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
    proxy?.pass()
    server?.resume()
    await server?.restart({ emptied: true })
  })

  async function open(url: string): Promise<RedisLeases> {
    const leases = await createRedisLeases({ url, graceMs: TTL_MS, withinMs: 10_000, logger: silent })
    closing.push(() => leases.close())
    return leases
  }

  /** A holder, a watch and a rival, each a client of its own, as they are in processes of their own. */
  async function play(url: string) {
    const [holder, watch, rival] = await Promise.all([open(url), open(url), open(url)])
    const seen = { lost: [] as string[], reported: [] as string[], taken: [] as string[], refusals: 0, slowestMs: 0 }
    const calls: Promise<void>[] = []
    let renewedMs = performance.now()
    let isAlive = true
    let over = false
    const asking = async <T>(ask: () => Promise<T>): Promise<T | undefined> => {
      const askedMs = performance.now()
      try {
        return await ask()
      } catch (error) {
        expect(error).toBeInstanceOf(LeasesUnavailable)
        seen.refusals++
        return undefined
      } finally {
        seen.slowestMs = Math.max(seen.slowestMs, performance.now() - askedMs)
      }
    }
    const again = (turn: () => Promise<void>) =>
      calls.push(
        (async () => {
          while (!over) {
            await turn()
            await delay(BEAT_MS)
          }
        })(),
      )
    for (const key of KEYS) expect(await holder.claim(key, 'w', TTL_MS)).toBe(true)
    again(async () => {
      const answer = isAlive ? await asking(() => holder.renew('w', KEYS, TTL_MS)) : undefined
      if (answer) renewedMs = performance.now()
      seen.lost.push(...(answer?.lost ?? []))
    })
    again(async () => void seen.reported.push(...((await asking(() => watch.unheld(KEYS))) ?? [])))
    again(async () => {
      if (await asking(() => rival.claim(KEYS[0]!, 'rival', TTL_MS))) seen.taken.push(KEYS[0]!)
    })
    closing.push(async () => {
      over = true
      await Promise.all(calls)
    })
    return {
      seen,
      holder,
      watch,
      /** Until leases have run out that cannot be renewed. */
      runOut: () => until('the leases to run out', async () => performance.now() - renewedMs > TTL_MS + 300),
      /** Until the watch is told again who holds what: that the holder holds everything, and nobody else. */
      async healed() {
        await until('a renewal', async () => performance.now() - renewedMs < BEAT_MS)
        await until('what is held', async () => (await watch.unheld(KEYS).catch(() => ['?'])).length === 0)
        await until('calm', () => watch.unheld(['nobody']).catch(() => undefined))
        expect(await watch.held()).toEqual(KEYS.map((key) => ({ key, owner: 'w', revoked: false })))
      },
      /** The holder dies: now its leases end, for everybody. */
      async dies() {
        expect(seen).toMatchObject({ lost: [], reported: [], taken: [] })
        isAlive = false
        await until('the leases to be reported', async () => KEYS.slice(1).every((key) => seen.reported.includes(key)))
        await until('the rival to get one', async () => seen.taken.length > 0)
        expect(performance.now() - renewedMs).toBeGreaterThan(TTL_MS - BEAT_MS)
        expect(seen.slowestMs).toBeLessThan(ANSWERED_WITHIN_MS)
      },
    }
  }

  it('end when their holder dies, and not before', async () => {
    const scene = await play(direct)
    await scene.healed()
    await scene.dies()
  })

  it.each([
    ['with its data, at once', false, false],
    ['with its data, after every lease had run out', false, true],
    ['without its data, at once', true, false],
    ['without its data, after every lease had run out', true, true],
  ])('wait while it is killed and comes back %s', async (_, emptied, late) => {
    const scene = await play(direct)
    await scene.healed()
    await server.kill()
    // It may be back sooner than anybody asks: then it was not away for anybody.
    await until('somebody to be refused', async () => scene.seen.refusals > 0)
    if (late) await scene.runOut()
    await server.restart({ emptied })
    await scene.healed()
    await scene.dies()
  })

  it('wait while it is stopped for longer than they live, and goes on with what it had in hand', async () => {
    const scene = await play(direct)
    await scene.healed()
    server.pause()
    await scene.runOut()
    server.resume()
    await scene.healed()
    expect(scene.seen.refusals).toBeGreaterThan(0)
    await scene.dies()
  })

  it('wait while nothing gets through to it, and count nothing that comes late', async () => {
    const scene = await play(through)
    await scene.healed()
    proxy.swallow()
    await scene.runOut()
    proxy.pass()
    await scene.healed()
    expect(scene.seen.refusals).toBeGreaterThan(0)
    await scene.dies()
  })

  it('wait for a holder that is cut off together with whoever asks, though others still reach it', async () => {
    const scene = await play(through)
    const other = await open(direct)
    await scene.healed()
    proxy.swallow()
    await scene.runOut()
    expect(await other.held(), 'they have run out').toEqual([])
    proxy.pass()
    await scene.healed()
    await scene.dies()
  })

  it('outlive connections that break', async () => {
    const scene = await play(through)
    await scene.healed()
    for (let n = 0; n < 5; n++) {
      const { refusals } = scene.seen
      await until('a break to be noticed', async () => {
        proxy.cut()
        return scene.seen.refusals > refusals
      })
    }
    await scene.healed()
    await scene.dies()
  })

  it('find another way to it where a connection is dead and nobody says so', async () => {
    const leases = await open(through)
    proxy.strand()
    await expect(leases.claim('k', 'w', TTL_MS)).rejects.toThrow(LeasesUnavailable)
    expect(await until('Redis', () => leases.claim('k', 'w', TTL_MS).catch(() => undefined))).toBe(true)
  })

  it('are spared what was given up and comes late', async () => {
    const [late, other] = [await open(through), await open(direct)]
    await other.claim('k', 'w', 60_000)
    proxy.swallow()
    await expect(late.release('k', 'w')).rejects.toThrow(/cannot be reached: /)
    proxy.pass()
    await until('Redis', () => late.held().catch(() => undefined))
    expect(await other.held()).toEqual([{ key: 'k', owner: 'w', revoked: false }])
  })

  it('keep the word to stop for a holder whose lease was lost with the data', async () => {
    const [holder, engine] = [await open(direct), await open(direct)]
    await holder.claim('k', 'w', TTL_MS)
    await server.restart({ emptied: true })
    await until('Redis', () =>
      engine.revoke('k').then(
        () => true,
        () => false,
      ),
    )
    await expect(engine.claim('k', 'rival', TTL_MS)).rejects.toThrow(LeasesUnavailable)
    expect(await engine.held()).toEqual([])
    const told = await until('the holder', () => holder.renew('w', ['k'], TTL_MS).catch(() => undefined))
    expect(told).toEqual({ revoked: ['k'], lost: [], confirmed: [] })
    expect(await engine.held()).toEqual([{ key: 'k', owner: 'w', revoked: true }])
  })

  it('are waited for at the start, and not for ever', async () => {
    await server.kill()
    const waiting = open(direct)
    await server.restart()
    await expect((await waiting).claim('k', 'w', TTL_MS)).resolves.toBe(true)
    await server.kill()
    const opened = createRedisLeases({ url: direct, graceMs: TTL_MS, withinMs: 300, logger: silent })
    await expect(opened).rejects.toThrow(/redis:\/\/127.0.0.1:\d+ cannot be used: .*ECONNREFUSED/)
  })
})
