// What people do to a run that is under way: end it, hold it, and operate single stages.
import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { expectProblem } from '../support/problems.ts'
import { scenarioOfFile } from '../support/scenario.ts'

const scenario = await scenarioOfFile()

const HOUR = 3_600_000

/** What has ended and was not reaped by its parent is still listed. */
const procIsHere = existsSync('/proc/self/stat')
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !procIsHere || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

test('a run that is cancelled ends its scripts, and leaves no process', async () => {
  const script = `trap 'echo said > last' TERM; sleep 300 & echo "$!" > child; echo "$$" > pid; wait`
  const run = await scenario.run({
    name: 'cancelled',
    stages: { spin: { uses: 'shell', with: { run: script, grace: '1s' } }, after: { uses: 'echo', needs: ['spin'] } },
  })
  const read = (file: string) => readFile(join(scenario.workDir, run.id, file), 'utf8')
  const whole = async (file: string) => Number(/^(\d+)\n$/.exec(await read(file))![1])
  const pids = await vi.waitFor(async () => [await whole('child'), await whole('pid')], { timeout: 10_000 })
  expect(pids.map(alive)).toEqual([true, true])

  const answer = await run.post('cancel', { reason: 'enough' })
  expect(answer.statusCode).toBe(202)
  expect((await run.state()).status).toBe('cancelling')
  expect(await run.statuses()).toMatchObject({ spin: 'running', after: 'cancelled' })
  expectProblem(await run.post('pause'), 409, 'EXECUTION_CANCELLING')
  expect((await run.post('cancel', { reason: 'again' })).json()).toEqual(answer.json())

  expect(await run.end()).toBe('ExecutionCancelled')
  expect(await run.data('ExecutionCancelled')).toEqual([{ reason: 'enough' }])
  expect(await run.statuses()).toEqual({ spin: 'cancelled', after: 'cancelled' })
  expect(await read('last')).toBe('said\n')
  expect(pids.map(alive)).toEqual([false, false])
})

test('what runs of a paused run finishes, and nothing new starts until it goes on', async () => {
  const run = await scenario.run({
    name: 'paused',
    stages: { one: { uses: 'held' }, two: { uses: 'echo', needs: ['one'] } },
  })
  await run.until('one 1 StageStarted')
  const paused = await run.post('pause', { reason: 'lunch' })
  expect((await run.state()).status).toBe('paused')
  expect((await run.post('pause')).json()).toEqual(paused.json())
  scenario.release(run, 'one', { output: 'done' })
  await run.until('one 1 StageCompleted')
  expect(await run.statuses()).toEqual({ one: 'completed', two: 'blocked' })

  expect((await run.post('resume')).statusCode).toBe(202)
  expect(await run.end()).toBe('ExecutionCompleted')
  expect(await run.told()).toEqual([
    'ExecutionStarted',
    'one 1 StageScheduled',
    'one 1 StageStarted',
    'ExecutionPaused',
    'one 1 StageCompleted',
    'ExecutionResumed',
    'two 1 StageScheduled',
    'two 1 StageStarted',
    'two 1 StageCompleted',
    'ExecutionCompleted',
  ])
})

test('the time of a run stands still while it is paused', async () => {
  const run = await scenario.run({
    name: 'timed',
    timeout: '10h',
    stages: { ask: { uses: 'signal', with: { name: 'go' } } },
  })
  scenario.clock.leap(4 * HOUR)
  await run.post('pause')
  scenario.clock.leap(20 * HOUR)
  await run.post('resume')
  const [{ remainingMs }] = (await run.data('ExecutionPaused')) as [{ remainingMs: number }]
  expect(remainingMs).toBeGreaterThan(5.9 * HOUR)
  expect(remainingMs).toBeLessThanOrEqual(6 * HOUR)
  const [{ timeoutAt }] = (await run.data('ExecutionResumed')) as [{ timeoutAt: string }]
  const resumedAt = (await run.events()).find(({ type }) => type === 'ExecutionResumed')!.at
  expect(Date.parse(timeoutAt) - Date.parse(resumedAt)).toBe(remainingMs)
  expect((await run.state()).status).toBe('running')

  scenario.clock.leap(7 * HOUR)
  expect(await run.end()).toBe('ExecutionFailed')
  expect((await run.state()).error).toMatchObject({ code: 'EXECUTION_TIMED_OUT', stages: ['ask'] })
})

test('a retry and a wait that fall due during a pause are made up for after it', async () => {
  const retry = { maxAttempts: 2, backoff: { type: 'fixed', initial: '2h', max: '2h', jitter: 0 } }
  const run = await scenario.run({
    name: 'due-while-paused',
    stages: {
      shaky: { uses: 'fails', retry, with: { until: 2 } },
      nap: { uses: 'wait', with: { duration: '1h' } },
      next: { uses: 'echo', needs: ['nap'] },
    },
  })
  await run.until('shaky 2 StageRetried')
  await run.post('pause')
  scenario.clock.leap(3 * HOUR)
  await run.until('nap 1 StageCompleted')
  expect(await run.statuses()).toEqual({ shaky: 'retrying', nap: 'completed', next: 'blocked' })
  await run.post('resume')
  expect(await run.end()).toBe('ExecutionCompleted')
})

test('a paused run can be cancelled', async () => {
  const run = await scenario.run({ name: 'held-up', stages: { ask: { uses: 'signal', with: { name: 'go' } } } })
  await run.post('pause')
  await run.post('cancel')
  expect(await run.end()).toBe('ExecutionCancelled')
  expectProblem(await run.post('resume'), 409, 'EXECUTION_ALREADY_ENDED')
})

test('one stage is retried with another `with`, while its siblings stay as they are', async () => {
  const run = await scenario.run({
    name: 'retried',
    onFailure: 'continue',
    stages: {
      good: { uses: 'echo', with: { say: 'kept' } },
      bad: { uses: 'fails', with: { code: 'NOPE', note: 'same' } },
      slow: { uses: 'held' },
      after: { uses: 'echo', needs: ['bad'], with: { saw: '${{ stages.bad.output.attempt }}' } },
      later: { uses: 'echo', needs: ['after', 'good'] },
    },
  })
  await run.until('bad 1 StageFailed')
  await run.until('slow 1 StageStarted')
  expect(await run.statuses()).toMatchObject({ after: 'skipped', later: 'skipped' })
  const body = { with: { until: 2 }, comment: 'try harder' }
  expect((await run.post('stages/bad/retry', body, { 'millrace-actor': 'ada' })).statusCode).toBe(202)
  await run.until('later 1 StageCompleted')
  scenario.release(run, 'slow')
  expect(await run.end()).toBe('ExecutionCompleted')
  const scheduled = await run.data('StageScheduled')
  expect(scheduled.filter(({ stage }) => stage === 'bad').map(({ input }) => input)).toEqual([
    { code: 'NOPE', note: 'same' },
    { code: 'NOPE', note: 'same', until: 2 },
  ])
  expect(scheduled.filter(({ stage }) => stage === 'good')).toHaveLength(1)
  expect((await run.state()).stages.after?.output).toEqual({ saw: 2 })
  expect(await run.data('StageRetried')).toEqual([
    expect.objectContaining({ reason: 'manual', attempt: 2, comment: 'try harder', reopens: ['after', 'later'] }),
  ])
  const retried = (await run.events()).find(({ type }) => type === 'StageRetried')
  expect(retried?.metadata.actor).toBe('user:ada')
})

test('a `with` that a person gives to a retry is held to what a workflow is held to', async () => {
  const run = await scenario.run({
    name: 'retried-badly',
    onFailure: 'continue',
    stages: { bad: { uses: 'shell', with: { run: 'exit 3' } }, slow: { uses: 'held' } },
  })
  await run.until('bad 1 StageFailed')
  await run.until('slow 1 StageStarted')
  const retry = (given: { [key: string]: string | number }) => run.post('stages/bad/retry', { with: given })
  const pointersOf = async (given: { [key: string]: string | number }) =>
    expectProblem(await retry(given), 422, 'INPUT_INVALID').errors.map(({ pointer }) => pointer)
  expect(await pointersOf({ run: 'echo ${{ input.name }}' })).toEqual(['/with/run'])
  expect(await pointersOf({ nope: 1 })).toEqual(['/with/nope'])
  expect(await pointersOf({ cwd: '${{ stages.slow.output }}' })).toEqual(['/with/cwd'])
  expect(await pointersOf({ cwd: '${{ nonsense( }}' })).toEqual(['/with/cwd'])
  expect((await run.state()).stages.bad).toMatchObject({ status: 'failed', attempt: 1 })
  await run.post('cancel')
  await run.end()
})

test('only a stage that failed, or waits to be retried, is retried', async () => {
  const run = await scenario.run({
    name: 'not-retried',
    stages: {
      done: { uses: 'echo' },
      slow: { uses: 'held', needs: ['done'] },
      next: { uses: 'echo', needs: ['slow'] },
    },
  })
  await run.until('slow 1 StageStarted')
  for (const stage of ['done', 'slow', 'next'])
    expectProblem(await run.post(`stages/${stage}/retry`), 409, 'STAGE_NOT_RETRYABLE')
  scenario.release(run, 'slow', { error: 'BROKEN' })
  expect(await run.end()).toBe('ExecutionFailed')
  expectProblem(await run.post('stages/slow/retry'), 409, 'EXECUTION_ALREADY_ENDED')
})

test('a stage is skipped with a reason, and those that need it go on', async () => {
  const run = await scenario.run({
    name: 'skipped',
    stages: {
      slow: { uses: 'held' },
      smoke: { uses: 'echo', needs: ['slow'] },
      ask: { uses: 'approval' },
      last: { uses: 'echo', needs: ['smoke', 'ask'] },
    },
  })
  await run.until('slow 1 StageStarted')
  expectProblem(await run.post('stages/slow/skip', { reason: 'too slow' }), 409, 'STAGE_NOT_SKIPPABLE')
  const skipped = await run.post('stages/smoke/skip', { reason: 'known to be broken' })
  expect((await run.post('stages/smoke/skip', { reason: 'again' })).json()).toEqual(skipped.json())
  await run.post('stages/ask/skip', { reason: 'an emergency' })
  scenario.release(run, 'slow')
  expect(await run.end()).toBe('ExecutionCompleted')
  const { stages } = await run.state()
  expect(stages.smoke).toMatchObject({ status: 'skipped', reason: 'person: known to be broken' })
  expect(stages.ask).toMatchObject({ status: 'skipped', reason: 'person: an emergency' })
  expect(stages.last?.status).toBe('completed')
})

test('a stage that does not wait for a decision cannot be failed by a person', async () => {
  const run = await scenario.run({ name: 'unfailed', stages: { slow: { uses: 'held' } } })
  await run.until('slow 1 StageStarted')
  expectProblem(await run.post('stages/slow/fail', { reason: 'no' }), 409, 'STAGE_NOT_WAITING')
  scenario.release(run, 'slow')
  await run.end()
})

test('a wait holds up what needs it, until its time has come', async () => {
  const until = new Date(scenario.clock.now() + 5 * HOUR).toISOString()
  const run = await scenario.run(
    {
      name: 'waits',
      stages: {
        nap: { uses: 'wait', with: { duration: '2h' } },
        night: { uses: 'wait', with: { until: '${{ input.until }}' } },
        past: { uses: 'wait', with: { until: '2020-01-01T00:00:00Z' } },
        after: { uses: 'echo', needs: ['nap'] },
      },
    },
    { input: { until } },
  )
  await run.until('past 1 StageCompleted')
  expect((await run.state()).stages.night).toMatchObject({ status: 'waiting', waiting: { for: 'timer', until } })
  expect(await run.statuses()).toMatchObject({ nap: 'waiting', after: 'blocked' })
  scenario.clock.leap(3 * HOUR)
  await run.until('after 1 StageCompleted')
  expect(await run.statuses()).toMatchObject({ nap: 'completed', night: 'waiting' })
  scenario.clock.leap(3 * HOUR)
  expect(await run.end()).toBe('ExecutionCompleted')
})
