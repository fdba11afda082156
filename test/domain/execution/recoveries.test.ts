import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import type { ExecutionEvent, StageError } from '../../../src/domain/execution/events.ts'
import type { FailureRule } from '../../../src/domain/workflow/definition.ts'
import {
  broke,
  done,
  dropped,
  runCompleted,
  runFailed,
  scheduled,
  skipped,
  tried,
} from '../../support/execution-events.ts'
import {
  AT,
  cancel,
  completed,
  failed,
  history,
  later,
  retrying,
  stage,
  start,
  started,
  workflow,
} from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

const rule = (action: 'ask' | 'skip' | 'continue' | 'fail-fast' | 'compensate'): FailureRule => ({
  ...{ name: action, match: { codes: [action.toUpperCase()] }, recover: { action } },
})
const failures = (['ask', 'skip', 'continue', 'fail-fast', 'compensate'] as const).map(rule)
const pair = workflow([stage('a'), stage('b', { needs: ['a'] })], { failures })
const beside = workflow([stage('a'), stage('b', { needs: ['a'] }), stage('x')], { failures, onFailure: 'continue' })
const error = (code: string): StageError => ({ code, message: 'why' })
const breaks = (id: string, code: string, attempt = 1) => failed(id, attempt, { code, message: 'why' })
const ruled = (
  id: string,
  recovery: 'ask' | 'skip' | 'continue' | 'fail-fast',
  stops: readonly string[] = [],
): ExecutionEvent => {
  const event = broke(id, recovery, 1, error(recovery.toUpperCase()), stops)
  return { ...event, data: { ...event.data, rule: recovery } } as ExecutionEvent
}
const asked = [start(pair), breaks('a', 'ASK')] as const
const abandon = (id = 'a'): ExecutionCommand => ({ type: 'AbandonStage', stage: id, reason: 'hopeless', at: AT })
const abandoned = (recovery: string, more: object = {}): ExecutionEvent =>
  ({
    type: 'StageAbandoned',
    data: { stage: 'a', attempt: 1, reason: 'hopeless', recovery, ...more },
  }) as ExecutionEvent
const retry: ExecutionCommand = { type: 'RetryStage', by: 'person', stage: 'a', at: AT }

describe('a failure that a stage is skipped for', () => {
  it('lets those that need it go on, by a rule or because the stage says so', () => {
    givenRun(start(pair), started('a'))
      .when(breaks('a', 'SKIP'))
      .then([ruled('a', 'skip'), skipped('a', 'recovery', 'SKIP: why'), scheduled('b')])
    const soft = workflow([stage('a', { continueOnError: true }), stage('b', { needs: ['a'] })])
    givenRun(start(soft), started('a'))
      .when(failed('a'))
      .then([broke('a', 'skip'), skipped('a', 'recovery', 'EXIT_NONZERO: exit 1'), scheduled('b')])
    givenRun(start(soft), failed('a'), started('b'))
      .when(completed('b'))
      .then([done('b'), runCompleted(1)])
  })

  it('can be asked for by what comes after', () => {
    const telling = workflow([
      stage('a', { continueOnError: true }),
      stage('b', { needs: ['a'], with: { run: 'true', env: { WHY: '${{ stages.a.error.code }}' } } }),
    ])
    expect(history(start(telling), failed('a')).at(-1)).toEqual(
      scheduled('b', 1, { input: { run: 'true', env: { WHY: 'EXIT_NONZERO' } } }),
    )
  })

  it('comes after the attempts of the stage, and not in a run that is failing', () => {
    const policy = { maxAttempts: 2, backoff: { type: 'fixed', initialMs: 5, maxMs: 5, jitter: 0 } } as const
    const soft = workflow([stage('a', { continueOnError: true, retry: policy }), stage('x')])
    givenRun(start(soft), started('a'))
      .when(failed('a'))
      .then([broke('a', 'retry'), tried('a', 2, later(5), 5)])
    givenRun(start(soft), started('a'), started('x'), failed('x'))
      .when(failed('a'))
      .then([broke('a', 'continue'), runFailed('a', 'x')])
  })
})

describe('a failure that a person is asked about', () => {
  it('keeps the run open until there is an answer', () => {
    givenRun(start(pair), started('a'))
      .when(breaks('a', 'ASK'))
      .then([ruled('a', 'ask')])
    givenRun(...asked)
      .when({ type: 'WakeStage', stage: 'a', attempt: 1, at: later(9e9) })
      .then([])
    givenRun(...asked)
      .when(breaks('a', 'ASK'))
      .thenRejected('ATTEMPT_STALE')
  })

  it('is tried again, given up or passed over, as they say', () => {
    givenRun(...asked)
      .when(retry)
      .then([tried('a', 2, AT, 0, 'manual'), scheduled('a', 2)])
    givenRun(...asked)
      .when(abandon())
      .then([abandoned('fail-fast'), skipped('b', 'fail-fast', 'a failed'), runFailed('a')])
    givenRun(...asked)
      .when({ type: 'SkipStage', stage: 'a', reason: 'not today', at: AT })
      .then([skipped('a', 'person', 'not today'), scheduled('b')])
  })

  it('given up ends what the failure would have ended', () => {
    givenRun(start(beside), breaks('a', 'ASK'))
      .when(abandon())
      .then([abandoned('continue'), skipped('b', 'trigger', 'a is failed')])
    const strict = workflow([stage('a'), stage('x')], { failures })
    givenRun(start(strict), breaks('a', 'ASK'), started('x'))
      .when(abandon())
      .then([abandoned('fail-fast', { stops: ['x'] })])
    givenRun(start(strict), breaks('a', 'ASK'))
      .when(abandon())
      .then([...[abandoned('fail-fast'), dropped('x', 'a failed'), runFailed('a')]])
  })

  it('can be given up only while it waits, in a run that goes on', () => {
    givenRun(start(pair)).when(abandon()).thenRejected('STAGE_NOT_WAITING')
    givenRun(...asked, abandon())
      .when(abandon())
      .thenRejected('STAGE_NOT_WAITING')
    givenRun(...asked)
      .when(abandon('none'))
      .thenRejected('STAGE_UNKNOWN')
    givenRun(...asked, cancel)
      .when(abandon())
      .thenRejected('STAGE_NOT_WAITING')
    givenRun(...asked)
      .when(abandon('b'))
      .thenRejected('STAGE_NOT_WAITING')
  })

  it('that could not begin is looked at again, its condition too', () => {
    const codes = ['EXPRESSION_FAILED']
    const askAll: FailureRule = { name: 'all', match: { codes }, recover: { action: 'ask' } }
    const doubtful = workflow([stage('a', { when: 'stages.x.output.yes', needs: [] }), stage('x')], {
      failures: [askAll],
    })
    const answered = (yes: boolean) => history(start(doubtful), completed('x', 1, { yes }), retry).slice(5)
    expect(answered(true)).toEqual([tried('a', 1, AT, 0, 'manual'), scheduled('a')])
    expect(answered(false)[1]).toEqual(skipped('a', 'condition', 'stages.x.output.yes'))
  })
})

describe('a failure whose rule says how the stage ends', () => {
  it('ends the branch, or the run, whatever the run does by default', () => {
    givenRun(start(pair), started('a'))
      .when(breaks('a', 'CONTINUE'))
      .then([ruled('a', 'continue'), skipped('b', 'trigger', 'a is failed'), runFailed('a')])
    givenRun(start(beside), started('a'), started('x'))
      .when(breaks('a', 'FAIL-FAST'))
      .then([ruled('a', 'fail-fast', ['x']), skipped('b', 'fail-fast', 'a failed')])
  })

  it('sends the next attempt to another queue, and grants more of them', () => {
    const big: FailureRule = {
      ...{ name: 'big', match: { codes: ['OOM'] }, recover: { action: 'retry', maxAttempts: 2, queue: 'big' } },
    }
    const events = history(start(workflow([stage('a')], { failures: [big] })), breaks('a', 'OOM'), retry)
    expect(events.at(-3)).toMatchObject({ type: 'StageRetried', data: { attempt: 2, reason: 'policy', queue: 'big' } })
    expect(events.at(-1)).toEqual(scheduled('a', 2, { queue: 'big' }))
    expect(
      history(start(workflow([stage('a')], { failures: [big] })), breaks('a', 'OOM'), retry, breaks('a', 'OOM', 2)).at(
        -1,
      ),
    ).toEqual(runFailed('a'))
  })

  it('has the worker in another queue have the same labels', () => {
    const big: FailureRule = { name: 'big', match: { codes: ['OOM'] }, recover: { action: 'retry', queue: 'big' } }
    const { retry: policy } = retrying
    const own = stage('a', { queue: 'default.gpu', retry: policy })
    const events = history(start(workflow([own], { failures: [big] })), breaks('a', 'OOM'), retry)
    expect(events.at(-1)).toEqual(scheduled('a', 2, { queue: 'big.gpu' }))
    const fallback = { uses: 'shell', queue: 'light.arm', with: {}, retry: policy, timeoutMs: 1_000 }
    const instead = stage('a', { queue: 'default.gpu', fallback })
    const given = [breaks('a', 'NO'), breaks('a', 'OOM', 2)] as const
    const after = history(start(workflow([instead], { failures: [big] })), ...given)
    expect(after.at(-1)).toMatchObject({ type: 'StageRetried', data: { attempt: 3, queue: 'big.arm' } })
  })

  it('asks nobody about a stage that has no work of its own', () => {
    const always: FailureRule = { name: 'all', match: { codes: ['STAGES_FAILED'] }, recover: { action: 'ask' } }
    const matrix = { axes: { os: ['x'] }, failFast: true } as const
    const events = history(start(workflow([stage('m', { matrix })], { failures: [always] })), failed('m.x'))
    expect(events.at(-1)).toEqual(runFailed('m'))
  })
})
