import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import { runCompleted, scheduled, skipped } from '../../support/execution-events.ts'
import { AT, cancel, completed, failed, history, stage, start, started, workflow } from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

const skip = (id: string): ExecutionCommand => ({ type: 'SkipStage', stage: id, reason: 'known', at: AT })
const retry = { maxAttempts: 2, backoff: { type: 'fixed', initialMs: 1_000, maxMs: 1_000, jitter: 0 } } as const
const pair = workflow([stage('a', { retry }), stage('b', { needs: ['a'] })])
const passed = skipped('a', 'person', 'known')

describe('a stage that a person skips', () => {
  it('counts as a success, whether it is blocked, scheduled, waits or is to be retried', () => {
    givenRun(start(pair))
      .when(skip('a'))
      .then([passed, scheduled('b')])
    givenRun(start(pair), failed('a'))
      .when(skip('a'))
      .then([passed, scheduled('b')])
    for (const waiting of [
      { uses: 'wait', with: { duration: '1h' } },
      { uses: 'approval', with: {} },
    ]) {
      const definition = workflow([stage('a', waiting), stage('b', { needs: ['a'] })])
      givenRun(start(definition))
        .when(skip('a'))
        .then([passed, scheduled('b')])
    }
    givenRun(start(pair))
      .when(skip('b'))
      .then([skipped('b', 'person', 'known')])
    expect(history(start(pair), skip('b'), completed('a')).at(-1)).toEqual(runCompleted(1))
  })

  it('takes no report any more', () => {
    givenRun(start(pair), skip('a')).when(completed('a')).thenRejected('ATTEMPT_STALE')
    givenRun(start(pair), skip('a')).when({ type: 'RetryStage', by: 'timer', stage: 'a', attempt: 2, at: AT }).then([])
  })

  it('is no news the second time', () => {
    givenRun(start(pair), skip('a')).when(skip('a')).then([])
    givenRun(start(pair), skip('a'), skip('b')).when(skip('b')).then([])
  })

  it('has not begun, in a run that goes on', () => {
    givenRun(start(pair), started('a')).when(skip('a')).thenRejected('STAGE_NOT_SKIPPABLE')
    givenRun(start(pair), completed('a')).when(skip('a')).thenRejected('STAGE_NOT_SKIPPABLE')
    givenRun(start(pair)).when(skip('none')).thenRejected('STAGE_UNKNOWN')
    givenRun(start(pair), started('a'), cancel).when(skip('b')).thenRejected('EXECUTION_CANCELLING')
    givenRun(start(pair), cancel).when(skip('b')).thenRejected('EXECUTION_ALREADY_ENDED')
    const clean = workflow([stage('a'), stage('x'), stage('tidy', { needs: ['a', 'x'], trigger: 'all-done' })])
    givenRun(start(clean), started('x'), failed('a')).when(skip('tidy')).thenRejected('STAGE_NOT_SKIPPABLE')
    const matrix = workflow([stage('m', { matrix: { axes: { os: ['x'] }, failFast: true } })])
    givenRun(start(matrix)).when(skip('m')).thenRejected('STAGE_NOT_SKIPPABLE')
    const { uses, queue, with: input, retry, timeoutMs } = stage('undo')
    const compensate = { uses, queue, with: input, retry, timeoutMs }
    const undone = [stage('a', { compensate }), stage('b', { needs: ['a'], compensate }), stage('c', { needs: ['b'] })]
    const undoing = givenRun(
      ...[start(workflow(undone, { onFailure: 'compensate' })), completed('a'), completed('b'), failed('c')],
    )
    undoing.when(skip('a.compensate')).thenRejected('STAGE_NOT_SKIPPABLE')
    undoing.when(skip('b.compensate')).then([skipped('b.compensate', 'person', 'known'), scheduled('a.compensate')])
  })
})
