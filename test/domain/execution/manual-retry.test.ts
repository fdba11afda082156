import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import { done, runCompleted, runFailed, scheduled, skipped, tried } from '../../support/execution-events.ts'
import {
  AT,
  cancel,
  completed,
  failed,
  history,
  stage,
  start,
  started,
  stopped,
  workflow,
} from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

const retry = (id: string, more: object = {}): ExecutionCommand => ({
  type: 'RetryStage',
  by: 'person',
  stage: id,
  at: AT,
  ...more,
})
const open = workflow(
  [
    stage('a'),
    stage('b', { needs: ['a'] }),
    stage('c', { needs: ['b'] }),
    stage('also', { needs: ['a', 'x'] }),
    stage('mend', { needs: ['a'], trigger: 'any-failure' }),
    stage('x'),
  ],
  { onFailure: 'continue' },
)
const broken = [start(open), failed('a')] as const
const again = (reopens: string[], more: object = {}) =>
  ({
    ...{
      type: 'StageRetried',
      data: { stage: 'a', attempt: 2, dueAt: AT, backoffMs: 0, reason: 'manual', reopens, ...more },
    },
  }) as const

describe('a failed stage that a person tries again', () => {
  it('reopens those that were skipped because of it, and leaves its siblings alone', () => {
    givenRun(...broken)
      .when(retry('a', { comment: 'disk is mended' }))
      .then([again(['b', 'also', 'c'], { comment: 'disk is mended' }) as never, scheduled('a', 2)])
    givenRun(...broken, retry('a'), started('a', 2))
      .when(completed('a', 2))
      .then([done('a', 2), scheduled('b')])
    givenRun(...broken, retry('a'), completed('a', 2), started('x'))
      .when(completed('x'))
      .then([done('x'), scheduled('also')])
  })

  it('may fail again, and takes those down once more', () => {
    const events = history(...broken, retry('a'), failed('a', 2)).slice(-4)
    expect(events.slice(1)).toEqual([
      ...[
        skipped('b', 'trigger', 'a is failed'),
        skipped('also', 'trigger', 'a is failed'),
        skipped('c', 'trigger', 'b is skipped'),
      ],
    ])
  })

  it('completes the run as if nothing had happened', () => {
    const events = history(
      ...broken,
      ...[retry('a'), completed('a', 2), completed('b'), completed('c'), completed('x'), completed('also')],
      completed('mend'),
    )
    expect(events.at(-1)).toEqual(runCompleted(6))
  })

  it('reopens nothing that another failure keeps from starting', () => {
    const both = workflow([stage('a'), stage('b'), stage('z', { needs: ['a', 'b'] }), stage('x')], {
      onFailure: 'continue',
    })
    const past = [start(both), failed('a'), failed('b')] as const
    givenRun(...past)
      .when(retry('a'))
      .then([tried('a', 2, AT, 0, 'manual'), scheduled('a', 2)])
    const z = { stage: 'b', attempt: 2, dueAt: AT, backoffMs: 0, reason: 'manual', reopens: ['z'] } as const
    givenRun(...past, retry('a'))
      .when(retry('b'))
      .then([{ type: 'StageRetried', data: z }, scheduled('b', 2)])
  })

  it('does not save the group of which something was stopped because of it', () => {
    const nested = { ...completed('a'), stages: [stage('g1'), stage('g2')] } as ExecutionCommand
    const deeper = { ...completed('g2'), stages: [stage('h')] } as ExecutionCommand
    const events = history(
      ...[start(open), nested, deeper, started('h'), failed('g1'), retry('g1'), completed('g1', 2), stopped('h')],
      ...[completed('x'), completed('mend')],
    )
    expect(events.at(-1)).toEqual(runFailed('a'))
  })

  it('runs with what they change in its input, and on from where it was', () => {
    const save: ExecutionCommand = {
      ...{ type: 'CheckpointStage', stage: 'a', attempt: 1, worker: 'w1', at: AT },
      sequence: 1,
      state: 7,
    }
    const events = history(start(open), save, failed('a'), retry('a', { with: { run: 'make' } }))
    expect(events.at(-2)).toMatchObject({ type: 'StageRetried', data: { with: { run: 'make' } } })
    expect(events.at(-1)).toEqual(scheduled('a', 2, { input: { run: 'make' }, resume: 7 }))
  })

  it('is held to what a workflow is held to', () => {
    givenRun(...broken)
      .when(retry('a', { with: { run: 'echo ${{ input.x }}' } }))
      .thenRejected('INPUT_INVALID')
  })

  it('has one attempt, besides those of its policy', () => {
    const policy = { maxAttempts: 3, backoff: { type: 'fixed', initialMs: 0, maxMs: 0, jitter: 0 } } as const
    const flaky = workflow([stage('a', { retry: policy }), stage('x')], { onFailure: 'continue' })
    const events = history(start(flaky), failed('a'), failed('a', 2), failed('a', 3), retry('a'), failed('a', 4))
    expect(events.filter(({ type }) => type === 'StageScheduled')).toHaveLength(5)
    expect(events.at(-1)).toMatchObject({ type: 'StageFailed', data: { attempt: 4, recovery: 'continue' } })
  })

  it('has to have failed, in a run that goes on', () => {
    givenRun(start(open)).when(retry('a')).thenRejected('STAGE_NOT_RETRYABLE')
    givenRun(start(open), started('a')).when(retry('a')).thenRejected('STAGE_NOT_RETRYABLE')
    givenRun(...broken)
      .when(retry('b'))
      .thenRejected('STAGE_NOT_RETRYABLE')
    givenRun(...broken)
      .when(retry('none'))
      .thenRejected('STAGE_UNKNOWN')
    givenRun(...broken, started('x'), cancel)
      .when(retry('a'))
      .thenRejected('EXECUTION_CANCELLING')
    givenRun(...broken, cancel)
      .when(retry('a'))
      .thenRejected('EXECUTION_ALREADY_ENDED')
    const strict = workflow([stage('a'), stage('x')])
    const failing = givenRun(start(strict), started('x'), failed('a'))
    expect(failing.when(retry('a')).thenRejected('STAGE_NOT_RETRYABLE').message).toContain('restore')
    expect(history(start(strict), failed('a')).at(-1)).toEqual(runFailed('a'))
  })
})
