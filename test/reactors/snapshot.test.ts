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

  it('of a list are found again, whatever is in it', async () => {
    for (const state of [[], [1], [[], {}, 'a,b', '"', null], Array.from({ length: 1_500 }, (_, n) => [n, `${n}`])]) {
      const name = aName()
      await writeSnapshot(store, { name, version: 1, position: 3, state })
      expect(await readSnapshot(store, name, 1)).toEqual({ position: 3, state })
    }
  })

  it('that say in every part how many there are are read as well', async () => {
    const name = aName()
    await writeSnapshot(store, { name, version: 1, position: 5, state: 'x'.repeat(250_000) })
    const [first, last] = await eventsOf(store, `snapshot-${name}`)
    const older = `snapshot-${name}-older`
    const everySaying = [first!, last!].map((event) => ({ ...event, id: newId(), data: { ...event.data, parts: 2 } }))
    for (const event of everySaying) await store.append(older, 'any', [event])
    expect(await readSnapshot(store, `${name}-older`, 1)).toEqual({ position: 5, state: 'x'.repeat(250_000) })
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
