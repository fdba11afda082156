import { expect, it } from 'vitest'
import { NOTHING } from '../../src/domain/pool/amounts.ts'
import { poolStream } from '../../src/domain/pool/events.ts'
import { Allocations, type SeenEvent } from '../../src/reactors/allocations.ts'

const RUN = '01a214f9-e016-74c3-aa9a-87f1937031a6'
const POOL = poolStream('default', 'p')
const one = { ...NOTHING, slots: 1 }
const holder = { executionId: RUN, stage: 'a', attempt: 1 }

function read(...events: readonly { stream: string; type: string; data: object }[]): Allocations {
  const seen = new Allocations()
  for (const [index, event] of events.entries())
    seen.apply({
      ...{ ...event, id: `event-${index}`, revision: index, position: index, at: '2026-01-01T00:00:00.000Z' },
      metadata: { namespace: 'default' },
    } as unknown as SeenEvent)
  return seen
}

const asked = {
  ...{ stream: `execution-${RUN}`, type: 'StageDeferred' },
  data: { ...holder, pool: 'p', reason: 'asked', workflow: 'w', priority: 0, amounts: one },
}
const granted = {
  ...{ stream: POOL, type: 'CapacityGranted' },
  data: { holder, amounts: one, fence: 1, capacity: one, inUse: one },
}
const admitted = {
  ...{ stream: `execution-${RUN}`, type: 'StageScheduled' },
  data: { stage: 'a', attempt: 1, grant: { pool: 'p', fence: 1 } },
}
const released = { stream: POOL, type: 'CapacityReleased', data: { holder, fence: 1, capacity: one, inUse: NOTHING } }

it('who gets its share taken before it was admitted stands in line again; who was admitted does not', () => {
  const key = `${RUN}:a:1`
  const isWaiting = (seen: Allocations) => seen.poolOf({ stream: POOL }).line.has(key)
  expect(isWaiting(read(asked))).toBe(true)
  expect(isWaiting(read(asked, granted))).toBe(false)
  expect(isWaiting(read(asked, granted, released))).toBe(true)
  expect(isWaiting(read(asked, granted, admitted, released))).toBe(false)
})
