import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { type Context, createHandle } from '../../src/commands/handle.ts'
import { newId } from '../../src/commands/new-id.ts'
import type { Decider } from '../../src/domain/message.ts'
import { Rejected } from '../../src/domain/rejected.ts'
import { type EventStore, StoreUnavailable } from '../../src/ports/event-store.ts'
import { eventsOf, type Fault, faulty, freshStore } from '../support/stores.ts'

type Counted = { type: 'Counted'; data: { by: number; total: number } }
type Command = { by: number } | { refuse: true } | { nothing: true } | { large: number }

/** Counts up; each event says what the total is, so that a decision on a stale state shows in the log. */
const counter: Decider<number, Command, Counted> = {
  initialState: 0,
  evolve: (_, { data }) => data.total,
  decide(command, total) {
    if ('refuse' in command) throw new Rejected('INPUT_INVALID', `refused at ${total}`)
    if ('nothing' in command) return []
    if ('large' in command)
      return [{ type: 'Counted', data: { by: 0, total, text: 'x'.repeat(command.large) } as never }]
    return [{ type: 'Counted', data: { by: command.by, total: total + command.by } }]
  },
}
const context: Context = {
  namespace: 'default',
  correlationId: newId(),
  causationId: newId(),
  actor: 'user:ada',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  at: '2026-01-02T03:04:05.678Z',
}
const aStream = () => `counter-${newId()}`

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

async function totals(stream: string): Promise<number[]> {
  return (await eventsOf(store, stream)).map(({ data }) => (data as Counted['data']).total)
}

describe('handle', () => {
  it('appends what was decided, with who, what for and when', async () => {
    const stream = aStream()
    const commandId = newId()
    const handled = await createHandle(store)(counter, stream, { by: 2 }, { ...context, commandId })
    const [event] = await eventsOf(store, stream)
    const { at, ...metadata } = context
    expect(event).toMatchObject({ type: 'Counted', version: 1, revision: 0, at, metadata: { ...metadata, commandId } })
    expect(handled).toMatchObject({ revision: 0, position: event!.position, events: [{ type: 'Counted' }] })
  })

  it('folds a stream from the last event that says by itself what the state is', async () => {
    const stream = aStream()
    const handle = createHandle(store)
    for (let n = 0; n < 25; n++) await handle(counter, stream, { by: 1 }, context)
    let folded = 0
    const based: typeof counter = {
      ...counter,
      evolve(state, event) {
        folded++
        return counter.evolve(state, event)
      },
      isBase: ({ data }) => data.total % 10 === 0,
    }
    const fresh = createHandle(store)
    expect(await fresh.load(based, stream)).toMatchObject({ state: 25, revision: 24 })
    expect(folded).toBe(6)
    await fresh(based, stream, { by: 1 }, context)
    expect(await handle.load(counter, stream)).toMatchObject({ state: 26, revision: 25 })
    // What is in memory goes on from there.
    await handle(counter, stream, { by: 1 }, context)
    expect(await fresh.load(based, stream)).toMatchObject({ state: 27, revision: 26 })
    expect(await fresh.load(based, aStream())).toMatchObject({ state: 0, revision: -1 })
  })

  it('writes nothing for a refusal or a repeat, and answers where the stream stands', async () => {
    const stream = aStream()
    const handle = createHandle(store)
    await expect(handle(counter, stream, { refuse: true }, context)).rejects.toMatchObject({ code: 'INPUT_INVALID' })
    expect(await handle(counter, stream, { nothing: true }, context)).toMatchObject({ revision: -1, events: [] })
    const { position } = await handle(counter, stream, { by: 1 }, context)
    expect(await handle(counter, stream, { nothing: true }, context)).toMatchObject({
      revision: 0,
      position,
      events: [],
    })
    expect(await totals(stream)).toEqual([1])
  })

  it('decides the commands of a stream one after another, however many come at once', async () => {
    const stream = aStream()
    const handle = createHandle(store)
    const commands = Array.from({ length: 500 }, (_, n): Command => (n % 5 === 0 ? { refuse: true } : { by: 1 }))
    const answers = await Promise.allSettled(commands.map((command) => handle(counter, stream, command, context)))
    expect(answers.map(({ status }) => status)).toEqual(commands.map((c) => ('by' in c ? 'fulfilled' : 'rejected')))
    expect(await totals(stream)).toEqual(Array.from({ length: 400 }, (_, n) => n + 1))
  })

  it('loads again and decides again when somebody else was faster', async () => {
    const stream = aStream()
    const handles = [createHandle(store), createHandle(store), createHandle(store)]
    const commands = Array.from({ length: 60 }, (_, n) => handles[n % 3]!(counter, stream, { by: 1 }, context))
    await Promise.all(commands)
    expect(await totals(stream)).toEqual(Array.from({ length: 60 }, (_, n) => n + 1))
  })

  it('refuses on the log as it is, not on what it remembers', async () => {
    const stream = aStream()
    const [mine, other] = [createHandle(store), createHandle(store)]
    await mine(counter, stream, { by: 1 }, context)
    await other(counter, stream, { by: 10 }, context)
    await expect(mine(counter, stream, { refuse: true }, context)).rejects.toThrow('refused at 11')
    expect(await mine.load(counter, stream)).toMatchObject({ state: 11, revision: 1 })
  })

  it('forgets the least recently used and loads it again', async () => {
    const handle = createHandle(store, { aggregates: 3 })
    const streams = Array.from({ length: 10 }, aStream)
    for (let round = 1; round <= 3; round++)
      await Promise.all(streams.map((stream) => handle(counter, stream, { by: 1 }, context)))
    for (const stream of streams) expect(await totals(stream)).toEqual([1, 2, 3])
  })

  it('refuses what is too large for an event, and only that', async () => {
    const stream = aStream()
    const handle = createHandle(store)
    const commands: Command[] = [{ by: 1 }, { large: 1_100_000 }, { by: 1 }]
    const answers = await Promise.allSettled(commands.map((command) => handle(counter, stream, command, context)))
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect((answers[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'EVENT_TOO_LARGE' })
    expect(await totals(stream)).toEqual([1, 2])
  })

  it('gives up on a store that stays away, and says so', async () => {
    const handle = createHandle(faulty(store, () => 'fail-before'))
    await expect(handle(counter, aStream(), { by: 1 }, context)).rejects.toBeInstanceOf(StoreUnavailable)
  })

  it('does not say that nothing was written when an earlier try may have', async () => {
    const faults: Fault[] = ['fail-before', 'fail-after']
    const handle = createHandle(faulty(store, () => faults.shift() ?? 'fail-before'))
    const failed = handle(counter, aStream(), { by: 1 }, context)
    await expect(failed).rejects.toMatchObject({ nothingWritten: false })
    const never = createHandle(faulty(store, () => 'fail-before'))
    await expect(never(counter, aStream(), { by: 1 }, context)).rejects.toMatchObject({ nothingWritten: true })
  })

  it('appends once, whatever is unknown about an append', async () => {
    const fault = fc.constantFrom<Fault>('fail-before', 'fail-after', undefined, undefined)
    await fc.assert(
      fc.asyncProperty(fc.array(fault, { maxLength: 30 }), fc.integer({ min: 1, max: 12 }), async (faults, count) => {
        const stream = aStream()
        const pending = [...faults]
        const handle = createHandle(faulty(store, () => pending.shift()))
        const answers = await Promise.allSettled(
          Array.from({ length: count }, () => handle(counter, stream, { by: 1 }, { ...context, commandId: newId() })),
        )
        const accepted = answers.filter(({ status }) => status === 'fulfilled').length
        const events = await eventsOf(store, stream)
        // Every total once and without a gap; whoever was told ok is there, who was told nothing is there or not.
        expect(await totals(stream)).toEqual(events.map((_, n) => n + 1))
        expect(events.length).toBeGreaterThanOrEqual(accepted)
        expect(new Set(events.map(({ metadata }) => metadata.commandId)).size).toBe(events.length)
      }),
      { numRuns: 150 },
    )
  })
})
