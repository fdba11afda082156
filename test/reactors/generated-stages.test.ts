import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import type { StageContext } from '../../src/ports/handler.ts'
import { handlerOf, startEngine, told } from '../support/engine.ts'
import { cancel, stage, workflow } from '../support/executions.ts'
import { freshStore } from '../support/stores.ts'
import { ends, only, reaches } from '../support/sub-workflows.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

type Run = (context: StageContext) => Promise<Json | undefined>
const plan = stage('plan', { uses: 'plan' })
const engineWith = (planned: Run, work: Run = async ({ input }) => input) =>
  startEngine(store, { handlers: [handlerOf('plan', planned), handlerOf('work', work)] })
const errorOf = async (engine: Awaited<ReturnType<typeof startEngine>>, id: string) =>
  ((await only(engine, id, 'StageFailed')) as { error: { message: string } }).error

describe('stages that a handler generates', () => {
  it('run in their order, with the values of those they need; the stage completes with the last of them', async () => {
    const engine = await engineWith(async ({ stage: id, generate }) => {
      generate({ one: { uses: 'work', with: { n: '${{ stages.before.output.n + 1 }}' } } })
      const sum = `\${{ stages['${id}.one'].output.n + 1 }}`
      generate({ two: { uses: 'work', needs: ['one'], when: 'input.really', with: { n: sum } } })
      return { planned: 2 }
    })
    const before = stage('before', { uses: 'work', with: { n: 1 } })
    const after = stage('after', { uses: 'work', needs: ['plan'], with: { got: '${{ stages.plan.output.planned }}' } })
    const id = await engine.begin(workflow([before, { ...plan, needs: ['before'] }, after]), { really: true })
    await ends(engine, id, 'ExecutionCompleted')
    const completed = (await engine.history(id)).filter(({ type }) => type === 'StageCompleted').map(({ data }) => data)
    expect(completed).toEqual([
      { stage: 'before', attempt: 1, output: { n: 1 } },
      { stage: 'plan.one', attempt: 1, output: { n: 2 } },
      { stage: 'plan.two', attempt: 1, output: { n: 3 } },
      { stage: 'plan', attempt: 1, output: { planned: 2 } },
      { stage: 'after', attempt: 1, output: { got: 2 } },
    ])
    await engine.stop()
  })

  it('may generate stages themselves', async () => {
    const engine = await engineWith(async ({ stage: id, generate }) => {
      if (id === 'plan') generate({ inner: { uses: 'plan' }, first: { uses: 'work' } })
      else generate({ leaf: { uses: 'work' } })
      return null
    })
    const id = await engine.begin(workflow([plan]))
    await ends(engine, id, 'ExecutionCompleted')
    expect(told(await engine.history(id))).toContain('plan.inner.leaf 1 StageCompleted')
    await engine.stop()
  })

  it('that cannot run fail the stage for good, with every fault', async () => {
    const engine = await engineWith(async ({ generate }) => {
      generate({ a: { uses: 'work', needs: ['b'] }, b: { uses: 'work', needs: ['a'] }, c: { use: 'work' } })
      return null
    })
    const policy = { maxAttempts: 3, backoff: { type: 'fixed', initialMs: 0, maxMs: 0, jitter: 0 } } as const
    const id = await engine.begin(workflow([{ ...plan, retry: policy }]))
    await ends(engine, id, 'ExecutionFailed')
    expect(await errorOf(engine, id)).toMatchObject({
      code: 'GENERATED_INVALID',
      retryable: false,
      message: expect.stringMatching(/a → b → a/),
      details: expect.arrayContaining([
        { pointer: '/a/needs/0', message: 'the stages need each other in a cycle: a → b → a' },
        { pointer: '/c/uses', message: 'is required' },
        { pointer: '/c/use', message: 'there is no member `use` here' },
      ]),
    })
    await engine.stop()
  })

  it('are bounded in size and in number, and each has its own name', async () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`s${n}`, { uses: 'work' }]))
    const cases: readonly (readonly [string, RegExp, Run])[] = [
      [
        'GENERATED_TOO_LARGE',
        /the limit is 262144/,
        async (it) => void it.generate({ a: { uses: 'work', with: { x: 'x'.repeat(262_144) } } }),
      ],
      [
        'GENERATED_INVALID',
        /"a" is generated twice/,
        async (it) => {
          it.generate({ a: { uses: 'work' } })
          it.generate({ a: { uses: 'work' } })
          return null
        },
      ],
      ['GENERATED_INVALID', /1001 stages, the limit is 1000/, async (it) => void it.generate(many(1_000))],
    ]
    let next: Run = async () => null
    const engine = await engineWith((context) => next(context))
    for (const [code, says, planned] of cases) {
      next = planned
      const id = await engine.begin(workflow([plan]))
      await ends(engine, id, 'ExecutionFailed')
      const error = await errorOf(engine, id)
      expect(error).toMatchObject({ code, retryable: false })
      expect(error.message).toMatch(says)
    }
    await engine.stop()
  })

  it('are compiled once: a report that is made again is accepted and adds nothing', async () => {
    const engine = await startEngine(store)
    const id = await engine.begin(workflow([plan]))
    const work = { ...(await onlyWork(engine, id)), namespace: 'default', executionId: id }
    const at = '2026-01-02T03:04:06.000Z'
    const generated = { one: { uses: 'work' } }
    const report = {
      type: 'CompleteStage',
      stage: 'plan',
      attempt: 1,
      worker: 'w',
      output: null,
      at,
      generated,
    } as const
    expect(await engine.reports.report(work as never, report)).toBe('accepted')
    const { length } = await engine.history(id)
    expect(await engine.reports.report(work as never, report)).toBe('accepted')
    expect(await engine.history(id)).toHaveLength(length)
    await engine.stop()
  })

  it('do not keep a run from its end that was cancelled before they were there', async () => {
    const finish = Promise.withResolvers<void>()
    const engine = await engineWith(async ({ begun, generate }) => {
      await begun()
      await finish.promise
      generate({ one: { uses: 'work' } })
      return null
    })
    const id = await engine.begin(workflow([plan]))
    await reaches(engine, id, 'plan 1 StageStarted')
    await engine.command(id, cancel)
    finish.resolve()
    await ends(engine, id, 'ExecutionCancelled')
    expect(told(await engine.history(id))).toContain('plan 1 StageCancelled')
    await engine.stop()
  })
})

const onlyWork = (engine: Awaited<ReturnType<typeof startEngine>>, id: string) =>
  vi.waitFor(async () => {
    const event = (await engine.history(id)).find(({ type }) => type === 'StageScheduled')
    if (!event) throw new Error('not scheduled')
    return { ...event.data, id: 'x', eventId: event.id }
  })
