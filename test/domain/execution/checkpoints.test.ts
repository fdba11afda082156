import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import type { ExecutionEvent } from '../../../src/domain/execution/events.ts'
import type { Json } from '../../../src/domain/message.ts'
import { begun, scheduled } from '../../support/execution-events.ts'
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

const retry = { maxAttempts: 3, backoff: { type: 'fixed', initialMs: 1_000, maxMs: 1_000, jitter: 0 } } as const
const one = workflow([stage('a', { retry })])
const save = (sequence: number, state: Json, attempt = 1, worker = 'w1'): ExecutionCommand => ({
  ...{ type: 'CheckpointStage', stage: 'a', attempt, worker, sequence, state, at: AT },
})
const saved = (sequence: number, state: Json, attempt = 1): ExecutionEvent => ({
  ...{ type: 'StageCheckpointed', data: { stage: 'a', attempt, sequence, state } },
})
const timer = (attempt: number): ExecutionCommand => ({
  type: 'RetryStage',
  by: 'timer',
  stage: 'a',
  attempt,
  at: later(1_000),
})

describe('a checkpoint', () => {
  it('is recorded, with the start of the attempt where nobody has told of that', () => {
    givenRun(start(one), started('a'))
      .when(save(1, { done: 3 }))
      .then([saved(1, { done: 3 })])
    givenRun(start(one))
      .when(save(1, 3))
      .then([begun('a'), saved(1, 3)])
  })

  it('that is repeated, or comes late, is no news', () => {
    givenRun(start(one), save(1, 3), save(2, 5)).when(save(2, 5)).then([])
    givenRun(start(one), save(1, 3), save(2, 5)).when(save(1, 3)).then([])
    givenRun(start(one), save(1, 3), save(2, 5))
      .when(save(3, 6))
      .then([saved(3, 6)])
  })

  it('is what the next attempt goes on from: after a failure, a loss, or none of its own', () => {
    expect(history(start(one), save(1, 3), save(2, 5), failed('a'), timer(2)).at(-1)).toEqual(
      scheduled('a', 2, { resume: 5 }),
    )
    expect(history(start(one), save(1, 3), lost('a')).at(-1)).toEqual(scheduled('a', 2, { resume: 3 }))
    expect(history(start(one), save(1, 3), lost('a'), failed('a', 2), timer(3)).at(-1)).toEqual(
      scheduled('a', 3, { resume: 3 }),
    )
    givenRun(start(one), save(2, 3), lost('a'), started('a', 2))
      .when(save(1, 4, 2))
      .then([saved(1, 4, 2)])
  })

  it('is refused of another attempt or worker, or after the end', () => {
    givenRun(start(one), started('a'))
      .when(save(1, 3, 2))
      .thenRejected('ATTEMPT_STALE')
    givenRun(start(one), started('a'))
      .when(save(1, 3, 1, 'w2'))
      .thenRejected('ATTEMPT_STALE')
    givenRun(start(one), completed('a')).when(save(1, 3)).thenRejected('EXECUTION_ALREADY_ENDED')
    const two = workflow([stage('a'), stage('x')])
    givenRun(start(two), completed('a')).when(save(1, 3)).thenRejected('ATTEMPT_STALE')
  })
})
