import { beforeEach, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import type { Json } from '../../src/domain/message.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import type { StageContext } from '../../src/ports/handler.ts'
import { defineHandler } from '../../src/sdk/index.ts'
import { handlerOf, startEngine, told } from '../support/engine.ts'
import { cancel, stage, workflow } from '../support/executions.ts'
import { freshStore } from '../support/stores.ts'
import { ends, only, reaches } from '../support/sub-workflows.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

const retry = { maxAttempts: 2, backoff: { type: 'fixed', initialMs: 0, maxMs: 0, jitter: 0 } } as const
const run = async (handler: (context: StageContext) => Promise<Json | undefined>, overrides = {}) => {
  const engine = await startEngine(store, { handlers: [handlerOf('shell', handler)] })
  const id = await engine.begin(workflow([stage('a', overrides)]))
  return { engine, id, events: () => engine.history(id) }
}
const saved = async (engine: Awaited<ReturnType<typeof startEngine>>, id: string) =>
  (await engine.history(id)).filter(({ type }) => type === 'StageCheckpointed').map(({ data }) => data)

describe('checkpoints', () => {
  it('let a later attempt go on from where the one before was', async () => {
    const migrated: string[] = []
    // As it stands in the design, with a table that fails once.
    const handler = defineHandler({
      name: 'migrate-tables',
      input: z.object({ tables: z.array(z.string()) }),
      async run({ input, attempt, resume, checkpoint }) {
        let done = resume?.done ?? 0
        for (const table of input.tables.slice(resume?.done ?? 0)) {
          if (table === 'c' && attempt === 1) throw new Error('the connection is gone')
          migrated.push(`${attempt} ${table}`)
          await checkpoint({ done: ++done })
        }
        return { migrated: done }
      },
    })
    const engine = await startEngine(store, { handlers: [handler] })
    const migrate = stage('m', { uses: 'migrate-tables', with: { tables: ['a', 'b', 'c', 'd'] }, retry })
    const id = await engine.begin(workflow([migrate]))
    await ends(engine, id, 'ExecutionCompleted')
    expect(migrated).toEqual(['1 a', '1 b', '2 c', '2 d'])
    expect(await saved(engine, id)).toEqual([
      { stage: 'm', attempt: 1, sequence: 1, state: { done: 1 } },
      { stage: 'm', attempt: 1, sequence: 2, state: { done: 2 } },
      { stage: 'm', attempt: 2, sequence: 1, state: { done: 3 } },
      { stage: 'm', attempt: 2, sequence: 2, state: { done: 4 } },
    ])
    expect(await only(engine, id, 'StageCompleted')).toMatchObject({ output: { migrated: 4 } })
    await engine.stop()
  })

  it('are durable when they resolve: what was saved before a crash is there after it', async () => {
    const before = await startEngine(store, {
      handlers: [
        handlerOf('shell', async ({ checkpoint }) => {
          await checkpoint({ done: 1 })
          return new Promise(() => {})
        }),
      ],
    })
    const id = await before.begin(workflow([stage('a')]))
    await reaches(before, id, 'a 1 StageCheckpointed')
    await before.kill()
    const resumes: unknown[] = []
    const again = handlerOf('shell', async ({ begun, resume }) => {
      await begun()
      resumes.push(resume)
      return null
    })
    const after = await startEngine(store, { handlers: [again] })
    await ends(after, id, 'ExecutionCompleted')
    expect(resumes).toEqual([{ done: 1 }])
    await after.stop()
  })

  it('are saved in the order they were asked for, as they were then, before an outcome that did not wait for them', async () => {
    const { engine, id } = await run(async ({ checkpoint, resume }) => {
      expect(resume).toBeUndefined()
      const state = { n: 0 }
      for (state.n = 1; state.n <= 5; state.n++) void checkpoint(state)
      throw new Error('gives up')
    })
    await ends(engine, id, 'ExecutionFailed')
    expect(await saved(engine, id)).toEqual(
      [1, 2, 3, 4, 5].map((n) => ({ stage: 'a', attempt: 1, sequence: n, state: { n } })),
    )
    expect(told(await engine.history(id)).at(-2)).toBe('a 1 StageFailed')
    await engine.stop()
  })

  it.each([
    ['CHECKPOINT_TOO_LARGE', { text: 'x'.repeat(262_144) }, /has 262155 bytes, the limit is 262144; /],
    ['CHECKPOINT_INVALID', (() => {}) as unknown as Json, /is not plain JSON/],
    ['CHECKPOINT_INVALID', { text: 'a\0b' }, /U\+0000/],
  ])('that cannot be kept reject with %s, and fail the attempt for good', async (code, state, says) => {
    const { engine, id } = await run(
      async ({ checkpoint }) => {
        await checkpoint({ done: 1 })
        await checkpoint(state)
        return null
      },
      { retry },
    )
    await ends(engine, id, 'ExecutionFailed')
    const { error } = (await only(engine, id, 'StageFailed')) as { error: { message: string } }
    expect(error).toMatchObject({ code, retryable: false })
    expect(error.message).toMatch(says)
    expect(await saved(engine, id)).toHaveLength(1)
    await engine.stop()
  })

  it('of an attempt that is no more the current one are refused, and abort it', async () => {
    const seen = Promise.withResolvers<StageContext>()
    const late = Promise.withResolvers<void>()
    const outcome = Promise.withResolvers<unknown>()
    const { engine, id, events } = await run(async (context) => {
      seen.resolve(context)
      await late.promise
      outcome.resolve(await context.checkpoint({ done: 1 }).catch((error: unknown) => error))
      return null
    })
    const context = await seen.promise
    await reaches(engine, id, 'a 1 StageStarted')
    const worker = engine.workerId
    const lost = { code: 'WORKER_LOST', message: 'gone' }
    await engine.command(id, {
      type: 'FailStage',
      stage: 'a',
      attempt: 1,
      worker,
      error: lost,
      at: '2026-01-02T03:04:06.000Z',
    })
    expect(context.signal.aborted).toBe(false)
    late.resolve()
    expect(await outcome.promise).toBe('cancelled')
    expect(context.signal.aborted).toBe(true)
    expect(told(await events())).not.toContain('a 1 StageCheckpointed')
    await engine.stop()
  })

  it('can still be saved by a handler that is asked to stop', async () => {
    const { engine, id } = await run(async ({ checkpoint, begun, signal }) => {
      await begun()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      await checkpoint({ done: 3 })
      throw new Error('stopped')
    })
    await reaches(engine, id, 'a 1 StageStarted')
    await engine.command(id, cancel)
    await vi.waitFor(async () => {
      engine.clock.advance(500)
      expect(told(await engine.history(id)).at(-1)).toBe('ExecutionCancelled')
    })
    expect(await saved(engine, id)).toHaveLength(1)
    await engine.stop()
  })
})
