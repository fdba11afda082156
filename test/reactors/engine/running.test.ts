import { beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { EventStore } from '../../../src/ports/event-store.ts'
import { defineHandler } from '../../../src/sdk/define-handler.ts'
import { ends, handlerOf, startEngine } from '../../support/engine.ts'
import { stage, workflow } from '../../support/executions.ts'
import { freshStore } from '../../support/stores.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

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

  it('fails a stage for good whose values, resolved, are not what its handler takes', async () => {
    const greeted: string[] = []
    const handler = defineHandler({
      name: 'greet',
      input: z.object({ who: z.string() }),
      run: ({ input }) => void greeted.push(input.who),
    })
    const engine = await startEngine(store, { handlers: [handler] })
    const retry = { ...stage('a').retry, maxAttempts: 3 }
    const greet = stage('a', { uses: 'greet', with: { who: '${{ input.who }}' }, retry })
    const id = await engine.begin(workflow([greet]), { who: 7 })
    await ends(engine, id, 'ExecutionFailed')
    const failures = (await engine.history(id)).filter(({ type }) => type === 'StageFailed')
    expect(failures.map(({ data }) => data)).toMatchObject([
      { attempt: 1, error: { code: 'INPUT_INVALID', retryable: false, message: expect.stringContaining('who:') } },
    ])
    expect(greeted).toEqual([])
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
    // More than one append has room for begins one after another.
    const stages = [stage('a'), using('b'), using('c'), using('d'), using('e')]
    await ends(engine, await engine.begin(workflow(stages)), 'ExecutionCompleted')
    const text = '${{ stages.a.output.text }}'
    const wide = await engine.begin(workflow([stage('a')], { outputs: { a: text, b: text, c: text, d: text } }))
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
