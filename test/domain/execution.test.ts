import { describe, expect, it } from 'vitest'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import type { ExecutionEvent } from '../../src/domain/execution/events.ts'
import { MAX_LOST_ATTEMPTS } from '../../src/domain/execution/failure.ts'
import {
  AT,
  cancel,
  completed,
  failed,
  history,
  later,
  lost,
  stage,
  start,
  started,
  stopped,
  workflow,
} from '../support/executions.ts'
import { given } from '../support/given.ts'

const scheduled = (id: string, attempt = 1, overrides: object = {}): ExecutionEvent => ({
  type: 'StageScheduled',
  data: {
    stage: id,
    attempt,
    queue: 'default',
    handler: 'shell',
    input: { run: 'true' },
    timeoutMs: 60_000,
    priority: 0,
    ...overrides,
  },
})
const begun = (id: string, attempt = 1): ExecutionEvent => ({
  type: 'StageStarted',
  data: { stage: id, attempt, worker: 'w1', timeoutMs: 60_000 },
})
const done = (id: string, attempt = 1, output: null | object = null): ExecutionEvent => ({
  type: 'StageCompleted',
  data: { stage: id, attempt, output: output as never },
})
const skipped = (id: string, reason: 'condition' | 'trigger' | 'fail-fast', detail: string): ExecutionEvent => ({
  type: 'StageSkipped',
  data: { stage: id, reason, detail },
})
const broke = (id: string, recovery: 'retry' | 'fail-fast' | 'continue', attempt = 1): ExecutionEvent => ({
  type: 'StageFailed',
  data: {
    stage: id,
    attempt,
    error: { code: 'EXIT_NONZERO', message: 'exit 1' },
    class: 'unknown',
    rule: 'none',
    recovery,
  },
})
const ended = (...stages: string[]): ExecutionEvent => ({
  type: 'ExecutionFailed',
  data: { error: { code: 'STAGE_FAILED', message: `failed: ${stages.join(', ')}`, stages } },
})
const dropped = (id: string, reason: string, attempt = 1): ExecutionEvent => ({
  type: 'StageCancelled',
  data: { stage: id, attempt, reason },
})

const run = (...commands: Parameters<typeof history>) => given(executionDecider, history(...commands))
const chain = workflow([stage('build'), stage('test', { needs: ['build'] })])
const retrying = {
  retry: { maxAttempts: 3, backoff: { type: 'exponential', initialMs: 2_000, maxMs: 60_000, jitter: 0 } },
} as const

describe('starting a run', () => {
  it('records the definition and schedules what needs nothing', () => {
    const { type: _, at: __, ...data } = start(chain)
    run()
      .when(start(chain))
      .then([{ type: 'ExecutionStarted', data }, scheduled('build')])
  })

  it('is no news the second time, and refused with another request under the same key', () => {
    run(start(chain)).when(start(chain)).then([])
    run(start(chain), cancel).when(start(chain)).then([])
    run(start(chain))
      .when(start(chain, { fingerprint: 'other' }))
      .thenRejected('IDEMPOTENCY_KEY_REUSED')
  })

  it('resolves values, and fails the stage whose value has no answer', () => {
    const greet = stage('greet', { with: { run: 'true', env: { WHO: '${{ input.who }}' } } })
    const [, event] = history(start(workflow([greet]), { input: { who: 'ada' } }))
    expect(event).toEqual(scheduled('greet', 1, { input: { run: 'true', env: { WHO: 'ada' } } }))
    const failure = history(start(workflow([greet]), { input: {} }))
    expect(failure.map(({ type }) => type)).toEqual(['ExecutionStarted', 'StageFailed', 'ExecutionFailed'])
    expect(failure[1]).toMatchObject({
      data: { attempt: 0, class: 'configuration', error: { code: 'EXPRESSION_FAILED' } },
    })
  })

  it('refuses every other command about a run that is not there', () => {
    for (const command of [cancel, completed('build'), { type: 'TimeOutExecution', at: AT } as const])
      run().when(command).thenRejected('EXECUTION_UNKNOWN')
  })
})

describe('an attempt', () => {
  it('starts, completes, and lets the next stage go in the same breath', () => {
    run(start(chain))
      .when(started('build'))
      .then([begun('build')])
    run(start(chain), started('build'))
      .when(completed('build'))
      .then([done('build'), scheduled('test')])
    run(start(chain), completed('build'), started('test'))
      .when(completed('test'))
      .then([done('test'), { type: 'ExecutionCompleted', data: { stages: 2 } }])
  })

  it('may be reported by its outcome alone', () => {
    run(start(chain))
      .when(completed('build'))
      .then([begun('build'), done('build'), scheduled('test')])
  })

  it('gives its output to the stages after it', () => {
    const using = workflow([
      stage('build'),
      stage('ship', { needs: ['build'], with: { run: 'true', env: { TAG: '${{ stages.build.output.tag }}' } } }),
    ])
    const events = history(start(using), completed('build', 1, { tag: 'v7' }))
    expect(events.at(-1)).toEqual(scheduled('ship', 1, { input: { run: 'true', env: { TAG: 'v7' } } }))
  })

  it('repeats itself without news', () => {
    run(start(chain), started('build')).when(started('build')).then([])
    run(start(chain), completed('build')).when(completed('build')).then([])
    run(start(workflow([stage('build')])), failed('build'))
      .when(failed('build'))
      .then([])
    run(start(chain), started('build'), cancel, stopped('build')).when(stopped('build')).then([])
  })

  it('is refused when it is not the current one, or another worker has it', () => {
    run(start(chain)).when(completed('build', 2)).thenRejected('ATTEMPT_STALE')
    run(start(chain), completed('build')).when(failed('build')).thenRejected('ATTEMPT_STALE')
    run(start(chain)).when(completed('test')).thenRejected('ATTEMPT_STALE')
    run(start(chain)).when(completed('nope')).thenRejected('STAGE_UNKNOWN')
    const other = { ...completed('build'), worker: 'w2' } as ReturnType<typeof completed>
    run(start(chain), started('build')).when(other).thenRejected('ATTEMPT_STALE')
    const late = run(start(chain), completed('build'), completed('test')).when(failed('test', 2))
    expect(late.thenRejected('EXECUTION_ALREADY_ENDED').message).toContain('completed')
  })
})

describe('a failed attempt', () => {
  const flaky = workflow([stage('build', retrying)])

  it('is retried after its backoff, when its time has come and not before', () => {
    const retried = (attempt: number, ms: number): ExecutionEvent => ({
      type: 'StageRetried',
      data: { stage: 'build', attempt, dueAt: later(ms), backoffMs: ms, reason: 'policy' },
    })
    run(start(flaky), started('build'))
      .when(failed('build'))
      .then([broke('build', 'retry'), retried(2, 2_000)])
    const timer = (ms: number, attempt = 2) =>
      ({ type: 'RetryStage', by: 'timer', stage: 'build', attempt, at: later(ms) }) as const
    const waiting = run(start(flaky), failed('build'))
    waiting.when(timer(1_999)).then([])
    waiting.when(timer(2_000, 3)).then([])
    waiting.when(timer(2_000)).then([scheduled('build', 2)])
    run(start(flaky), failed('build'), timer(2_000)).when(timer(2_000)).then([])
    run(start(flaky), failed('build'), timer(2_000), started('build', 2))
      .when(failed('build', 2))
      .then([broke('build', 'retry', 2), retried(3, 4_000)])
    run(start(flaky), failed('build'), timer(2_000), failed('build', 2), timer(6_000, 3), started('build', 3))
      .when(failed('build', 3))
      .then([broke('build', 'fail-fast', 3), ended('build')])
  })

  it('is not retried when it says so', () => {
    const error = { code: 'EXIT_NONZERO', message: 'exit 1', retryable: false }
    const events = history(start(flaky), failed('build', 1, error))
    expect(events.at(-1)).toEqual(ended('build'))
  })

  it('goes at once when a person asks, and only when it waits to be retried', () => {
    const now = { type: 'RetryStage', by: 'person', stage: 'build', at: AT } as const
    run(start(flaky), failed('build'))
      .when(now)
      .then([
        { type: 'StageRetried', data: { stage: 'build', attempt: 2, dueAt: AT, backoffMs: 0, reason: 'manual' } },
        scheduled('build', 2),
      ])
    run(start(flaky)).when(now).thenRejected('STAGE_NOT_RETRYABLE')
    run(start(flaky))
      .when({ ...now, stage: 'nope' })
      .thenRejected('STAGE_UNKNOWN')
    run(start(workflow([stage('build')])), failed('build'))
      .when(now)
      .thenRejected('EXECUTION_ALREADY_ENDED')
  })

  it('that was lost is made again at once and does not use up the policy', () => {
    const once = workflow([stage('build')])
    const events = history(start(once), started('build'), lost('build'))
    expect(events.slice(3)).toEqual([
      {
        type: 'StageFailed',
        data: {
          stage: 'build',
          attempt: 1,
          error: { code: 'WORKER_LOST', message: 'gone' },
          class: 'infrastructure',
          rule: 'worker-lost',
          recovery: 'retry',
        },
      },
      { type: 'StageRetried', data: { stage: 'build', attempt: 2, dueAt: AT, backoffMs: 0, reason: 'lost' } },
      scheduled('build', 2),
    ])
    const after = history(start(flaky), lost('build'), failed('build', 2), {
      type: 'RetryStage',
      by: 'person',
      stage: 'build',
      at: AT,
    })
    expect(after.at(-1)).toEqual(scheduled('build', 3))
  })

  it('that stopped without being asked to is made again as well', () => {
    const events = history(start(workflow([stage('build')])), started('build'), stopped('build'))
    expect(events.at(-1)).toEqual(scheduled('build', 2))
  })

  it('that is lost again and again ends the run some day', () => {
    const commands = [start(workflow([stage('build')]))] as Parameters<typeof history>
    for (let n = 1; n <= MAX_LOST_ATTEMPTS + 1; n++)
      commands.push(lost('build', n), {
        type: 'RetryStage',
        by: 'timer',
        stage: 'build',
        attempt: n + 1,
        at: later(1e9),
      })
    const events = history(...commands.slice(0, -1))
    expect(events.filter(({ type }) => type === 'StageScheduled')).toHaveLength(MAX_LOST_ATTEMPTS + 1)
    expect(events.at(-1)).toEqual(ended('build'))
  })
})

describe('fail-fast', () => {
  const wide = workflow([
    stage('a'),
    stage('b'),
    stage('c', { needs: ['a'] }),
    stage('tell', { needs: ['c', 'b'], trigger: 'all-done' }),
    stage('after', { needs: ['tell'] }),
  ])

  it('lets what runs come to its end, starts nothing but what waits for any end, then fails the run', () => {
    run(start(wide), started('a'), started('b'))
      .when(failed('a'))
      .then([broke('a', 'fail-fast'), skipped('c', 'fail-fast', 'a failed'), skipped('after', 'fail-fast', 'a failed')])
    const failing = [start(wide), started('a'), started('b'), failed('a')] as const
    run(...failing)
      .when(stopped('b'))
      .then([dropped('b', 'another stage failed'), scheduled('tell')])
    run(...failing)
      .when(completed('b'))
      .then([done('b'), scheduled('tell')])
    run(...failing, stopped('b'), started('tell'))
      .when(completed('tell'))
      .then([done('tell'), ended('a')])
  })

  it('cancels at once what was scheduled and has not been started', () => {
    run(start(wide), started('a'))
      .when(failed('a'))
      .then([
        broke('a', 'fail-fast'),
        dropped('b', 'a failed'),
        skipped('c', 'fail-fast', 'a failed'),
        skipped('after', 'fail-fast', 'a failed'),
        scheduled('tell'),
      ])
  })

  it('retries nothing any more', () => {
    const two = workflow([stage('a'), stage('b', retrying)])
    run(start(two), started('a'), started('b'), failed('a'))
      .when(failed('b'))
      .then([broke('b', 'continue'), ended('a', 'b')])
    run(start(two), started('a'), started('b'), failed('a'))
      .when(lost('b'))
      .then([dropped('b', 'gone'), ended('a')])
  })
})

describe('a run that is failing', () => {
  it('lets one clean-up go on when another fails', () => {
    const cleaning = { needs: ['a'], trigger: 'all-done' } as const
    const definition = workflow([stage('a'), stage('c1', cleaning), stage('c2', cleaning)])
    run(start(definition), failed('a'), started('c1'), started('c2'))
      .when(failed('c1'))
      .then([broke('c1', 'continue')])
    run(start(definition), failed('a'), started('c1'), started('c2'), failed('c1'))
      .when(completed('c2'))
      .then([done('c2'), ended('a', 'c1')])
  })
})

describe('onFailure: continue', () => {
  it('ends the branch and lets the others go on', () => {
    const definition = workflow(
      [
        stage('a'),
        stage('b'),
        stage('c', { needs: ['a'] }),
        stage('d', { needs: ['b'] }),
        stage('e', { needs: ['c'] }),
      ],
      { onFailure: 'continue' },
    )
    run(start(definition), started('a'), started('b'))
      .when(failed('a'))
      .then([broke('a', 'continue'), skipped('c', 'trigger', 'a is failed'), skipped('e', 'trigger', 'c is skipped')])
    run(start(definition), failed('a'), completed('b'), started('d'))
      .when(completed('d'))
      .then([done('d'), ended('a')])
  })
})

describe('triggers', () => {
  const joining = (trigger: 'all-success' | 'all-done' | 'any-success' | 'any-failure') =>
    workflow([stage('a'), stage('b'), stage('z', { needs: ['a', 'b'], trigger })], { onFailure: 'continue' })
  const last = (...commands: Parameters<typeof history>) =>
    history(...commands).filter((e) => 'stage' in e.data && e.data.stage === 'z')

  it.each([
    ['all-success', [completed('a')], []],
    ['all-success', [completed('a'), completed('b')], [scheduled('z')]],
    ['all-success', [failed('a')], [skipped('z', 'trigger', 'a is failed')]],
    ['all-done', [failed('a')], []],
    ['all-done', [failed('a'), completed('b')], [scheduled('z')]],
    ['any-success', [completed('a')], [scheduled('z')]],
    ['any-success', [failed('a')], []],
    ['any-success', [failed('a'), failed('b')], [skipped('z', 'trigger', 'no need succeeded')]],
    ['any-failure', [completed('a')], []],
    ['any-failure', [completed('a'), failed('b')], [scheduled('z')]],
    ['any-failure', [completed('a'), completed('b')], [skipped('z', 'trigger', 'no need failed')]],
  ] as const)('%s, case %#', (trigger, commands, expected) => {
    expect(last(start(joining(trigger)), ...commands)).toEqual(expected)
  })

  it('start a stage once, however its needs end', () => {
    expect(last(start(joining('any-success')), completed('a'), completed('b'))).toEqual([scheduled('z')])
  })
})

describe('conditions', () => {
  const conditional = workflow([stage('a', { when: 'input.deploy == true' }), stage('b', { needs: ['a'] })])
  it('skip a stage, and those after it do not mind', () => {
    const events = history(start(conditional, { input: { deploy: false } }))
    expect(events.slice(1)).toEqual([skipped('a', 'condition', 'input.deploy == true'), scheduled('b')])
    expect(history(start(conditional, { input: { deploy: true } })).slice(1)).toEqual([scheduled('a')])
  })
  it('that have no answer fail the stage', () => {
    expect(history(start(conditional, { input: {} }))[1]).toMatchObject({
      type: 'StageFailed',
      data: { stage: 'a', attempt: 0 },
    })
  })
  it('that skip every stage complete the run', () => {
    const events = history(start(workflow([stage('a', { when: 'false' })])))
    expect(events.at(-1)).toEqual({ type: 'ExecutionCompleted', data: { stages: 0 } })
  })
})

describe('wait', () => {
  const waiting = workflow([stage('nap', { uses: 'wait', with: { duration: '5m' } }), stage('go', { needs: ['nap'] })])
  const wake = (ms: number, attempt = 1) => ({ type: 'WakeStage', stage: 'nap', attempt, at: later(ms) }) as const

  it('is scheduled with the time it ends at, and ends then', () => {
    const events = history(start(waiting))
    expect(events[1]).toMatchObject({ type: 'StageScheduled', data: { stage: 'nap', wakeAt: later(300_000) } })
    run(start(waiting)).when(wake(299_999)).then([])
    run(start(waiting)).when(wake(300_000, 2)).then([])
    run(start(waiting))
      .when(wake(300_000))
      .then([done('nap'), scheduled('go')])
    run(start(waiting), wake(300_000)).when(wake(300_000)).then([])
  })

  it('takes a time, and fails on what is none', () => {
    const until = (text: string) => history(start(workflow([stage('nap', { uses: 'wait', with: { until: text } })])))[1]
    expect(until('2026-02-01T00:00:00+01:00')).toMatchObject({ data: { wakeAt: '2026-01-31T23:00:00.000Z' } })
    expect(until('tomorrow')).toMatchObject({ type: 'StageFailed', data: { error: { code: 'EXPRESSION_FAILED' } } })
  })
})

describe('cancelling', () => {
  const two = workflow([
    stage('a'),
    stage('b'),
    stage('c', { needs: ['a'] }),
    stage('d', { needs: ['c'], trigger: 'all-done' }),
  ])
  const requested = (outcome: 'cancelled' | 'failed', reason: string): ExecutionEvent => ({
    type: 'ExecutionCancellationRequested',
    data: { reason, outcome },
  })

  it('ends what is idle at once and waits for what runs', () => {
    run(start(two), started('a'))
      .when(cancel)
      .then([
        requested('cancelled', 'wrong branch'),
        dropped('b', 'wrong branch'),
        dropped('c', 'wrong branch', 0),
        dropped('d', 'wrong branch', 0),
      ])
    run(start(two), started('a'), cancel)
      .when(stopped('a'))
      .then([dropped('a', 'wrong branch'), { type: 'ExecutionCancelled', data: { reason: 'wrong branch' } }])
  })

  it('schedules nothing more, whatever the running stages report', () => {
    const cancelling = run(start(two), started('a'), cancel)
    const over: ExecutionEvent = { type: 'ExecutionCancelled', data: { reason: 'wrong branch' } }
    cancelling.when(completed('a')).then([done('a'), over])
    cancelling.when(failed('a')).then([broke('a', 'fail-fast'), over])
    cancelling.when(lost('a')).then([dropped('a', 'gone'), over])
  })

  it('ends a run at once when nothing of it runs, and is no news the second time', () => {
    const events = history(start(chain), cancel)
    expect(events.at(-1)?.type).toBe('ExecutionCancelled')
    run(start(chain), cancel).when(cancel).then([])
    run(start(two), started('a'), cancel).when(cancel).then([])
    run(start(workflow([stage('a')])), completed('a'))
      .when(cancel)
      .thenRejected('EXECUTION_ALREADY_ENDED')
  })

  it('cancels what waits for its retry, under the attempt that was', () => {
    run(start(workflow([stage('a', retrying)])), failed('a'))
      .when(cancel)
      .then([
        requested('cancelled', 'wrong branch'),
        dropped('a', 'wrong branch'),
        { type: 'ExecutionCancelled', data: { reason: 'wrong branch' } },
      ])
    const late = { type: 'RetryStage', by: 'timer', stage: 'a', attempt: 2, at: later(1e6) } as const
    run(start(workflow([stage('a', retrying)])), failed('a'), cancel)
      .when(late)
      .then([])
  })

  it('is what a run that takes too long gets, and it ends as failed', () => {
    const timeOut = { type: 'TimeOutExecution', at: AT } as const
    const reason = 'the run took longer than 3600000 ms'
    run(start(workflow([stage('a')])), started('a'))
      .when(timeOut)
      .then([requested('failed', reason)])
    run(start(workflow([stage('a')])), started('a'), timeOut)
      .when(stopped('a'))
      .then([
        dropped('a', reason),
        { type: 'ExecutionFailed', data: { error: { code: 'EXECUTION_TIMED_OUT', message: reason, stages: ['a'] } } },
      ])
    run(start(workflow([stage('a')])), completed('a'))
      .when(timeOut)
      .then([])
  })
})
