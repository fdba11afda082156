// What handlers can do besides their work: save how far they are, and have their stage go on as others; and runs below runs.
import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineHandler } from '../../src/sdk/index.ts'
import { scenarioOfFile } from '../support/scenario.ts'

const migrated: string[] = []
const migrate = defineHandler({
  name: 'migrate',
  input: z.object({ tables: z.array(z.string()), broken: z.string().optional() }),
  async run({ input, executionId, resume, checkpoint }) {
    let done: number = resume?.done ?? 0
    for (const table of input.tables.slice(done)) {
      if (table === input.broken)
        throw Object.assign(new Error(`${table} is broken`), { code: 'BROKEN', retryable: false })
      migrated.push(`${executionId} ${table}`)
      await checkpoint({ done: ++done })
    }
    return { done }
  },
})
const plan = defineHandler({
  name: 'plan',
  input: z.object({ shards: z.array(z.string()) }),
  async run({ input, generate }) {
    for (const shard of input.shards) generate({ [shard]: { uses: 'echo', with: { shard } } })
    generate({ report: { uses: 'echo', needs: input.shards, trigger: 'all-done' } })
    return { planned: input.shards.length }
  },
})
const scenario = await scenarioOfFile([migrate, plan])

test('a run is restored at a checkpoint, and the work before it is not done again', async () => {
  const stages = {
    before: { uses: 'echo' },
    move: { uses: 'migrate', needs: ['before'], with: { tables: ['a', 'b', 'c'], broken: 'c' } },
  }
  const run = await scenario.run({ name: 'moving', stages })
  expect(await run.end()).toBe('ExecutionFailed')
  expect((await run.data('StageCheckpointed')).map(({ state }) => state)).toEqual([{ done: 1 }, { done: 2 }])
  const mended = { stages: { move: { with: { broken: 'none' } } } }
  const latest = scenario.runOf(await run.post('restore', { stage: 'move', overrides: mended }))
  expect(await latest.end()).toBe('ExecutionCompleted')
  expect(migrated).toEqual([`${run.id} a`, `${run.id} b`, `${latest.id} c`])
  expect((await latest.data('StageScheduled')).map(({ stage, resume }) => [stage, resume])).toEqual([
    ['move', { done: 2 }],
  ])
  const first = scenario.runOf(await run.post('restore', { stage: 'move', checkpoint: 1, overrides: mended }))
  expect(await first.end()).toBe('ExecutionCompleted')
  expect(migrated.slice(3)).toEqual([`${first.id} b`, `${first.id} c`])
  const [started] = await first.data('ExecutionStarted')
  expect(started?.restoredFrom).toMatchObject({ executionId: run.id })
  const refused = await run.post('restore', { stage: 'move', checkpoint: 9, overrides: mended })
  expect([refused.statusCode, refused.json().errors[0].pointer]).toEqual([422, '/checkpoint'])
})

test('a stage goes on as those that its handler generated, and what needs it waits for them', async () => {
  const stages = {
    shards: { uses: 'plan', with: { shards: ['one', 'two'] } },
    last: { uses: 'echo', needs: ['shards'], with: { planned: '${{ stages.shards.output.planned }}' } },
  }
  const run = await scenario.run({ name: 'planned', stages })
  expect(await run.end()).toBe('ExecutionCompleted')
  expect(await run.statuses()).toEqual({
    shards: 'completed',
    last: 'completed',
    'shards.one': 'completed',
    'shards.two': 'completed',
    'shards.report': 'completed',
  })
  const ended = (await run.told()).filter((line) => line.endsWith('StageCompleted'))
  expect(ended.indexOf('shards 1 StageCompleted')).toBeGreaterThan(ended.indexOf('shards.report 1 StageCompleted'))
  expect((await run.state()).stages.last?.output).toEqual({ planned: 2 })
  const bad = { ...stages, shards: { uses: 'plan', with: { shards: ['Not a name'] } } }
  const refused = await scenario.run({ name: 'planned-badly', stages: bad })
  expect(await refused.end()).toBe('ExecutionFailed')
  expect(await refused.data('StageFailed')).toMatchObject([{ error: { code: 'GENERATED_INVALID', retryable: false } }])
})

test('a run below a run: its outputs go up, its failure too, and a cancellation goes down', async () => {
  await scenario.register({
    name: 'below',
    stages: { work: { uses: 'held' } },
    outputs: { image: '${{ stages.work.output.image }}' },
  })
  const above = {
    name: 'above',
    stages: { call: { uses: 'workflow', with: { workflow: 'below' } }, use: { uses: 'echo', needs: ['call'] } },
    outputs: { image: '${{ stages.call.output.image }}' },
  }
  const called = async () => {
    const run = await scenario.run(above)
    await run.until('call 1 StageStarted')
    const [{ execution }] = (await run.data('StageStarted')) as [{ execution: string }]
    const child = scenario.runOf({ statusCode: 202, json: () => ({ id: execution }) } as never)
    await child.until('work 1 StageStarted')
    return { run, child }
  }
  const good = await called()
  scenario.release(good.child, 'work', { output: { image: 'x:1' } })
  expect(await good.run.end()).toBe('ExecutionCompleted')
  expect((await good.run.data('ExecutionCompleted'))[0]?.output).toEqual({ image: 'x:1' })
  const bad = await called()
  scenario.release(bad.child, 'work', { error: 'BROKEN' })
  expect(await bad.run.end()).toBe('ExecutionFailed')
  expect(await bad.run.data('StageFailed')).toMatchObject([
    { stage: 'call', error: { code: 'WORKFLOW_FAILED', details: { executionId: bad.child.id } } },
  ])
  const stopped = await called()
  await stopped.run.post('cancel', { reason: 'enough' })
  expect(await stopped.child.end()).toBe('ExecutionCancelled')
  expect(await stopped.run.end()).toBe('ExecutionCancelled')
})
