import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import type { CompiledStep } from '../../../src/domain/workflow/definition.ts'
import { begun, broke, done, runCompleted, runFailed, scheduled, tried } from '../../support/execution-events.ts'
import {
  AT,
  completed,
  failed,
  history,
  later,
  lost,
  stage,
  start,
  started,
  workflow,
} from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

const retry = { maxAttempts: 2, backoff: { type: 'exponential', initialMs: 1_000, maxMs: 60_000, jitter: 0 } } as const
const step: CompiledStep = {
  uses: 'http',
  queue: 'net',
  with: { url: 'https://mirror.example' },
  retry,
  timeoutMs: 9_000,
}
const work = { handler: 'http', queue: 'net', input: step.with, timeoutMs: 9_000 }
const once = workflow([stage('a', { fallback: step })])
const timer = (attempt: number): ExecutionCommand => ({
  type: 'RetryStage',
  by: 'timer',
  stage: 'a',
  attempt,
  at: later(9e9),
})

describe('a fallback', () => {
  it('takes over at once, with its own queue, timeout and input, when the stage has failed for good', () => {
    givenRun(start(once), started('a'))
      .when(failed('a'))
      .then([broke('a', 'fallback'), tried('a', 2, AT, 0, 'fallback'), scheduled('a', 2, work)])
    givenRun(start(once), failed('a'))
      .when(started('a', 2))
      .then([{ type: 'StageStarted', data: { stage: 'a', attempt: 2, worker: 'w1', timeoutMs: 9_000 } }])
    givenRun(start(once), failed('a'), started('a', 2))
      .when(completed('a', 2))
      .then([done('a', 2), runCompleted(1)])
  })

  it('waits until the stage has no attempts left, and takes over at once from what is not retryable', () => {
    const twice = workflow([stage('a', { fallback: step, retry })])
    givenRun(start(twice), started('a'))
      .when(failed('a'))
      .then([broke('a', 'retry'), tried('a', 2, later(1_000), 1_000)])
    givenRun(start(twice), failed('a'), timer(2), started('a', 2))
      .when(failed('a', 2))
      .then([broke('a', 'fallback', 2), tried('a', 3, AT, 0, 'fallback'), scheduled('a', 3, work)])
    const final = { code: 'X', message: 'x', retryable: false }
    givenRun(start(twice), started('a'))
      .when(failed('a', 1, final))
      .then([broke('a', 'fallback', 1, final), tried('a', 2, AT, 0, 'fallback'), scheduled('a', 2, work)])
  })

  it('has attempts of its own, whatever the stage has used up or lost, and comes once', () => {
    const past = [start(once), lost('a'), failed('a', 2)] as const
    const second = [...past, started('a', 3)] as const
    givenRun(...second)
      .when(failed('a', 3))
      .then([broke('a', 'retry', 3), tried('a', 4, later(1_000), 1_000)])
    givenRun(...past, failed('a', 3), timer(4), started('a', 4))
      .when(failed('a', 4))
      .then([broke('a', 'fail-fast', 4), runFailed('a')])
  })

  it('begins afresh, not where the stage had saved how far it was', () => {
    const save: ExecutionCommand = {
      ...{ type: 'CheckpointStage', stage: 'a', attempt: 1, worker: 'w1', at: AT },
      sequence: 1,
      state: 7,
    }
    expect(history(start(once), save, failed('a')).at(-1)).toEqual(scheduled('a', 2, work))
    const own = { ...save, attempt: 2, state: 8 }
    const again = history(start(once), save, failed('a'), own, failed('a', 2), timer(3))
    expect(again.at(-1)).toEqual(scheduled('a', 3, { ...work, resume: 8 }))
  })

  it('leaves nothing to the stage itself, once a person tries that again', () => {
    const open = workflow([stage('a', { fallback: { ...step, retry: { ...retry, maxAttempts: 1 } } }), stage('x')], {
      onFailure: 'continue',
    })
    const save: ExecutionCommand = {
      type: 'CheckpointStage',
      stage: 'a',
      attempt: 2,
      worker: 'w1',
      sequence: 1,
      state: 8,
      at: AT,
    }
    const person: ExecutionCommand = { type: 'RetryStage', by: 'person', stage: 'a', at: AT }
    expect(history(start(open), failed('a'), save, failed('a', 2), person).at(-1)).toEqual(scheduled('a', 3))
  })

  it('helps where the stage could not begin, but not where nobody knows whether it should', () => {
    const unresolved = workflow([stage('a', { fallback: step, with: { run: '${{ input.none }}' } })])
    expect(history(start(unresolved)).at(-1)).toEqual(scheduled('a', 1, work))
    const doubtful = workflow([stage('a', { fallback: step, when: 'input.none' })])
    expect(history(start(doubtful)).at(-1)).toEqual(runFailed('a'))
  })

  it('is what a person changes who changes the input of a stage that has fallen back', () => {
    const url = 'https://other.example'
    const change: ExecutionCommand = { type: 'RetryStage', by: 'person', stage: 'a', at: AT, with: { url } }
    const events = history(start(once), failed('a'), failed('a', 2), change)
    expect(events.slice(-2)).toEqual([
      {
        type: 'StageRetried',
        data: { stage: 'a', attempt: 3, dueAt: AT, backoffMs: 0, reason: 'manual', with: { url } },
      },
      scheduled('a', 3, { ...work, input: { url } }),
    ])
    expect(events).toContainEqual(begun('a'))
  })
})
