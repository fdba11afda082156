import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { EventStore } from '../../src/ports/event-store.ts'
import { StageFailure } from '../../src/ports/handler.ts'
import { handlerOf, startEngine, told } from '../support/engine.ts'
import { cancel, stage, workflow } from '../support/executions.ts'
import { freshStore } from '../support/stores.ts'
import { calling, childOfRun, childrenOf, ends, only, reaches, register, retire } from '../support/sub-workflows.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

const done = handlerOf('shell', async ({ input }) => input)
/** Runs until it is asked to stop, or until a test lets it go. */
function held() {
  const release = Promise.withResolvers<null>()
  const handler = handlerOf('shell', ({ signal }) => {
    const stopped = new Promise<never>((_, reject) =>
      signal.addEventListener('abort', () => reject(new Error('asked to'))),
    )
    return Promise.race([release.promise, stopped])
  })
  return { handler, release: () => release.resolve(null) }
}
const child = (overrides = {}) => workflow([stage('work')], { name: 'child', ...overrides })
const failedBy = async (engine: Parameters<typeof only>[0], id: string) =>
  ((await only(engine, id, 'StageFailed')) as { error: unknown }).error

describe('a stage whose work is another run', () => {
  it('gives it input, labels and priority, and goes on with its output', async () => {
    const engine = await startEngine(store, { handlers: [done] })
    const asks = stage('work', { with: { run: 'x', got: '${{ input.n }}' } })
    await register(engine, child({ stages: [asks], outputs: { twice: '${{ stages.work.output.got * 2 }}' } }))
    const uses = stage('after', { needs: ['call'], with: { run: 'x', got: '${{ stages.call.output.twice }}' } })
    const parent = workflow([calling('call', { input: { n: '${{ input.n }}' } }), uses])
    const id = await engine.begin(parent, { n: 21 }, { labels: { team: 'a' }, priority: 7 })
    await ends(engine, id, 'ExecutionCompleted')
    const childId = await childOfRun(store, id)
    const [began] = await engine.history(childId)
    expect(began!.data).toMatchObject({
      workflow: 'child',
      version: 1,
      input: { n: 21 },
      trigger: { kind: 'workflow', by: `execution:${id}` },
      parent: { executionId: id, stage: 'call', attempt: 1, depth: 1 },
      labels: { team: 'a' },
      priority: 7,
    })
    expect(
      await engine.history(id).then((events) => events.find(({ type }) => type === 'StageStarted')!.data),
    ).toMatchObject({
      stage: 'call',
      execution: childId,
      worker: `execution:${childId}`,
    })
    const scheduled = (await engine.history(id)).filter(({ type }) => type === 'StageScheduled')
    expect(scheduled[1]!.data).toMatchObject({ stage: 'after', input: { got: 42 } })
    await engine.stop()
  })

  it('names in the events of both what caused them', async () => {
    const engine = await startEngine(store, { handlers: [done] })
    await register(engine, child())
    const id = await engine.begin(workflow([calling('call')]))
    await ends(engine, id, 'ExecutionCompleted')
    const below = await engine.history(await childOfRun(store, id))
    const [, scheduled, started, completed] = await engine.history(id)
    for (const event of [below[0], started, completed])
      expect(event!.metadata).toMatchObject({ actor: 'system:sub-workflows', namespace: 'default' })
    expect(below[0]!.metadata.causationId).toBe(scheduled!.id)
    expect(started!.metadata.causationId).toBe(scheduled!.id)
    expect(completed!.metadata.causationId).toBe(below.at(-1)!.id)
    expect(completed!.data).toEqual({ stage: 'call', attempt: 1, output: null })
    await engine.stop()
  })

  it('takes the version that is named, and the newest otherwise', async () => {
    const engine = await startEngine(store, { handlers: [done] })
    await register(engine, child({ outputs: { version: 'one' } }))
    await register(engine, child({ outputs: { version: 'two' } }))
    const id = await engine.begin(workflow([calling('old', { version: 1 }), calling('new')]))
    await ends(engine, id, 'ExecutionCompleted')
    const outputs = (await engine.history(id)).filter(({ type }) => type === 'StageCompleted').map(({ data }) => data)
    expect(outputs).toContainEqual({ stage: 'old', attempt: 1, output: { version: 'one' } })
    expect(outputs).toContainEqual({ stage: 'new', attempt: 1, output: { version: 'two' } })
    await engine.stop()
  })

  it('fails when it fails, and is retried with a run of its own', async () => {
    let runs = 0
    const flaky = handlerOf('shell', async () => {
      runs++
      if (runs === 1) throw new StageFailure({ code: 'BROKEN', message: 'no', retryable: false })
      return null
    })
    const engine = await startEngine(store, { handlers: [flaky] })
    await register(engine, child())
    const retry = { maxAttempts: 2, backoff: { type: 'fixed', initialMs: 1_000, maxMs: 1_000, jitter: 0 } } as const
    const id = await engine.begin(workflow([calling('call', {}, { retry })]))
    await reaches(engine, id, 'call 2 StageRetried')
    const [first] = await childrenOf(store, id)
    expect(await failedBy(engine, id)).toEqual({
      code: 'WORKFLOW_FAILED',
      message: `the execution ${first} failed: failed: work`,
      details: { executionId: first },
    })
    await vi.waitFor(async () => {
      engine.clock.advance(1_000)
      expect(told(await engine.history(id)).at(-1)).toBe('ExecutionCompleted')
    })
    const children = await childrenOf(store, id)
    expect(new Set(children).size).toBe(2)
    await engine.stop()
  })
})

describe('a run that cannot be started fails the stage for good', () => {
  const retry = { maxAttempts: 3, backoff: { type: 'fixed', initialMs: 1, maxMs: 1, jitter: 0 } } as const
  it.each([
    ['WORKFLOW_UNKNOWN', { workflow: 'nobody' }],
    ['WORKFLOW_RETIRED', { workflow: 'old' }],
    ['WORKFLOW_VERSION_UNKNOWN', { version: 9 }],
    ['INPUT_INVALID', { input: { n: 'many' } }],
    ['INPUT_INVALID', { workflow: 7 }],
  ])('%s for %j', async (code, input) => {
    const engine = await startEngine(store, { handlers: [done] })
    await register(engine, child(), { type: 'object', properties: { n: { type: 'number' } } })
    await register(engine, child({ name: 'old' }))
    await retire(engine, 'old')
    const id = await engine.begin(workflow([calling('call', input, { retry })]))
    await ends(engine, id, 'ExecutionFailed')
    expect(await failedBy(engine, id)).toMatchObject({ code, retryable: false })
    expect(await childrenOf(store, id)).toEqual([])
    await engine.stop()
  })

  it('SUB_WORKFLOW_TOO_DEEP for one that calls itself without end', async () => {
    const engine = await startEngine(store, { handlers: [done] })
    const endless = workflow([calling('call')], { name: 'child' })
    await register(engine, endless)
    const id = await engine.begin(endless)
    await ends(engine, id, 'ExecutionFailed')
    let deepest = id
    for (let depth = 1; depth <= 8; depth++) deepest = (await childrenOf(store, deepest))[0]!
    expect(await failedBy(engine, deepest)).toMatchObject({ code: 'SUB_WORKFLOW_TOO_DEEP', retryable: false })
    expect(await childrenOf(store, deepest)).toEqual([])
    await engine.stop()
  })
})

describe('stopping', () => {
  const beat = (engine: Awaited<ReturnType<typeof startEngine>>, id: string, type: string) =>
    vi.waitFor(
      async () => {
        engine.clock.advance(500)
        expect(told(await engine.history(id)).at(-1)).toBe(type)
      },
      { timeout: 5_000 },
    )

  it('a parent that is cancelled cancels its child, and ends when that has', async () => {
    const engine = await startEngine(store, { handlers: [held().handler] })
    await register(engine, child())
    const id = await engine.begin(workflow([calling('call')]))
    const below = await childOfRun(store, id)
    await reaches(engine, below, 'work 1 StageStarted')
    await reaches(engine, id, 'call 1 StageStarted')
    await engine.command(id, cancel)
    await beat(engine, id, 'ExecutionCancelled')
    expect(told(await engine.history(below)).at(-1)).toBe('ExecutionCancelled')
    const { reason } = (await only(engine, below, 'ExecutionCancellationRequested')) as { reason: string }
    expect(reason).toContain(id)
    expect(told(await engine.history(id))).toContain('call 1 StageCancelled')
    await engine.stop()
  })

  it('a parent that abandons its child ends without it', async () => {
    const { handler, release } = held()
    const engine = await startEngine(store, { handlers: [handler] })
    await register(engine, child())
    const id = await engine.begin(workflow([calling('call', { onCancel: 'abandon' })]))
    const below = await childOfRun(store, id)
    await reaches(engine, below, 'work 1 StageStarted')
    await reaches(engine, id, 'call 1 StageStarted')
    await engine.command(id, cancel)
    await ends(engine, id, 'ExecutionCancelled')
    expect(told(await engine.history(below)).at(-1)).toBe('work 1 StageStarted')
    release()
    await ends(engine, below, 'ExecutionCompleted')
    await engine.stop()
  })

  it('another stage that fails asks it to stop', async () => {
    const broken = handlerOf('broken', async ({ begun }) => {
      await begun()
      throw new StageFailure({ code: 'BROKEN', message: 'no', retryable: false })
    })
    const engine = await startEngine(store, { handlers: [held().handler, broken] })
    await register(engine, child())
    const nap = stage('nap', { uses: 'wait', with: { duration: '10s' } })
    const id = await engine.begin(workflow([calling('call'), nap, stage('b', { uses: 'broken', needs: ['nap'] })]))
    const below = await childOfRun(store, id)
    await reaches(engine, id, 'call 1 StageStarted')
    await beat(engine, id, 'ExecutionFailed')
    expect(told(await engine.history(below)).at(-1)).toBe('ExecutionCancelled')
    expect(told(await engine.history(id))).toContain('call 1 StageCancelled')
    await engine.stop()
  })

  it('its timeout fails the stage and cancels the child', async () => {
    const engine = await startEngine(store, { handlers: [held().handler] })
    await register(engine, child({ stages: [stage('work', { timeoutMs: 3_600_000 })] }))
    const id = await engine.begin(workflow([calling('call', {}, { timeoutMs: 60_000 })]))
    const below = await childOfRun(store, id)
    await reaches(engine, id, 'call 1 StageStarted')
    engine.clock.advance(59_999)
    expect(told(await engine.history(id)).at(-1)).toBe('call 1 StageStarted')
    engine.clock.advance(1)
    await ends(engine, id, 'ExecutionFailed')
    expect(await failedBy(engine, id)).toMatchObject({ code: 'TIMED_OUT' })
    await beat(engine, below, 'ExecutionCancelled')
    await engine.stop()
  })

  it('a child that somebody cancels fails the stage for good', async () => {
    const engine = await startEngine(store, { handlers: [held().handler] })
    await register(engine, child())
    const id = await engine.begin(workflow([calling('call')]))
    const below = await childOfRun(store, id)
    await reaches(engine, below, 'work 1 StageStarted')
    await engine.command(below, cancel)
    await beat(engine, id, 'ExecutionFailed')
    expect(await failedBy(engine, id)).toMatchObject({
      code: 'CANCELLED',
      retryable: false,
      message: `the execution ${below} was cancelled: wrong branch`,
    })
    await engine.stop()
  })
})
