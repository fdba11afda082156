import { Registry } from 'prom-client'
import { expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../src/adapters/clock.ts'
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import { measureLeases, measureQueue, measureReports, measureStore } from '../../src/adapters/measured.ts'
import { createMemoryQueue } from '../../src/adapters/work-queue/memory.ts'
import { newId } from '../../src/commands/new-id.ts'
import type { NewEvent } from '../../src/domain/message.ts'
import { WrongExpectedRevision } from '../../src/ports/event-store.ts'
import { someWork } from '../support/some-work.ts'
import { freshStore } from '../support/stores.ts'

const event = (type: string, data: object = {}): NewEvent => ({
  ...{ id: newId(), type, version: 1, at: '2026-01-01T00:00:00.000Z', data: data as NewEvent['data'] },
  metadata: { namespace: 'default', correlationId: 'c', commandId: newId(), actor: 'user:ada' },
})

async function measured(registry: Registry, name: string, labels: Readonly<Record<string, string>> = {}) {
  const metric = (await registry.getMetricsAsJSON()).find((one) => name.startsWith(one.name))
  const values = (metric?.values ?? []) as { value: number; metricName?: string; labels: Record<string, unknown> }[]
  const isIt = (one: (typeof values)[number]) => (one.metricName ?? metric?.name) === name
  return values.find((one) => isIt(one) && Object.entries(labels).every(([key, value]) => one.labels[key] === value))
    ?.value
}

it('appends are timed by what came of them, and their events and failures counted', async () => {
  const registry = new Registry()
  const store = await freshStore()
  measureStore(store, registry)
  const failed = event('StageFailed', { class: 'transient', recovery: 'retry' })
  await store.append('execution-a', 'noStream', [event('StageStarted'), failed])
  await expect(store.append('execution-a', 'noStream', [event('StageStarted')])).rejects.toThrow(WrongExpectedRevision)
  const count = (outcome: string) => measured(registry, 'millrace_append_duration_seconds_count', { outcome })
  expect([await count('ok'), await count('WrongExpectedRevision')]).toEqual([1, 1])
  expect(await measured(registry, 'millrace_events_appended_total')).toBe(2)
  const kind = { class: 'transient', recovery: 'retry' }
  expect(await measured(registry, 'millrace_attempts_failed_total', kind)).toBe(1)
})

it('renewals of leases are counted by what came of them, also where the store is out of reach', async () => {
  const registry = new Registry()
  const leases = createMemoryLeases(systemClock)
  onTestFinished(() => leases.close())
  const renew = leases.renew
  let reachable = true
  leases.renew = (...given) => (reachable ? renew(...given) : Promise.reject(new Error('out of reach')))
  measureLeases(leases, registry)
  for (const key of ['a', 'b']) await leases.claim(key, 'worker', 10_000)
  await leases.revoke('b')
  await leases.renew('worker', ['a', 'b', 'c'], 10_000)
  reachable = false
  await expect(leases.renew('worker', ['a', 'b', 'c'], 10_000)).rejects.toThrow('out of reach')
  const counts = ['renewed', 'revoked', 'lost', 'unreachable'].map((outcome) =>
    measured(registry, 'millrace_lease_renewals_total', { outcome }),
  )
  expect(await Promise.all(counts)).toEqual([1, 1, 1, 3])
})

it('work and reports are measured by how old they are when they come, which is never less than nothing', async () => {
  const registry = new Registry()
  const clock = { ...systemClock, now: () => Date.parse('2026-01-01T00:00:10.000Z') }
  const queue = createMemoryQueue(systemClock)
  onTestFinished(() => queue.close())
  measureQueue(queue, clock, registry)
  const scheduledAt = ['2026-01-01T00:00:07.000Z', '2026-01-01T00:00:11.000Z']
  const taken = Promise.withResolvers<void>()
  let left = scheduledAt.length
  const consumer = queue.consume(['default'], { concurrency: 10 }, async () => {
    if (--left === 0) taken.resolve()
  })
  await queue.publish([])
  await queue.publish(scheduledAt.map((at) => someWork({ scheduledAt: at })))
  await taken.promise
  await consumer.close()
  expect(await measured(registry, 'millrace_publish_duration_seconds_count')).toBe(2)
  for (const when of ['published', 'taken']) {
    expect(await measured(registry, 'millrace_work_age_seconds_count', { when })).toBe(2)
    expect(await measured(registry, 'millrace_work_age_seconds_sum', { when })).toBe(3)
  }
  const reports: string[] = []
  const take = measureReports(async (_, { type }) => void reports.push(type), clock, registry)
  const about = { stage: 'build', attempt: 1, worker: 'w', at: '2026-01-01T00:00:08.000Z' }
  await take(someWork(), { type: 'StopStage', ...about })
  expect(reports).toEqual(['StopStage'])
  expect(await measured(registry, 'millrace_report_age_seconds_sum')).toBe(2)
})
