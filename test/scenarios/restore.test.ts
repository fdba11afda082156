// Runs that go on from another one, which stays as it was.
import { expect, test } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import { headBesidesAudit } from '../support/head-besides-audit.ts'
import { expectProblem } from '../support/problems.ts'
import { type Run, scenarioOfFile } from '../support/scenario.ts'

const scenario = await scenarioOfFile()

const restore = async (run: Run, body: Json = {}, headers = {}) =>
  scenario.runOf(await run.post('restore', body, headers))
const history = async (run: Run) => (await run.get('history', { accept: 'application/x-ndjson' })).body
const scheduled = async (run: Run) => (await run.data('StageScheduled')).map(({ stage }) => stage)
const revisionOf = async (run: Run, line: string) => (await run.told()).indexOf(line)
const pointersOf = async (run: Run, body: Json) =>
  expectProblem(await run.post('restore', body), 422, 'RESTORE_IMPOSSIBLE').errors.map(({ pointer }) => pointer)

const chain = (name: string, more: object = {}) => ({
  name,
  labels: { team: 'shop' },
  stages: {
    build: { uses: 'echo', with: { image: 'app:1', n: '${{ input.n }}' } },
    lint: { uses: 'echo', when: 'false' },
    test: { uses: 'held', needs: ['build', 'lint'] },
    ship: { uses: 'echo', needs: ['test'], with: { image: '${{ stages.build.output.image }}', to: 'staging' } },
  },
  ...more,
})

/** A run of `chain` whose test failed. */
async function failed(name: string, start = {}, headers = {}): Promise<Run> {
  const run = await scenario.run(chain(name), { input: { n: 1 }, ...start }, headers)
  await run.until('test 1 StageStarted')
  scenario.release(run, 'test', { error: 'BROKEN' })
  expect(await run.end()).toBe('ExecutionFailed')
  return run
}

async function goesOn(run: Run): Promise<void> {
  await run.until('test 1 StageStarted')
  scenario.release(run, 'test', { output: 'passed' })
  expect(await run.end()).toBe('ExecutionCompleted')
}

test('a failed run goes on where it failed: what completed does not run again, and it stays as it was', async () => {
  const run = await failed('from-the-end', { labels: { run: 'x' }, priority: 7 })
  const before = await history(run)
  const next = await restore(run, {}, { 'millrace-actor': 'ada' })
  expect(next.id).not.toBe(run.id)
  await goesOn(next)
  expect(await scheduled(next)).toEqual(['test', 'ship'])
  const { stages, ...state } = await next.state()
  expect(state).toMatchObject({ input: { n: 1 }, version: 1, labels: { team: 'shop', run: 'x' }, priority: 7 })
  expect(stages.build).toMatchObject({ status: 'completed', output: { image: 'app:1', n: 1 } })
  expect(stages.lint).toMatchObject({ status: 'skipped', reason: 'condition: false' })
  expect(stages.ship?.output).toEqual({ image: 'app:1', to: 'staging' })
  const [started] = await next.data('ExecutionStarted')
  const last = (await run.events()).length - 1
  expect(started).toMatchObject({
    restoredFrom: { executionId: run.id, revision: last },
    trigger: { kind: 'restore', by: 'user:ada' },
  })
  expect(await history(run)).toBe(before)
})

test('a run is restored as it was at any of its revisions', async () => {
  const run = await scenario.run(chain('at-a-revision'), { input: { n: 1 } })
  await goesOn(run)
  const early = await restore(run, { revision: 0 })
  await goesOn(early)
  expect(await scheduled(early)).toEqual(['build', 'test', 'ship'])
  const late = await restore(run, { revision: await revisionOf(run, 'test 1 StageCompleted') })
  expect(await late.end()).toBe('ExecutionCompleted')
  expect(await scheduled(late)).toEqual(['ship'])
  const whole = await restore(run)
  expect(await whole.end()).toBe('ExecutionCompleted')
  expect(await scheduled(whole)).toEqual([])
})

test('a run is restored as it was before a stage began', async () => {
  const run = await scenario.run(chain('at-a-stage'), { input: { n: 1 } })
  await goesOn(run)
  const next = await restore(run, { stage: 'test' })
  await goesOn(next)
  expect(await scheduled(next)).toEqual(['test', 'ship'])
  expect(await pointersOf(run, { stage: 'lint' })).toEqual(['/stage'])
  expect(await pointersOf(run, { stage: 'nope' })).toEqual(['/stage'])
  expect(await pointersOf(run, { stage: 'build', checkpoint: 1 })).toEqual(['/checkpoint'])
})

test('a run that goes on is restored from where it stands, and a restored one again', async () => {
  const run = await scenario.run(chain('still-running'), { input: { n: 1 } })
  await run.until('test 1 StageStarted')
  const next = await restore(run)
  await goesOn(next)
  const again = await restore(next, { stage: 'ship' })
  expect(await again.end()).toBe('ExecutionCompleted')
  expect(await scheduled(again)).toEqual(['ship'])
  expect((await run.state()).status).toBe('running')
  scenario.release(run, 'test')
  await run.end()
})

test('the input may be another one, which the workflow judges', async () => {
  const input = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } }
  const run = await scenario.run(chain('other-input', { input }), { input: { n: 1 } })
  await goesOn(run)
  const next = await restore(run, { revision: 0, overrides: { input: { n: 2 } } })
  await goesOn(next)
  expect((await next.state()).input).toEqual({ n: 2 })
  expect((await next.state()).stages.build?.output).toEqual({ image: 'app:1', n: 2 })
  const refused = await run.post('restore', { overrides: { input: { n: 'x' } } })
  expect(expectProblem(refused, 422, 'INPUT_INVALID').errors[0]?.pointer).toBe('/overrides/input/n')
})

test('an output may be given in place of what a stage answered, or did not', async () => {
  const run = await failed('other-output')
  const stages = { build: { output: { image: 'app:2' } }, test: { output: 'passed by hand' } }
  const next = await restore(run, { overrides: { stages } })
  expect(await next.end()).toBe('ExecutionCompleted')
  expect(await scheduled(next)).toEqual(['ship'])
  const state = await next.state()
  expect(state.stages.ship?.output).toEqual({ image: 'app:2', to: 'staging' })
  expect(state.stages.test).toMatchObject({ status: 'completed', output: 'passed by hand' })
})

test('members of `with` may be others, of stages that run again', async () => {
  const run = await failed('other-with')
  const next = await restore(run, { overrides: { stages: { ship: { with: { to: 'production' } } } } })
  await goesOn(next)
  expect((await next.state()).stages.ship?.output).toEqual({ image: 'app:1', to: 'production' })
  expect(await pointersOf(run, { overrides: { stages: { build: { with: { n: 2 } } } } })).toEqual([
    '/overrides/stages/build/with',
  ])
})

test('a `with` is held to what a workflow is held to', async () => {
  const stages = { bad: { uses: 'shell', with: { run: 'exit 1' } }, next: { uses: 'echo', needs: ['bad'] } }
  const run = await scenario.run({ name: 'bad-with', stages })
  await run.end()
  const pointers = (given: Json) => pointersOf(run, { overrides: { stages: { bad: { with: given } } } })
  const at = '/overrides/stages/bad/with'
  expect(await pointers({ run: 'echo ${{ input.x }}' })).toEqual([`${at}/run`])
  expect(await pointers({ nope: 1, cwd: '/etc' })).toEqual([`${at}/cwd`, `${at}/nope`])
  expect(await pointers({ env: { A: '${{ stages.next.output }}' } })).toEqual([`${at}/env/A`])
  const next = await restore(run, { overrides: { stages: { bad: { with: { run: 'true' } } } } })
  expect(await next.end()).toBe('ExecutionCompleted')
})

test('the definition may be another version: what completed counts, the rest is done as it says', async () => {
  const run = await failed('other-version')
  await scenario.register({
    ...chain('other-version'),
    stages: {
      build: { uses: 'echo' },
      test: { uses: 'echo', needs: ['build'] },
      sign: { uses: 'echo', needs: ['test'] },
    },
  })
  const next = await restore(run, { overrides: { version: 2 } })
  expect(await next.end()).toBe('ExecutionCompleted')
  expect(await scheduled(next)).toEqual(['test', 'sign'])
  expect(await next.state()).toMatchObject({ version: 2, stages: { build: { output: { image: 'app:1' } } } })
  expectProblem(await run.post('restore', { overrides: { version: 9 } }), 404, 'WORKFLOW_VERSION_UNKNOWN')
  expect(await pointersOf(run, { overrides: { version: 2, stages: { ship: { with: { to: 'x' } } } } })).toEqual([
    '/overrides/stages/ship',
  ])
})

test('what cannot be is refused, with everything that is wrong, and no run starts', async () => {
  const run = await failed('refused')
  const head = await headBesidesAudit(scenario.store)
  expect(await pointersOf(run, { revision: 999 })).toEqual(['/revision'])
  expect(await pointersOf(run, { revision: 999, stage: 'test' })).toEqual(['/revision'])
  const stages = { 'no/such': { output: 1 }, build: { with: {} }, ship: { with: { to: 'x' }, output: 1 } }
  expect(await pointersOf(run, { overrides: { stages } })).toEqual([
    '/overrides/stages/no~1such',
    '/overrides/stages/build/with',
    '/overrides/stages/ship/with',
  ])
  expectProblem(await run.post('restore', { checkpoint: 1 }), 400, 'REQUEST_INVALID')
  expect(await headBesidesAudit(scenario.store)).toBe(head)
})

test('the same key with the same body is one restored run, and another body is refused', async () => {
  const run = await failed('with-a-key')
  const key = { 'idempotency-key': 'again' }
  const first = await run.post('restore', { stage: 'test' }, key)
  const next = scenario.runOf(first)
  await goesOn(next)
  expect((await run.post('restore', { stage: 'test' }, key)).json()).toEqual(first.json())
  expectProblem(await run.post('restore', {}, key), 422, 'IDEMPOTENCY_KEY_REUSED')
  expect((await restore(await failed('with-a-key'), { stage: 'test' }, key)).id, 'a key of another run').not.toBe(
    next.id,
  )
})

test('of a matrix only what had not completed runs again', async () => {
  const run = await scenario.run({
    name: 'restored-matrix',
    stages: {
      each: { uses: 'held', matrix: { n: [1, 2, 3], failFast: false }, with: { n: '${{ matrix.n }}' } },
      last: { uses: 'echo', needs: ['each'], with: { all: '${{ stages.each.output.map(one, one.output) }}' } },
    },
  })
  for (const n of [1, 2, 3]) await run.until(`each.${n} 1 StageStarted`)
  for (const n of [1, 3]) scenario.release(run, `each.${n}`, { output: n })
  scenario.release(run, 'each.2', { error: 'BROKEN' })
  await run.end()
  const next = await restore(run)
  await next.until('each.2 1 StageStarted')
  scenario.release(next, 'each.2', { output: 'two' })
  expect(await next.end()).toBe('ExecutionCompleted')
  expect(await scheduled(next)).toEqual(['each.2', 'last'])
  expect((await next.state()).stages.last?.output).toEqual({ all: [1, 'two', 3] })

  const given = await restore(run, { overrides: { stages: { 'each.2': { output: 2 } } } })
  expect(await given.end()).toBe('ExecutionCompleted')
  expect((await given.state()).stages.last?.output).toEqual({ all: [1, 2, 3] })
  expect(await pointersOf(run, { overrides: { stages: { 'each.2': { with: { n: 9 } } } } })).toEqual([
    '/overrides/stages/each.2/with',
  ])
})

test('signals that nobody had taken are there again, those taken are not', async () => {
  const run = await scenario.run({
    name: 'restored-signals',
    stages: {
      one: { uses: 'signal', with: { name: 'go' } },
      bad: { uses: 'held', needs: ['one'] },
      two: { uses: 'signal', needs: ['bad'], with: { name: 'go' } },
    },
  })
  await run.post('signals/go', 'first')
  await run.until('bad 1 StageStarted')
  await run.post('signals/go', 'second')
  scenario.release(run, 'bad', { error: 'BROKEN' })
  await run.end()
  const next = await restore(run)
  await next.until('bad 1 StageStarted')
  scenario.release(next, 'bad')
  expect(await next.end()).toBe('ExecutionCompleted')
  expect((await next.state()).stages).toMatchObject({ one: { output: 'first' }, two: { output: 'second' } })
})

test('what was undone, and what came of it, is done again', async () => {
  const run = await scenario.run({
    name: 'restored-after-undoing',
    onFailure: 'compensate',
    stages: {
      build: { uses: 'echo' },
      deploy: { uses: 'echo', needs: ['build'], matrix: { to: ['eu', 'us'] }, compensate: { uses: 'echo' } },
      smoke: { uses: 'echo', needs: ['deploy'], matrix: { n: '${{ stages.deploy.output.map(one, one.matrix.to) }}' } },
      verify: { uses: 'held', needs: ['smoke'] },
    },
  })
  await run.until('verify 1 StageStarted')
  scenario.release(run, 'verify', { error: 'BROKEN' })
  expect(await run.end()).toBe('ExecutionFailed')
  const next = await restore(run)
  await next.until('verify 1 StageStarted')
  expect(await scheduled(next)).toEqual(['deploy.eu', 'deploy.us', 'smoke.eu', 'smoke.us', 'verify'])
  scenario.release(next, 'verify')
  expect(await next.end()).toBe('ExecutionCompleted')
})

test('an approval is asked for again, unless it was given', async () => {
  const run = await scenario.run({
    name: 'restored-approval',
    stages: {
      given: { uses: 'approval' },
      open: { uses: 'approval', needs: ['given'], with: { required: 2 } },
    },
  })
  await run.post('stages/given/approve')
  await run.post('stages/open/approve', {}, { 'millrace-actor': 'ada' })
  await run.post('cancel')
  await run.end()
  const next = await restore(run)
  expect(await next.statuses()).toEqual({ given: 'completed', open: 'waiting' })
  await next.post('stages/open/approve', {}, { 'millrace-actor': 'bob' })
  expect((await next.state()).status, 'what was half given counts no more').toBe('running')
  await next.post('stages/open/approve', {}, { 'millrace-actor': 'ada' })
  expect(await next.end()).toBe('ExecutionCompleted')
})
