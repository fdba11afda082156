import { Registry } from 'prom-client'
import { expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../src/adapters/clock.ts'
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import { measureLeases, measureStore } from '../../src/adapters/measured.ts'
import { newId } from '../../src/commands/new-id.ts'
import type { NewEvent } from '../../src/domain/message.ts'
import { WrongExpectedRevision } from '../../src/ports/event-store.ts'
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
