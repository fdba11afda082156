// A stage that runs once for each combination of values.
import { expect, test } from 'vitest'
import { type Run, scenarioOfFile } from '../support/scenario.ts'

const scenario = await scenarioOfFile()

const scheduled = async (run: Run) => (await run.data('StageScheduled')).map(({ stage }) => stage)

test('a matrix is one stage for each combination, and completes with what they answered', async () => {
  const document = `
name: matrix
stages:
  test:
    uses: echo
    matrix: { suite: [unit, e2e], node: [20, 22] }
    with: { suite: "\${{ matrix.suite }}", node: "\${{ matrix.node }}" }
  report: { uses: echo, needs: [test], with: { all: "\${{ stages.test.output.map(one, one.output.node) }}" } }
`
  const run = await scenario.run(document)
  expect(await run.end()).toBe('ExecutionCompleted')
  const { stages } = await run.state()
  expect(Object.keys(stages)).toEqual(['test', 'report', 'test.unit.20', 'test.unit.22', 'test.e2e.20', 'test.e2e.22'])
  expect(stages['test.e2e.20']?.output).toEqual({ suite: 'e2e', node: 20 })
  expect((stages.test!.output as unknown[])[3]).toEqual({
    matrix: { suite: 'e2e', node: 22 },
    output: { suite: 'e2e', node: 22 },
  })
  expect(stages.report?.output).toEqual({ all: [20, 22, 20, 22] })
})

test('a matrix over an earlier output is known once that has ended', async () => {
  const document = (list: string) => ({
    name: 'dynamic',
    stages: {
      find: { uses: 'echo', with: { found: '${{ input.list }}' } },
      each: { uses: 'echo', needs: ['find'], matrix: { item: list }, with: { got: '${{ matrix.item }}' } },
      last: { uses: 'echo', needs: ['each'] },
    },
  })
  const run = await scenario.run(document('${{ stages.find.output.found }}'), {
    input: { list: [{ path: 'a b' }, { path: 'c' }] },
  })
  expect(await run.end()).toBe('ExecutionCompleted')
  const { stages } = await run.state()
  expect(stages['each.0']?.output).toEqual({ got: { path: 'a b' } })
  expect(stages['each.1']?.output).toEqual({ got: { path: 'c' } })

  const none = await scenario.run(document('${{ stages.find.output.found }}'), { input: { list: [] } })
  expect(await none.end()).toBe('ExecutionCompleted')
  expect(await none.statuses()).toEqual({ find: 'completed', each: 'completed', last: 'completed' })

  const bad = await scenario.run(document('${{ stages.find.output.found }}'), { input: { list: 'text' } })
  expect(await bad.end()).toBe('ExecutionFailed')
  expect((await bad.state()).stages.each).toMatchObject({ error: { code: 'EXPRESSION_FAILED' } })
  expect(await bad.statuses()).toMatchObject({ last: 'skipped' })
})

test('a matrix of more than 1,000 combinations fails the stage', async () => {
  const list = Array.from({ length: 101 }, (_, n) => n)
  const run = await scenario.run({
    name: 'huge',
    stages: { each: { uses: 'echo', matrix: { a: list, b: list.slice(0, 10) } } },
  })
  expect(await run.end()).toBe('ExecutionFailed')
  expect((await run.state()).stages.each?.error?.message).toContain('more than 1000 combinations')
})

const held = (name: string, matrix: object, stage: object = {}) => ({
  name,
  stages: {
    each: { uses: 'held', matrix: { n: [1, 2, 3, 4], ...matrix }, ...stage },
    last: { uses: 'echo', needs: ['each'] },
  },
})

test('only so many of a matrix run at once', async () => {
  const run = await scenario.run(held('parallel', { maxParallel: 2 }))
  for (const n of [1, 2]) await run.until(`each.${n} 1 StageStarted`)
  expect(await scheduled(run)).toEqual(['each.1', 'each.2'])
  scenario.release(run, 'each.2')
  await run.until('each.3 1 StageStarted')
  expect(await scheduled(run)).toEqual(['each.1', 'each.2', 'each.3'])
  await run.post('pause')
  scenario.release(run, 'each.1')
  await run.until('each.1 1 StageCompleted')
  expect(await scheduled(run)).toHaveLength(3)
  await run.post('resume')
  await run.until('each.4 1 StageStarted')
  for (const n of [3, 4]) scenario.release(run, `each.${n}`)
  expect(await run.end()).toBe('ExecutionCompleted')
  let running = 0
  for (const line of await run.told()) {
    if (/^each\.\d 1 StageScheduled$/.test(line)) running++
    if (/^each\.\d 1 StageCompleted$/.test(line)) running--
    expect(running).toBeLessThanOrEqual(2)
  }
})

test('one that fails ends the others, as failFast says by itself', async () => {
  const run = await scenario.run(held('fail-fast-matrix', { maxParallel: 3 }))
  for (const n of [1, 2, 3]) await run.until(`each.${n} 1 StageStarted`)
  scenario.release(run, 'each.2', { error: 'BROKEN' })
  expect(await run.end()).toBe('ExecutionFailed')
  expect(await run.statuses()).toEqual({
    each: 'failed',
    'each.1': 'cancelled',
    'each.2': 'failed',
    'each.3': 'cancelled',
    'each.4': 'skipped',
    last: 'skipped',
  })
  expect((await run.state()).stages.each?.error).toMatchObject({ code: 'STAGES_FAILED', message: 'failed: each.2' })
})

test('with failFast: false the others run to their end, and the stage fails then', async () => {
  const run = await scenario.run(held('slow-matrix', { failFast: false, maxParallel: 2 }))
  for (const n of [1, 2]) await run.until(`each.${n} 1 StageStarted`)
  scenario.release(run, 'each.1', { error: 'BROKEN' })
  for (const n of [3, 4]) {
    await run.until(`each.${n} 1 StageStarted`)
    scenario.release(run, `each.${n}`, { output: n })
  }
  expect(await run.statuses()).toMatchObject({ each: 'running', 'each.1': 'failed' })
  scenario.release(run, 'each.2')
  expect(await run.end()).toBe('ExecutionFailed')
  expect(await run.statuses()).toMatchObject({ 'each.2': 'completed', 'each.3': 'completed', 'each.4': 'completed' })
})

test('one of a matrix is retried by a person while the others go on, and then the stage completes', async () => {
  const run = await scenario.run(held('retried-matrix', { failFast: false }))
  for (const n of [1, 2, 3, 4]) await run.until(`each.${n} 1 StageStarted`)
  scenario.release(run, 'each.1', { error: 'BROKEN' })
  await run.until('each.1 1 StageFailed')
  expect((await run.post('stages/each.1/retry')).statusCode).toBe(202)
  await run.until('each.1 2 StageStarted')
  for (const n of [1, 2, 3, 4]) scenario.release(run, `each.${n}`, { output: n })
  expect(await run.end()).toBe('ExecutionCompleted')
  const output = (await run.state()).stages.each!.output as { output: number }[]
  expect(output.map((one) => one.output)).toEqual([1, 2, 3, 4])
})

test('one that may fail leaves null behind, and the stage completes', async () => {
  const run = await scenario.run({
    name: 'tolerant-matrix',
    stages: {
      each: { uses: 'fails', matrix: { n: [1, 2] }, with: { until: '${{ matrix.n }}' }, continueOnError: true },
    },
  })
  expect(await run.end()).toBe('ExecutionCompleted')
  expect((await run.state()).stages.each?.output).toEqual([
    { matrix: { n: 1 }, output: { attempt: 1 } },
    { matrix: { n: 2 }, output: null },
  ])
})

test('every combination that completed is undone, with its own values', async () => {
  const run = await scenario.run({
    name: 'compensated-matrix',
    onFailure: 'compensate',
    stages: {
      deploy: {
        uses: 'echo',
        matrix: { region: ['eu', 'us'], maxParallel: 1 },
        compensate: { uses: 'echo', with: { undo: '${{ matrix.region }}' } },
      },
      verify: { uses: 'fails', needs: ['deploy'] },
    },
  })
  expect(await run.end()).toBe('ExecutionFailed')
  const compensations = (await run.data('StageCompleted')).filter(({ stage }) => String(stage).endsWith('.compensate'))
  expect(compensations.map(({ stage, output }) => [stage, output])).toEqual([
    ['deploy.us.compensate', { undo: 'us' }],
    ['deploy.eu.compensate', { undo: 'eu' }],
  ])
})

test('a skipped matrix makes no stages', async () => {
  const run = await scenario.run({
    name: 'no-matrix',
    stages: { each: { uses: 'echo', when: 'false', matrix: { n: [1, 2] } }, last: { uses: 'echo', needs: ['each'] } },
  })
  expect(await run.end()).toBe('ExecutionCompleted')
  expect(await run.statuses()).toEqual({ each: 'skipped', last: 'completed' })
})

test('a run with a matrix is cancelled whole', async () => {
  const run = await scenario.run(held('cancelled-matrix', { maxParallel: 2 }))
  for (const n of [1, 2]) await run.until(`each.${n} 1 StageStarted`)
  await run.post('cancel')
  expect(await run.end()).toBe('ExecutionCancelled')
  expect(new Set(Object.values(await run.statuses()))).toEqual(new Set(['cancelled']))
})
