// Appends to an EventStoreDB that breaks on command: none is lost, none is doubled, and who asks is told what is known.
import { v7 as uuidv7 } from 'uuid'
import { describe, expect, it, vi } from 'vitest'
import { AppendTooLarge, type ExpectedRevision, MAX_APPEND_BYTES } from '../../src/ports/event-store.ts'
import { anEvent } from '../contracts/event-store.ts'
import type { Fault } from '../support/eventstoredb/faults.ts'
import { aServer, aStore } from '../support/eventstoredb/stores.ts'
import { eventsOf } from '../support/stores.ts'

const some = (count: number) => Array.from({ length: count }, (_, n) => anEvent('Happened', { n }))
const aStream = () => `execution-${uuidv7()}`
/** Short enough for a test to wait for it, and long enough for a busy machine. */
const CALL_MS = 400

const faults: readonly Fault[] = ['lose', 'loseAnswer', 'ignore', 'hang', 'late', 'busy']
const expectations: readonly ExpectedRevision[] = ['noStream', 'any', 1]

describe('an append that goes wrong', () => {
  for (const fault of faults)
    it.each(expectations)(
      `is there once when the server does this to it: ${fault} (expecting %s)`,
      async (expected) => {
        const server = await aServer()
        const store = aStore(server, { callMs: CALL_MS })
        const stream = aStream()
        const before = expected === 1 ? 2 : 0
        if (before > 0) await store.append(stream, 'noStream', some(before))
        server.faults.lateMs = 2 * CALL_MS
        server.faults.plan('append', fault, fault)
        const events = some(3)
        const answer = await store.append(stream, expected, events)
        const stored = await eventsOf(store, stream)
        expect(stored.slice(before).map(({ id }) => id)).toEqual(events.map(({ id }) => id))
        expect(answer).toEqual({ revision: before + 2, position: stored.at(-1)!.position })
        expect(await store.head()).toBe(answer.position)
      },
    )

  it('is no conflict when others have gone on behind it meanwhile', async () => {
    const server = await aServer()
    const [store, other] = [aStore(server, { callMs: CALL_MS }), aStore(server)]
    const stream = aStream()
    server.faults.plan('append', 'hang')
    const events = some(2)
    const appending = store.append(stream, 'noStream', events)
    await vi.waitFor(async () => expect(await eventsOf(other, stream)).toHaveLength(2))
    await other.append(stream, 1, some(1))
    const stored = await eventsOf(other, stream)
    expect(await appending).toEqual({ revision: 1, position: stored[1]!.position })
    expect(stored).toHaveLength(3)
  })

  it('is found again by itself where any revision will do and the server has forgotten it', async () => {
    const server = await aServer({ durable: true })
    const store = aStore(server, { callMs: 5_000 })
    const stream = aStream()
    server.faults.plan('append', 'hang')
    const events = some(2)
    const appending = store.append(stream, 'any', events)
    const reader = aStore(server)
    await vi.waitFor(async () => expect(await eventsOf(reader, stream)).toHaveLength(2))
    await server.restart()
    expect((await appending).revision).toBe(1)
    expect(await eventsOf(store, stream)).toHaveLength(2)
  })

  it('is found again when its caller repeats it where any revision will do and the server has forgotten it', async () => {
    const server = await aServer({ durable: true })
    const store = aStore(server, { callMs: CALL_MS, patienceMs: 10 })
    const stream = aStream()
    server.faults.plan('append', 'hang')
    const events = some(2)
    const refusal = await store.append(stream, 'any', events).catch((error) => error)
    expect(refusal).toMatchObject({ name: 'StoreUnavailable', nothingWritten: false })
    await server.restart()
    const answer = await vi.waitFor(() => store.append(stream, 'any', events))
    const stored = await eventsOf(store, stream)
    expect(stored.map(({ id }) => id)).toEqual(events.map(({ id }) => id))
    expect(answer).toEqual({ revision: 1, position: stored[1]!.position })
  })

  it.each(['noStream', 'any'] as const)(
    'is answered as the first time also by a server that does not say where a repeat stands (expecting %s)',
    async (expected) => {
      const server = await aServer()
      const store = aStore(server)
      server.faults.hidesPlaceOfRepeats = true
      const stream = aStream()
      const events = some(2)
      const first = await store.append(stream, expected, events)
      await store.append(stream, 1, some(2))
      expect(await store.append(stream, expected, events)).toEqual(first)
    },
  )

  it('is not tried again after a conflict, which is told as it is', async () => {
    const server = await aServer()
    const store = aStore(server)
    server.faults.plan('append', 'conflict')
    const refusal = await store.append(aStream(), 3, some(1)).catch((error) => error)
    expect(refusal).toMatchObject({ name: 'WrongExpectedRevision', expected: 3, actual: 7 })
    expect(server.faults.calls.append).toBe(1)
  })

  it('is not tried again where the server denies it', async () => {
    const server = await aServer()
    const store = aStore(server)
    server.faults.plan('append', 'deny')
    const refusal = await store.append(aStream(), 'any', some(1)).catch((error) => error)
    expect(refusal).toMatchObject({ name: 'StoreUnavailable', nothingWritten: true })
    expect(refusal.message).toContain('Access Denied')
    expect(server.faults.calls.append).toBe(1)
    await store.head()
    expect(store.refusing).toContain('Access Denied')
    await store.append(aStream(), 'any', some(1))
    expect(store.refusing).toBeUndefined()
  })

  it.each([
    ['ignore', false],
    ['loseAnswer', false],
    ['busy', true],
  ] as const)('that never succeeds says whether it may be there all the same: %s', async (fault, nothingWritten) => {
    const server = await aServer()
    const store = aStore(server, { callMs: 100, patienceMs: 200 })
    server.faults.plan('append', ...Array<Fault>(50).fill(fault))
    const refusal = await store.append(aStream(), 'noStream', some(1)).catch((error) => error)
    expect(refusal).toMatchObject({ name: 'StoreUnavailable', nothingWritten })
  })

  it('was not written when an earlier try may have been, only because the last one was refused', async () => {
    const server = await aServer()
    const store = aStore(server, { callMs: 100, patienceMs: 400 })
    server.faults.plan('append', 'ignore', ...Array<Fault>(50).fill('busy'))
    const refusal = await store.append(aStream(), 'noStream', some(1)).catch((error) => error)
    expect(refusal).toMatchObject({ name: 'StoreUnavailable', nothingWritten: false })
  })

  it('waits for a server that comes back, and gives up on one that does not', async () => {
    const server = await aServer()
    const store = aStore(server, { patienceMs: 1_000 })
    await server.stop()
    const refusal = await store.append(aStream(), 'any', some(1)).catch((error) => error)
    expect(refusal).toMatchObject({ name: 'StoreUnavailable', nothingWritten: true })
    expect(store.refusing).toContain('No connection established')
    const stream = aStream()
    const appending = store.append(stream, 'noStream', some(1))
    await server.start()
    expect((await appending).revision).toBe(0)
    expect(store.refusing).toBeUndefined()
  })
})

describe('an append that the server is not asked for', () => {
  it.each([
    ['a BigInt', { n: 1n }],
    [
      'a cycle',
      (() => {
        const cycle: { self?: unknown } = {}
        cycle.self = cycle
        return cycle
      })(),
    ],
    ['nothing', undefined as unknown as object],
  ])('is one of data that is no JSON: %s', async (_, data) => {
    const server = await aServer()
    const store = aStore(server)
    const stream = aStream()
    const refused = store.append(stream, 'noStream', [{ ...anEvent(), data }])
    await expect(refused).rejects.toThrow(TypeError)
    expect(server.faults.calls.append).toBe(0)
    expect((await store.append(stream, 'noStream', some(1))).revision).toBe(0)
  })

  it('is one over the limit; one just below it the server takes', async () => {
    const server = await aServer()
    const store = aStore(server)
    const stream = aStream()
    const metadata = anEvent().metadata
    const sized = (length: number) => ({ ...anEvent('Large', { text: 'x'.repeat(length) }), metadata })
    const overhead = await roomTakenBy(store.append.bind(store), sized)
    const refused = store.append(stream, 'noStream', [sized(MAX_APPEND_BYTES - overhead + 1)])
    await expect(refused).rejects.toThrow(AppendTooLarge)
    expect(server.faults.calls.append).toBe(0)
    await store.append(stream, 'noStream', [sized(MAX_APPEND_BYTES - overhead)])
    expect(await eventsOf(store, stream)).toHaveLength(1)
  })

  async function roomTakenBy(
    append: (...args: Parameters<ReturnType<typeof aStore>['append']>) => Promise<unknown>,
    sized: (length: number) => ReturnType<typeof anEvent>,
  ): Promise<number> {
    const { bytes } = (await append(aStream(), 'any', [sized(MAX_APPEND_BYTES)]).catch(
      (error) => error,
    )) as AppendTooLarge
    return bytes - MAX_APPEND_BYTES
  }
})

it('takes many events at once, each with a position of its own', async () => {
  const store = aStore(await aServer())
  const stream = aStream()
  const events = some(3_000)
  const answer = await store.append(stream, 'noStream', events)
  const stored = await eventsOf(store, stream)
  expect(stored.map(({ id }) => id)).toEqual(events.map(({ id }) => id))
  expect(answer).toEqual({ revision: 2_999, position: stored.at(-1)!.position })
  expect(new Set(stored.map(({ position }) => position)).size).toBe(3_000)
})
