// What a workflow can say of its graph: conditions, triggers, values, and what becomes of a run when a stage fails.
import { expect, test } from 'vitest'
import { scenarioOfFile } from '../support/scenario.ts'

const scenario = await scenarioOfFile()

test('triggers decide by how the needs ended', async () => {
  const needs = ['good', 'bad', 'left-out']
  const run = await scenario.run({
    name: 'triggers',
    onFailure: 'continue',
    stages: {
      good: { uses: 'echo' },
      bad: { uses: 'fails' },
      'left-out': { uses: 'echo', when: 'false' },
      all: { uses: 'echo', needs },
      done: { uses: 'echo', needs, trigger: 'all-done' },
      some: { uses: 'echo', needs, trigger: 'any-success' },
      trouble: { uses: 'echo', needs, trigger: 'any-failure' },
      fine: { uses: 'echo', needs: ['good', 'left-out'] },
      'no-trouble': { uses: 'echo', needs: ['good'], trigger: 'any-failure' },
      none: { uses: 'echo', needs: ['bad'], trigger: 'any-success' },
    },
  })
  expect(await run.end()).toBe('ExecutionFailed')
  expect(await run.statuses()).toEqual({
    good: 'completed',
    bad: 'failed',
    'left-out': 'skipped',
    all: 'skipped',
    done: 'completed',
    some: 'completed',
    trouble: 'completed',
    fine: 'completed',
    'no-trouble': 'skipped',
    none: 'skipped',
  })
  const { stages } = await run.state()
  expect(stages['left-out']?.reason).toBe('condition: false')
  expect(stages.all?.reason).toMatch(/^trigger: /)
})

test('any-success and any-failure do not wait for the other needs', async () => {
  const run = await scenario.run({
    name: 'early-triggers',
    onFailure: 'continue',
    stages: {
      good: { uses: 'echo' },
      bad: { uses: 'fails' },
      slow: { uses: 'held' },
      some: { uses: 'echo', needs: ['good', 'slow'], trigger: 'any-success' },
      trouble: { uses: 'echo', needs: ['bad', 'slow'], trigger: 'any-failure' },
      every: { uses: 'echo', needs: ['good', 'slow'] },
    },
  })
  await run.until('some 1 StageCompleted')
  await run.until('trouble 1 StageCompleted')
  await run.until('slow 1 StageStarted')
  expect(await run.statuses()).toMatchObject({ slow: 'running', every: 'blocked' })
  scenario.release(run, 'slow')
  await run.until('every 1 StageCompleted')
  await run.end()
})

test('values of the run and of earlier stages stand in `with`, `when` and `outputs`', async () => {
  const document = `
name: values
outputs:
  image: \${{ stages.build.output.image }}
  said: "\${{ stages.build.output.image }} for \${{ input.who }}"
  skipped: \${{ stages.publish.output }}
  fixed: { list: [1, two] }
stages:
  build: { uses: echo, with: { image: "app:\${{ input.version }}", tags: "\${{ input.tags }}" } }
  publish: { uses: echo, needs: [build], when: "input.version > 3 && 'x' in stages.build.output.tags" }
  who: { uses: echo, with: { run: "\${{ execution.workflow }}/\${{ execution.version }}/\${{ execution.namespace }}" } }
`
  const run = await scenario.run(document, { input: { version: 3, tags: ['x', 'y'], who: 'ada' } })
  expect(await run.end()).toBe('ExecutionCompleted')
  const { stages } = await run.state()
  expect(stages.build?.output).toEqual({ image: 'app:3', tags: ['x', 'y'] })
  expect(stages.publish).toMatchObject({ status: 'skipped', reason: expect.stringContaining('condition') })
  expect(stages.who?.output).toEqual({ run: 'values/1/default' })
  expect(await run.data('ExecutionCompleted')).toEqual([
    { stages: 2, output: { image: 'app:3', said: 'app:3 for ada', skipped: null, fixed: { list: [1, 'two'] } } },
  ])
})

test('a value that has no answer fails the stage, and an output that has none the run', async () => {
  const run = await scenario.run({
    name: 'no-value',
    stages: { one: { uses: 'echo', with: { a: '${{ input.nope }}' } } },
  })
  expect(await run.end()).toBe('ExecutionFailed')
  expect((await run.state()).stages.one).toMatchObject({ attempt: 0, error: { code: 'EXPRESSION_FAILED' } })
  const other = await scenario.run({
    name: 'no-output',
    outputs: { a: '${{ stages.one.output.nope }}' },
    stages: { one: { uses: 'echo' } },
  })
  expect(await other.end()).toBe('ExecutionFailed')
  expect((await other.state()).error).toMatchObject({ code: 'OUTPUT_FAILED' })
  expect(await other.statuses()).toEqual({ one: 'completed' })
})

test('labels and variables of a workflow are those of its runs and scripts; the nearest variable wins', async () => {
  const document = `
name: shared
labels: { team: shop, tier: gold }
env: { A: workflow, B: workflow, C: workflow, N: "\${{ input.n }}" }
stages:
  show:
    uses: shell
    env: { B: stage, C: stage }
    with:
      env: { C: with }
      run: printf '["%s","%s","%s","%s"]' "$A" "$B" "$C" "$N" > "$MILLRACE_OUTPUT"
  bare: { uses: echo, with: { a: 1 } }
`
  const run = await scenario.run(document, { input: { n: 7 }, labels: { tier: 'silver', run: 'x' } })
  expect(await run.end()).toBe('ExecutionCompleted')
  const { labels, stages } = await run.state()
  expect(labels).toEqual({ team: 'shop', tier: 'silver', run: 'x' })
  expect(stages.show?.output).toEqual(['workflow', 'stage', 'with', '7'])
  expect(stages.bare?.output).toEqual({ a: 1 })
})

test('fail-fast stops what runs, skips what has not begun, and still cleans up', async () => {
  const run = await scenario.run({
    name: 'fail-fast',
    stages: {
      bad: { uses: 'held' },
      slow: { uses: 'held' },
      ask: { uses: 'approval' },
      next: { uses: 'echo', needs: ['slow'] },
      clean: { uses: 'echo', needs: ['bad', 'slow', 'ask'], trigger: 'all-done' },
    },
  })
  await run.until('slow 1 StageStarted')
  await run.until('bad 1 StageStarted')
  scenario.release(run, 'bad', { error: 'BROKEN' })
  expect(await run.end()).toBe('ExecutionFailed')
  expect(await run.statuses()).toEqual({
    bad: 'failed',
    slow: 'cancelled',
    ask: 'cancelled',
    next: 'skipped',
    clean: 'completed',
  })
  expect((await run.state()).error).toMatchObject({ stages: ['bad'] })
})

test('with continueOnError a failure skips the stage, and the run does not fail by it', async () => {
  const run = await scenario.run({
    name: 'tolerant',
    stages: {
      lint: { uses: 'fails', continueOnError: true, retry: { maxAttempts: 2, backoff: { initial: '1ms' } } },
      build: {
        uses: 'echo',
        needs: ['lint'],
        with: { lint: '${{ stages.lint.status }}', why: '${{ stages.lint.error.code }}' },
      },
    },
  })
  expect(await run.end()).toBe('ExecutionCompleted')
  const { stages } = await run.state()
  expect(stages.lint).toMatchObject({
    status: 'skipped',
    attempt: 2,
    reason: expect.stringMatching(/^recovery: BROKEN/),
  })
  expect(stages.build?.output).toEqual({ lint: 'skipped', why: 'BROKEN' })
})

test('a fallback takes the place of a stage that has failed for good', async () => {
  const run = await scenario.run({
    name: 'fallback',
    stages: {
      fetch: {
        uses: 'fails',
        retry: { maxAttempts: 2, backoff: { initial: '1ms' } },
        fallback: { uses: 'echo', with: { from: 'mirror' } },
      },
      use: { uses: 'echo', needs: ['fetch'], with: { from: '${{ stages.fetch.output.from }}' } },
    },
  })
  expect(await run.end()).toBe('ExecutionCompleted')
  expect((await run.data('StageScheduled')).map(({ stage, attempt, handler }) => [stage, attempt, handler])).toEqual([
    ['fetch', 1, 'fails'],
    ['fetch', 2, 'fails'],
    ['fetch', 3, 'echo'],
    ['use', 1, 'echo'],
  ])
  expect((await run.state()).stages.use?.output).toEqual({ from: 'mirror' })
})

test('a fallback that fails as well is the end of the stage', async () => {
  const run = await scenario.run({
    name: 'fallback-fails',
    stages: { fetch: { uses: 'fails', fallback: { uses: 'fails', with: { code: 'ALSO' } } } },
  })
  expect(await run.end()).toBe('ExecutionFailed')
  expect((await run.state()).stages.fetch).toMatchObject({ status: 'failed', attempt: 2, error: { code: 'ALSO' } })
})

const undo = (stage: string) => ({ uses: 'echo', with: { undo: `\${{ stages.${stage}.output.id }}` } })

test('compensation undoes what completed, the latest first, once', async () => {
  const run = await scenario.run({
    name: 'compensated',
    onFailure: 'compensate',
    stages: {
      database: { uses: 'echo', with: { id: 'db' }, compensate: undo('database') },
      plain: { uses: 'echo', needs: ['database'] },
      service: { uses: 'echo', needs: ['plain'], with: { id: 'svc' }, compensate: { uses: 'fails' } },
      traffic: { uses: 'echo', needs: ['service'], with: { id: 'lb' }, compensate: undo('traffic') },
      verify: { uses: 'fails', needs: ['traffic'], compensate: undo('database') },
      tidy: { uses: 'echo', needs: ['verify'], trigger: 'all-done' },
    },
  })
  expect(await run.end()).toBe('ExecutionFailed')
  const told = await run.told()
  const scheduled = told.filter((line) => line.endsWith('StageScheduled'))
  expect(scheduled.slice(scheduled.indexOf('tidy 1 StageScheduled'))).toEqual([
    'tidy 1 StageScheduled',
    'traffic.compensate 1 StageScheduled',
    'service.compensate 1 StageScheduled',
    'database.compensate 1 StageScheduled',
  ])
  expect(told.filter((line) => line === 'CompensationStarted')).toHaveLength(1)
  const { stages } = await run.state()
  expect(stages['traffic.compensate']).toMatchObject({ status: 'completed', output: { undo: 'lb' } })
  expect(stages['service.compensate']).toMatchObject({ status: 'failed' })
  expect(stages['database.compensate']).toMatchObject({ status: 'completed', output: { undo: 'db' } })
  expect(stages).not.toHaveProperty(['verify.compensate'])
})

test('a run that succeeds, fails fast or is cancelled undoes nothing', async () => {
  const stages = {
    deploy: { uses: 'echo', with: { id: 1 }, compensate: undo('deploy') },
    last: { uses: 'held', needs: ['deploy'] },
  }
  const run = async (name: string, onFailure: string) => {
    const started = await scenario.run({ name, onFailure, stages })
    await started.until('last 1 StageStarted')
    return started
  }
  const good = await run('not-compensated', 'compensate')
  scenario.release(good, 'last')
  expect(await good.end()).toBe('ExecutionCompleted')
  const fast = await run('not-compensated-fast', 'fail-fast')
  scenario.release(fast, 'last', { error: 'BROKEN' })
  expect(await fast.end()).toBe('ExecutionFailed')
  const cancelled = await run('not-compensated-cancelled', 'compensate')
  await cancelled.post('cancel')
  expect(await cancelled.end()).toBe('ExecutionCancelled')
  for (const ended of [good, fast, cancelled]) expect(await ended.told()).not.toContain('CompensationStarted')
})

test('a run that takes too long is undone, where that is what failures lead to', async () => {
  const run = await scenario.run({
    name: 'compensated-late',
    onFailure: 'compensate',
    timeout: '1h',
    stages: {
      deploy: { uses: 'echo', with: { id: 1 }, compensate: undo('deploy') },
      ask: { uses: 'approval', needs: ['deploy'] },
    },
  })
  await run.until('ask 1 StageScheduled')
  scenario.clock.leap(2 * 3_600_000)
  expect(await run.end()).toBe('ExecutionFailed')
  expect((await run.state()).error).toMatchObject({ code: 'EXECUTION_TIMED_OUT' })
  expect((await run.state()).stages['deploy.compensate']).toMatchObject({ status: 'completed', output: { undo: 1 } })
})
