import { expect, it } from 'vitest'
import { groupIdFor } from '../../src/commands/fingerprint.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { NOTHING } from '../../src/domain/pool/amounts.ts'
import { createAllocator } from '../../src/reactors/allocator.ts'
import { start as begun, later, stage, workflow } from '../support/executions.ts'

const one = { ...NOTHING, slots: 1 }
const run = workflow([stage('a')])

/** An allocator that is given events of runs and of their groups, one slot each, and whose commands lead to nothing. */
function allocating() {
  const told: string[] = []
  const tell = (executionId: string, type: string) => {
    told.push(`${executionId} ${type}`)
    return Promise.resolve(undefined)
  }
  const allocator = createAllocator(
    {
      tellPool: (_, { type }, { executionId }) => tell(executionId, type),
      tellExecution: ({ type }, { executionId }) => tell(executionId, type),
    },
    { now: () => 0 },
  )
  let position = 0
  const apply = (stream: string, type: string, data: object) => {
    const about = { id: `event${position}`, version: 1, revision: 0, at: later(0) }
    const metadata = { namespace: 'default', correlationId: 'c', commandId: 'c', actor: 'a' }
    allocator.apply({ ...about, stream, type, data, position: position++, metadata } as RecordedEvent)
  }
  const ofGroup = (group: string, type: string, executionId: string, inUse: number) => {
    const data = { holder: { executionId }, fence: 1, amounts: one, capacity: one, inUse: { ...NOTHING, slots: inUse } }
    apply(`group-default.${groupIdFor(group)}`, type, data)
  }
  return {
    ...{ allocator, told, apply },
    begins(executionId: string, group: string) {
      const concurrency = { group, limit: 1, onConflict: 'reject' }
      apply(`execution-${executionId}`, 'ExecutionStarted', {
        ...begun(run, { executionId }),
        ...{ timeoutAt: later(0), concurrency },
      })
    },
    granted: (group: string, executionId: string) => ofGroup(group, 'CapacityGranted', executionId, 1),
    released: (group: string, executionId: string) => ofGroup(group, 'CapacityReleased', executionId, 0),
    admitted: (executionId: string, group: string) =>
      apply(`execution-${executionId}`, 'ExecutionAdmitted', {
        ...{ grant: { pool: group, fence: 1 }, timeoutAt: later(0) },
      }),
    ends: (executionId: string) => apply(`execution-${executionId}`, 'ExecutionCompleted', { stages: 1 }),
  }
}

it('rejects nobody for a run that has ended and is about to leave its group', async () => {
  const { allocator, told, begins, granted, admitted, ends, released } = allocating()
  begins('one', 'web')
  granted('web', 'one')
  admitted('one', 'web')
  ends('one')
  begins('two', 'web')
  await allocator.act(true)
  expect(told).toEqual(['one ReleaseCapacity'])
  released('web', 'one')
  await allocator.act(true)
  expect(told).toEqual(['one ReleaseCapacity', 'two GrantCapacity'])
})

it('forgets the groups that nobody asks any more, and takes up one that comes back', async () => {
  const { allocator, told, apply, begins, granted, admitted, ends, released } = allocating()
  for (let n = 0; n < 1_000; n++) {
    const [id, group] = [`run${n}`, `branch ${n}`]
    begins(id, group)
    if (n % 3 === 0) apply(`execution-${id}`, 'ExecutionPaused', { reason: 'a break' })
    else {
      if (n % 3 === 1) await allocator.act(true)
      granted(group, id)
      admitted(id, group)
    }
    expect(allocator.streams()).toHaveLength(1)
    ends(id)
    if (n % 3 !== 0) released(group, id)
    expect(allocator.streams()).toEqual([])
  }
  await allocator.act(true)
  told.length = 0
  begins('again', 'branch 1')
  await allocator.act(true)
  expect(told).toEqual(['again GrantCapacity'])
})

it('takes who asks a second time for who asks already', async () => {
  const { allocator, told, begins, granted, ends, released } = allocating()
  begins('one', 'web')
  begins('one', 'web')
  granted('web', 'one')
  begins('one', 'web')
  await allocator.act(true)
  expect(told).toEqual(['one AdmitExecution'])
  ends('one')
  released('web', 'one')
  await allocator.act(true)
  expect(allocator.streams()).toEqual([])
})

it('keeps a group that is held by somebody who has ended until that is given back, also over a restart', async () => {
  const { allocator, begins, granted, admitted, ends } = allocating()
  begins('one', 'web')
  granted('web', 'one')
  admitted('one', 'web')
  ends('one')
  const after = allocating()
  after.allocator.restore(JSON.parse(JSON.stringify(allocator.dump())))
  expect(after.allocator.streams()).toEqual(allocator.streams())
  await after.allocator.act(true)
  expect(after.told).toEqual(['one ReleaseCapacity'])
  after.released('web', 'one')
  expect(after.allocator.streams()).toEqual([])
})
