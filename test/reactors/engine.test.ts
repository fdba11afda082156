import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Work } from '../../src/domain/execution/work.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import { type Engine, handlerOf, startEngine, told } from '../support/engine.ts'
import { cancel, stage, workflow } from '../support/executions.ts'
import { openStore } from '../support/stores.ts'

let opened: Awaited<ReturnType<typeof openStore>>
let store: EventStore
beforeEach(async () => {
  opened = await openStore()
  store = opened.store
})
afterEach(() => opened.close())

const ends = (engine: Engine, id: string, type: string) =>
  vi.waitFor(async () => expect(told(await engine.history(id)).at(-1)).toBe(type), { timeout: 5_000 })
const reaches = (engine: Engine, id: string, line: string) =>
  vi.waitFor(async () => expect(told(await engine.history(id))).toContain(line), { timeout: 5_000 })

/** A handler that runs until it is told to end, and knows what it was given. */
function heldHandler() {
  const signals: AbortSignal[] = []
  const finish: (() => void)[] = []
  const handler = handlerOf('shell', ({ signal }) => {
    signals.push(signal)
    return new Promise((resolve, reject) => {
      finish.push(() => resolve(null))
      signal.addEventListener('abort', () => reject(new Error('aborted')))
    })
  })
  return { handler, signals, finish }
}

describe('from a start to an end', () => {
  it('runs every stage once, in order, with the outputs handed on', async () => {
    const inputs: unknown[] = []
    const handler = handlerOf('shell', async ({ stage: id, input }) => {
      inputs.push([id, input])
      return { from: id }
    })
    const engine = await startEngine(store, { handlers: [handler] })
    const id = await engine.begin(
      workflow([stage('a'), stage('b', { needs: ['a'], with: { run: 'x', got: '${{ stages.a.output.from }}' } })]),
    )
    await ends(engine, id, 'ExecutionCompleted')
    expect(inputs).toEqual([
      ['a', { run: 'true' }],
      ['b', { run: 'x', got: 'a' }],
    ])
    await engine.stop()
  })

  it('names in each event what caused it', async () => {
    const engine = await startEngine(store, { handlers: [handlerOf('shell', async () => null)] })
    const id = await engine.begin(workflow([stage('a')]))
    await ends(engine, id, 'ExecutionCompleted')
    const [first, scheduled, started, completed, last] = await engine.history(id)
    expect(first!.metadata).toMatchObject({ actor: 'user:ada', correlationId: id })
    for (const event of [started, completed, last]) {
      expect(event!.metadata.causationId).toBe(scheduled!.id)
      expect(event!.metadata.actor).toBe(`worker:${engine.workerId}`)
    }
    await engine.stop()
  })

  it('fails a stage whose output, handed on, is more than the log takes at once', async () => {
    const handler = handlerOf('shell', async () => ({ text: 'x'.repeat(250_000) }))
    const engine = await startEngine(store, { handlers: [handler] })
    const using = (id: string) => stage(id, { needs: ['a'], with: { run: 'x', got: '${{ stages.a.output.text }}' } })
    const wide = await engine.begin(workflow([stage('a'), using('b'), using('c'), using('d'), using('e')]))
    await ends(engine, wide, 'ExecutionFailed')
    expect((await engine.history(wide)).find(({ type }) => type === 'StageFailed')!.data).toMatchObject({
      stage: 'a',
      attempt: 1,
      error: { code: 'OUTPUT_TOO_LARGE' },
    })
    const twice = stage('b', {
      needs: ['a'],
      with: { run: 'x', got: '${{ stages.a.output.text + stages.a.output.text }}' },
    })
    const long = await engine.begin(workflow([stage('a'), twice]))
    await ends(engine, long, 'ExecutionFailed')
    expect((await engine.history(long)).find(({ type }) => type === 'StageFailed')!.data).toMatchObject({
      stage: 'b',
      attempt: 0,
      error: { code: 'EXPRESSION_FAILED' },
    })
    await engine.stop()
  })

  it('fails a stage whose handler nobody has, and says which there are', async () => {
    const engine = await startEngine(store, { handlers: [handlerOf('shell', async () => null)] })
    const id = await engine.begin(workflow([stage('a', { uses: 'rocket' })]))
    await ends(engine, id, 'ExecutionFailed')
    const failed = (await engine.history(id)).find(({ type }) => type === 'StageFailed')
    expect(failed!.data).toMatchObject({ error: { code: 'HANDLER_UNKNOWN' }, class: 'configuration' })
    await engine.stop()
  })
})

describe('timers', () => {
  it('retry when the time has come and not before', async () => {
    let attempts = 0
    const handler = handlerOf('shell', async () => {
      attempts++
      if (attempts < 3) throw new Error('flaky')
      return null
    })
    const engine = await startEngine(store, { handlers: [handler] })
    const policy = { maxAttempts: 3, backoff: { type: 'fixed', initialMs: 5_000, maxMs: 5_000, jitter: 0 } } as const
    const id = await engine.begin(workflow([stage('a', { retry: policy })]))
    await reaches(engine, id, 'a 2 StageRetried')
    engine.clock.advance(4_999)
    expect(attempts).toBe(1)
    engine.clock.advance(1)
    await reaches(engine, id, 'a 3 StageRetried')
    engine.clock.advance(5_000)
    await ends(engine, id, 'ExecutionCompleted')
    expect(attempts).toBe(3)
    await engine.stop()
  })

  it('wake a stage that waits', async () => {
    const engine = await startEngine(store)
    const id = await engine.begin(workflow([stage('nap', { uses: 'wait', with: { duration: '30m' } })]))
    await vi.waitFor(() => expect(engine.clock.pending).toBeGreaterThan(0))
    engine.clock.advance(1_799_999)
    expect(told(await engine.history(id)).at(-1)).toBe('nap 1 StageScheduled')
    engine.clock.advance(1)
    await ends(engine, id, 'ExecutionCompleted')
    await engine.stop()
  })

  it('end an attempt that takes too long through its worker', async () => {
    const { handler, signals } = heldHandler()
    const engine = await startEngine(store, { handlers: [handler] })
    const id = await engine.begin(workflow([stage('a', { timeoutMs: 60_000 })]))
    await reaches(engine, id, 'a 1 StageStarted')
    engine.clock.advance(60_000)
    await ends(engine, id, 'ExecutionFailed')
    expect(signals[0]!.reason).toBe('timeout')
    expect((await engine.history(id)).find(({ type }) => type === 'StageFailed')!.data).toMatchObject({
      class: 'timeout',
      error: { code: 'TIMED_OUT' },
    })
    await engine.stop()
  })

  it('end a run that takes too long', async () => {
    const { handler, signals } = heldHandler()
    const engine = await startEngine(store, { handlers: [handler] })
    const long = stage('a', { timeoutMs: 7_200_000 })
    const id = await engine.begin(workflow([long, stage('b', { needs: ['a'] })], { timeoutMs: 90_000 }))
    await reaches(engine, id, 'a 1 StageStarted')
    // In steps, so that the worker's heartbeats come in between.
    for (let passed = 0; passed < 85_000; passed += 5_000) {
      engine.clock.advance(5_000)
      await turn()
    }
    expect(told(await engine.history(id)).at(-1)).toBe('a 1 StageStarted')
    await vi.waitFor(() => {
      engine.clock.advance(500)
      expect(signals[0]!.reason).toBe('cancelled')
    })
    await ends(engine, id, 'ExecutionFailed')
    await engine.stop()
  })
})

describe('cancelling', () => {
  it('reaches a handler through its heartbeat, and the run ends when the handler has', async () => {
    const { handler, signals } = heldHandler()
    const engine = await startEngine(store, { handlers: [handler] })
    const id = await engine.begin(workflow([stage('a'), stage('b', { needs: ['a'] })]))
    await reaches(engine, id, 'a 1 StageStarted')
    await engine.command(id, cancel)
    expect(told(await engine.history(id)).at(-1)).toBe('b 0 StageCancelled')
    await vi.waitFor(() => {
      engine.clock.advance(500)
      expect(signals[0]!.aborted).toBe(true)
    })
    await ends(engine, id, 'ExecutionCancelled')
    await engine.stop()
  })
})

describe('an attempt whose worker is lost', () => {
  it('is made again once nobody holds its lease, and the late report is refused and leaves no event', async () => {
    const engine = await startEngine(store)
    const taken: Work[] = []
    engine.queue.consume(['default'], { concurrency: 1 }, async (work) => {
      taken.push(work)
    })
    const id = await engine.begin(workflow([stage('a')]))
    await vi.waitFor(() => expect(taken).toHaveLength(1))
    const key = `${id}:a:1`
    const about = { stage: 'a', worker: 'stalled' }
    await engine.leases.claim(key, 'stalled', 30_000)
    const at = new Date(engine.clock.now()).toISOString()
    await engine.reports.report(taken[0]!, { type: 'StartStage', attempt: 1, at, ...about })
    engine.clock.advance(29_000)
    expect(taken).toHaveLength(1)
    await vi.waitFor(() => {
      engine.clock.advance(1_000)
      expect(taken).toHaveLength(2)
    })
    const late = { type: 'CompleteStage', attempt: 1, at, output: 'late', ...about } as const
    expect(await engine.reports.report(taken[0]!, late)).toBe('refused')
    const done = { type: 'CompleteStage', attempt: 2, at, output: 'good', stage: 'a', worker: 'other' } as const
    expect(await engine.reports.report(taken[1]!, done)).toBe('accepted')
    expect(told(await engine.history(id))).toEqual([
      'ExecutionStarted',
      'a 1 StageScheduled',
      'a 1 StageStarted',
      'a 1 StageFailed',
      'a 2 StageRetried',
      'a 2 StageScheduled',
      'a 2 StageStarted',
      'a 2 StageCompleted',
      'ExecutionCompleted',
    ])
    await engine.stop()
  })
})

describe('a handler that waits for its start to be written down', () => {
  it('acts only once, also when a crash comes in between', async () => {
    let effects = 0
    const acting = handlerOf('shell', async ({ begun }) => {
      await begun()
      effects++
      return null
    })
    // A disk that never finishes: the start is not written down before the crash.
    const stalled: EventStore = {
      ...storeOf(store),
      append: (stream, expected, events) =>
        events[0]?.type === 'StageStarted' ? new Promise(() => {}) : store.append(stream, expected, events),
    }
    const before = await startEngine(stalled, { handlers: [acting] })
    const id = await before.begin(workflow([stage('a')]))
    await vi.waitFor(async () => expect(await before.leases.unheld([`${id}:a:1`])).toEqual([]))
    await before.kill()
    const after = await startEngine(store, { handlers: [acting] })
    await ends(after, id, 'ExecutionCompleted')
    expect(effects).toBe(1)
    await after.stop()
  })

  it('does not act any more once it was asked to stop', async () => {
    let effects = 0
    const acting = handlerOf('shell', async ({ begun, signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      await begun()
      effects++
      return null
    })
    const refusing = await startEngine(store, { handlers: [acting] })
    const id = await refusing.begin(workflow([stage('a')]))
    await reaches(refusing, id, 'a 1 StageStarted')
    await refusing.command(id, cancel)
    await vi.waitFor(async () => {
      refusing.clock.advance(500)
      expect(told(await refusing.history(id)).at(-1)).toBe('ExecutionCancelled')
    })
    expect(effects).toBe(0)
    await refusing.stop()
  })
})

describe('after a crash', () => {
  it.each([[undefined], [3]])(
    'what was scheduled, running, waiting or to be retried goes on (snapshot every %s events)',
    async (snapshotEvery) => {
      const every = snapshotEvery === undefined ? {} : { snapshotEvery }
      const { handler: held } = heldHandler()
      const flaky = handlerOf('flaky', async () => {
        throw new Error('no')
      })
      const before = await startEngine(store, { handlers: [held, flaky], ...every })
      const policy = {
        maxAttempts: 2,
        backoff: { type: 'fixed', initialMs: 60_000, maxMs: 60_000, jitter: 0 },
      } as const
      const running = await before.begin(workflow([stage('a')]))
      const waiting = await before.begin(workflow([stage('nap', { uses: 'wait', with: { duration: '10m' } })]))
      const retrying = await before.begin(workflow([stage('a', { uses: 'flaky', retry: policy })]))
      await reaches(before, running, 'a 1 StageStarted')
      await reaches(before, retrying, 'a 2 StageRetried')
      await before.kill()
      // Started by a command that was acknowledged, while nothing followed the log.
      const scheduled = await before.begin(workflow([stage('a')]))

      const good = [handlerOf('shell', async () => null), handlerOf('flaky', async () => null)]
      const after = await startEngine(store, { handlers: good, ...every })
      await ends(after, scheduled, 'ExecutionCompleted')
      await ends(after, running, 'ExecutionCompleted')
      expect(told(await after.history(running))).toContain('a 2 StageCompleted')
      expect(told(await after.history(retrying)).at(-1)).toBe('a 2 StageRetried')
      await vi.waitFor(async () => {
        after.clock.advance(30_000)
        expect(told(await after.history(retrying)).at(-1)).toBe('ExecutionCompleted')
      })
      await vi.waitFor(async () => {
        after.clock.advance(300_000)
        expect(told(await after.history(waiting)).at(-1)).toBe('ExecutionCompleted')
      })
      await after.stop()
    },
  )

  it('replays only what came after the snapshot', async () => {
    const own = await openStore()
    const engine = await startEngine(own.store, { handlers: [handlerOf('shell', async () => null)] })
    for (let n = 0; n < 5; n++) await ends(engine, await engine.begin(workflow([stage('a')])), 'ExecutionCompleted')
    await engine.stop()
    let replayed = 0
    const counting: EventStore = {
      ...storeOf(own.store),
      async *subscribe(options) {
        for await (const batch of own.store.subscribe(options)) {
          replayed += batch.events.length
          yield batch
        }
      },
    }
    const again = await startEngine(counting)
    expect(replayed).toBe(0)
    const id = await again.begin(workflow([stage('a')]))
    await vi.waitFor(() => expect(replayed).toBe(4))
    expect(told(await again.history(id))).toHaveLength(2)
    await again.stop()
    await own.close()
  })
})

const storeOf = (inner: EventStore): EventStore => ({
  append: (...args) => inner.append(...args),
  readStream: (...args) => inner.readStream(...args),
  readAll: (...args) => inner.readAll(...args),
  subscribe: (...args) => inner.subscribe(...args),
  truncate: (...args) => inner.truncate(...args),
  head: () => inner.head(),
  close: () => inner.close(),
})
