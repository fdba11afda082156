// The whole distributed profile: every role a process of its own, on real servers that let in nobody without an account.
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { CACHE_PREFIX } from '../../src/adapters/cache/redis.ts'
import { kafkaSettings } from '../../src/adapters/kafka/await-kafka.ts'
import { createReader } from '../../src/adapters/kafka/reader.ts'
import { type Distributed, distributedObstacle, processes, startDistributed } from '../support/distributed.ts'
import { silent } from '../support/postgres.ts'
import { skipFor } from '../support/skip.ts'

const why = await distributedObstacle()
const RUNS = 20
const MOST_TRIES = 20
/** Of each role one goes, while the other stays; the projector, of which there is one, goes with the first. */
const WAVES = [
  ['api', 'engine-1', 'reactors-1', 'projector', 'worker-1'],
  ['api-2', 'engine-2', 'reactors-2', 'worker-2'],
]
const steps = ['build', 'test', 'scan', 'deploy', 'verify']
const document = {
  name: 'release',
  stages: Object.fromEntries(
    steps.map((step, at) => [
      step,
      {
        uses: 'shell',
        with: { run: 'echo says $MILLRACE_STAGE; sleep 0.05' },
        retry: { maxAttempts: 3 },
        ...(at > 0 ? { needs: [steps[at - 1]] } : {}),
      },
    ]),
  ),
}

async function call<T>(url: string, method: string, body?: object, key?: string): Promise<T> {
  const headers = { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) }
  const sent = body && { headers, body: JSON.stringify(body) }
  const response = await fetch(url, { method, ...sent, signal: AbortSignal.timeout(15_000) })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}: ${text}`)
  return JSON.parse(text) as T
}

type Run = { readonly status: string; readonly stages: Readonly<Record<string, { readonly attempt: number }>> }

/** What was said of a refusal, also of its causes; nothing where there was none. */
const refusalOf = (trying: Promise<unknown>): Promise<string> =>
  trying.then(
    () => '',
    (error: Error) => `${error.message} ${JSON.stringify(error)}`,
  )

/** Each run as it ended. */
async function untilCompleted(profile: Distributed, ids: readonly string[]): Promise<readonly Run[]> {
  const url = await profile.url()
  const open = new Set(ids)
  const ended: Run[] = []
  for (const deadline = Date.now() + 60_000; open.size > 0; await delay(200)) {
    for (const id of open) {
      const run = await call<Run>(`${url}/v1/default/executions/${id}/state`, 'GET')
      if (run.status === 'completed') {
        open.delete(id)
        ended.push(run)
      } else if (run.status !== 'running') throw new Error(`${id} is ${run.status}`)
    }
    if (Date.now() > deadline) throw new Error(`these have not ended: ${[...open].join(', ')}\n${profile.said()}`)
  }
  return ended
}

describe('every role a process of its own', { timeout: 180_000 }, () => {
  const closing: (() => Promise<void>)[] = []
  let profile: Distributed
  beforeAll(async () => {
    if (why !== undefined) return
    const scope = { onTestFinished: (close: () => Promise<void>) => void closing.unshift(close) }
    // The account of the workers may make no topic, and does not know the second one: that must not keep them from the first.
    const settings = { MILLRACE_QUEUES: 'default,other' }
    profile = await startDistributed(scope, { names: [...processes, 'api-2'], settings, guarded: true })
  }, 120_000)
  afterAll(async () => {
    for (const close of closing) await close()
  })
  beforeEach((context) => {
    skipFor(why, context)
    context.onTestFailed(() => console.error(profile.said()))
  })

  it('takes runs from their start to their end', async () => {
    const url = await profile.url()
    await call(`${url}/v1/default/workflows/release`, 'PUT', document)
    const ids: string[] = []
    for (let n = 0; n < RUNS; n++)
      ids.push((await call<{ id: string }>(`${url}/v1/default/executions`, 'POST', { workflow: 'release' })).id)
    await untilCompleted(profile, ids)
    const logs = `${url}/v1/default/executions/${ids[0]}/stages/scan/logs`
    await vi.waitFor(async () => {
      const { items } = await call<{ items: object[] }>(logs, 'GET')
      expect(items).toEqual([{ line: 1, at: expect.any(String), stream: 'stdout', text: 'says scan' }])
    }, 20_000)
    const workers = await call<{ items: { status: string }[] }>(`${url}/v1/default/workers`, 'GET')
    expect(workers.items.map(({ status }) => status)).toEqual(['running', 'running'])
    const redis = new Redis(profile.redis.url)
    try {
      await vi.waitFor(async () => {
        await call(`${url}/v1/default/failures`, 'GET')
        expect((await redis.keys('*')).some((key) => key.startsWith(CACHE_PREFIX))).toBe(true)
      })
    } finally {
      redis.disconnect()
    }
  })

  it('workers have the queue and the leases only, and their accounts open nothing else', async () => {
    const { MILLRACE_QUEUE: queue = '', MILLRACE_LEASES: leases = '', ...rest } = profile.ofWorker
    expect(JSON.stringify(rest)).not.toMatch(/:\/\//)
    const { brokers, sasl } = kafkaSettings(queue)
    const kafka = new Kafka({ brokers: [...brokers], sasl: sasl as never, logLevel: logLevel.NOTHING })
    const admin = kafka.admin({ retry: { retries: 0 } })
    const reader = createReader(kafkaSettings(queue), silent)
    const producer = kafka.producer({ retry: { retries: 0 } })
    await admin.connect()
    await producer.connect()
    try {
      expect((await admin.listTopics()).sort()).toEqual([
        'millrace.logs',
        'millrace.reports',
        'millrace.work.dead-letter',
        'millrace.work.default',
      ])
      const right = { principal: 'User:worker', host: '*', operation: 2, permissionType: 3 }
      const everything = { ...right, resourceType: 2, resourceName: '*', resourcePatternType: 3 }
      const tries = {
        'the lines of others': reader.read('millrace.logs', 0, 0, 1, () => {}),
        'the reports of others': reader.read('millrace.reports', 0, 0, 1, () => {}),
        'what others could not do': reader.read('millrace.work.dead-letter', 0, 0, 1, () => {}),
        'the reports once more': reader.read('millrace.reports.dead-letter', 0, 0, 1, () => {}),
        'work of its own making': producer.send({ topic: 'millrace.work.default', messages: [{ value: '{}' }] }),
        'other topics': admin.createTopics({ topics: [{ topic: 'millrace.work.other' }] }),
        'their end': admin.deleteTopics({ topics: ['millrace.reports'], timeout: 5_000 }),
        // Who may not know of a group is told that it has no coordinator.
        'the group of engines': admin.describeGroups(['millrace.engines']),
        'rights for itself': admin.createAcls({ acl: [everything] }),
      }
      const refusals = Object.entries(tries).map(async ([what, trying]) => [what, await refusalOf(trying)] as const)
      for (const [what, refusal] of await Promise.all(refusals))
        expect(refusal, what).toMatch(/AUTHORIZATION|authorized|group coordinator/i)
    } finally {
      await Promise.all([admin.disconnect(), producer.disconnect(), reader.close()])
    }
    const redis = new Redis(leases)
    try {
      for (const command of [
        ['set', 'other', '1'],
        ['hgetall', '{millrace}:lease:a'],
        ['del', '{millrace}:cache:a'],
        ['hset', '{millrace}:cache:a', 'b', 'c'],
        ['hset', '{millrace}:lease:role:reactors', 'owner', 'worker'],
        ['eval', `return redis.call('HSET', KEYS[1], 'a', 'b')`, '1', '{millrace}:cache:a'],
        ...[
          ['keys', '*'],
          ['scan', '0'],
          ['flushall'],
          ['select', '1'],
          ['client', 'list'],
          ['config', 'get', '*'],
          ['acl', 'list'],
          ['monitor'],
        ],
      ])
        expect(await refusalOf(redis.call(command[0]!, ...command.slice(1))), command.join(' ')).toMatch(
          /NOPERM|no permission|can't access/i,
        )
    } finally {
      redis.disconnect()
    }
  })

  it('every role is started again under load, and nothing is lost or made twice', async () => {
    const apis = ['api', 'api-2']
    const ids: string[] = []
    let isLoaded = true
    // Each client turns to the other API where one is gone, with the key that makes a repeat the same request.
    const start = async (key: string, tries = 0): Promise<string> => {
      const url = await profile.url(apis[(ids.length + tries) % apis.length])
      try {
        const body = { workflow: 'release' }
        return (await call<{ id: string }>(`${url}/v1/default/executions`, 'POST', body, key)).id
      } catch (error) {
        if (tries === MOST_TRIES) throw error
        await delay(50)
        return start(key, tries + 1)
      }
    }
    const client = async (name: string) => {
      for (let n = 0; isLoaded; n++) ids.push(await start(`${name}-${n}`))
    }
    const clients = Promise.all(['a', 'b', 'c'].map(client))
    for (const wave of WAVES) {
      const before = ids.length
      for (const ended of await Promise.all(wave.map((name) => profile.end(name, 'SIGTERM'))))
        expect(ended).toEqual({ code: 0, signal: null })
      await Promise.all(wave.map((name) => profile.url(name)))
      expect(ids.length).toBeGreaterThan(before)
    }
    isLoaded = false
    await clients
    expect(new Set(ids).size).toBe(ids.length)
    const attempts = (await untilCompleted(profile, ids)).flatMap(({ stages }) => Object.values(stages))
    expect(attempts.map(({ attempt }) => attempt)).toEqual(ids.flatMap(() => steps.map(() => 1)))
  })

  it('every process ends when it is asked to', async () => {
    for (const name of [...processes, 'api-2'].toReversed())
      expect(await profile.end(name, 'SIGTERM'), `${name}\n${profile.said()}`).toEqual({ code: 0, signal: null })
  })
})
