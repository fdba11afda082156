import { describe, expect, it } from 'vitest'
import { MAX_LOST_ATTEMPTS } from '../../../src/domain/execution/failure.ts'
import { broke, runFailed, scheduled, tried } from '../../support/execution-events.ts'
import {
  AT,
  failed,
  history,
  later,
  lost,
  retrying,
  stage,
  start,
  started,
  stopped,
  workflow,
} from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

describe('a failed attempt', () => {
  const flaky = workflow([stage('build', retrying)])

  it('is retried after its backoff, when its time has come and not before', () => {
    const retried = (attempt: number, ms: number) => tried('build', attempt, later(ms), ms)
    givenRun(start(flaky), started('build'))
      .when(failed('build'))
      .then([broke('build', 'retry'), retried(2, 2_000)])
    const timer = (ms: number, attempt = 2) =>
      ({ type: 'RetryStage', by: 'timer', stage: 'build', attempt, at: later(ms) }) as const
    const waiting = givenRun(start(flaky), failed('build'))
    waiting.when(timer(1_999)).then([])
    waiting.when(timer(2_000, 3)).then([])
    waiting.when(timer(2_000)).then([scheduled('build', 2)])
    givenRun(start(flaky), failed('build'), timer(2_000)).when(timer(2_000)).then([])
    givenRun(start(flaky), failed('build'), timer(2_000), started('build', 2))
      .when(failed('build', 2))
      .then([broke('build', 'retry', 2), retried(3, 4_000)])
    givenRun(start(flaky), failed('build'), timer(2_000), failed('build', 2), timer(6_000, 3), started('build', 3))
      .when(failed('build', 3))
      .then([broke('build', 'fail-fast', 3), runFailed('build')])
  })

  it('is not retried when it says so', () => {
    const error = { code: 'EXIT_NONZERO', message: 'exit 1', retryable: false }
    const events = history(start(flaky), failed('build', 1, error))
    expect(events.at(-1)).toEqual(runFailed('build'))
  })

  it('goes at once when a person asks, and only when it waits to be retried', () => {
    const now = { type: 'RetryStage', by: 'person', stage: 'build', at: AT } as const
    givenRun(start(flaky), failed('build'))
      .when(now)
      .then([tried('build', 2, AT, 0, 'manual'), scheduled('build', 2)])
    givenRun(start(flaky)).when(now).thenRejected('STAGE_NOT_RETRYABLE')
    givenRun(start(flaky))
      .when({ ...now, stage: 'nope' })
      .thenRejected('STAGE_UNKNOWN')
    givenRun(start(workflow([stage('build')])), failed('build'))
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
      tried('build', 2, AT, 0, 'lost'),
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
    expect(events.at(-1)).toEqual(runFailed('build'))
  })
})
