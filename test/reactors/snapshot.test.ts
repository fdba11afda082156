import { beforeEach, describe, expect, it } from 'vitest'
import { newId } from '../../src/commands/new-id.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import { readSnapshot, writeSnapshot } from '../../src/reactors/snapshot.ts'
import { eventsOf, freshStore } from '../support/stores.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

describe('snapshots', () => {
  const aName = () => `test-${newId()}`

  it('are found again whole, however large, and older ones are let go', async () => {
    const state = Array.from({ length: 60_000 }, (_, n) => `entry ${n}`)
    const name = aName()
    await writeSnapshot(store, { name, version: 1, position: 1, state })
    await writeSnapshot(store, { name, version: 1, position: 2, state })
    expect(await readSnapshot(store, name, 1)).toEqual({ position: 2, state })
    const stream = `snapshot-${name}`
    const events = await eventsOf(store, stream)
    expect(events.length).toBeGreaterThan(1)
    expect(new Set(events.map(({ data }) => (data as { position: number }).position))).toEqual(new Set([2]))
  })

  it('are not used when torn or of another version', async () => {
    const name = aName()
    await writeSnapshot(store, { name, version: 1, position: 7, state: ['whole'] })
    const stream = `snapshot-${name}`
    const [whole] = await eventsOf(store, stream)
    const torn = { ...(whole!.data as object), position: 9, part: 0, parts: 2, state: '["to' }
    await store.append(stream, 'any', [{ ...whole!, id: newId(), data: torn }])
    expect(await readSnapshot(store, name, 1)).toEqual({ position: 7, state: ['whole'] })
    expect(await readSnapshot(store, name, 2)).toBeUndefined()
    expect(await readSnapshot(store, 'nobody', 1)).toBeUndefined()
  })
})
