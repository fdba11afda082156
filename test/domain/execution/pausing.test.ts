import { describe, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import {
  begun,
  broke,
  cancellationRequested,
  done,
  dropped,
  runCancelled,
  runCompleted,
  scheduled,
  tried,
} from '../../support/execution-events.ts'
import { cancel, completed, failed, later, stage, start, started, workflow } from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

const pair = workflow([stage('a'), stage('b', { needs: ['a'] })])
const pause = (ms = 0): ExecutionCommand => ({ type: 'PauseExecution', reason: 'freeze', at: later(ms) })
const resume = (ms = 0): ExecutionCommand => ({ type: 'ResumeExecution', reason: 'thaw', at: later(ms) })
const resumed = (timeoutMs: number) =>
  ({ type: 'ExecutionResumed', data: { reason: 'thaw', timeoutAt: later(timeoutMs) } }) as const

describe('pausing', () => {
  it('says how much of its time the run has left, and is no news the second time', () => {
    givenRun(start(pair))
      .when(pause(600_000))
      .then([{ type: 'ExecutionPaused', data: { reason: 'freeze', remainingMs: 3_000_000 } }])
    givenRun(start(pair))
      .when(pause(9e9))
      .then([{ type: 'ExecutionPaused', data: { reason: 'freeze', remainingMs: 0 } }])
    givenRun(start(pair), pause()).when(pause(5)).then([])
    givenRun(start(pair)).when(resume()).then([])
  })

  it('is refused of a run that is ending or has ended', () => {
    for (const command of [pause(), resume()]) {
      givenRun(start(pair), cancel).when(command).thenRejected('EXECUTION_ALREADY_ENDED')
      givenRun(start(pair), started('a'), cancel).when(command).thenRejected('EXECUTION_CANCELLING')
    }
  })

  it('lets what runs finish and starts nothing until the run goes on', () => {
    givenRun(start(pair), pause())
      .when(started('a'))
      .then([begun('a')])
    givenRun(start(pair), started('a'), pause())
      .when(completed('a'))
      .then([done('a')])
    givenRun(start(pair), started('a'), pause(), completed('a'))
      .when(resume())
      .then([resumed(3_600_000), scheduled('b')])
    givenRun(start(pair), completed('a'), started('b'), pause())
      .when(completed('b'))
      .then([done('b'), runCompleted(2)])
  })

  it('stops the clock of the run', () => {
    const waiting = givenRun(start(pair), started('a'), pause(600_000))
    waiting.when({ type: 'TimeOutExecution', at: later(9e6) }).then([])
    waiting.when(resume(9e6)).then([resumed(12_000_000)])
    const after = givenRun(start(pair), started('a'), pause(600_000), resume(9e6))
    after.when({ type: 'TimeOutExecution', at: later(11_999_999) }).then([])
    after
      .when({ type: 'TimeOutExecution', at: later(12_000_000) })
      .then([
        cancellationRequested('failed', 'the run took longer than 3600000 ms'),
        dropped('b', 'the run took longer than 3600000 ms', 0),
      ])
  })

  it('holds retries back, whether their time comes before the run goes on or after', () => {
    const retry = { maxAttempts: 3, backoff: { type: 'fixed', initialMs: 1_000, maxMs: 1_000, jitter: 0 } } as const
    const flaky = workflow([stage('a', { retry })])
    const timer = { type: 'RetryStage', by: 'timer', stage: 'a', attempt: 2, at: later(1_000) } as const
    const person = { type: 'RetryStage', by: 'person', stage: 'a', at: later(500) } as const
    const past = [start(flaky), started('a'), pause()] as const
    givenRun(...past)
      .when(failed('a'))
      .then([broke('a', 'retry'), tried('a', 2, later(1_000), 1_000)])
    givenRun(...past, failed('a'))
      .when(timer)
      .then([])
    givenRun(...past, failed('a'))
      .when(person)
      .then([tried('a', 2, later(500), 0, 'manual')])
    givenRun(...past, failed('a'))
      .when(resume(999))
      .then([resumed(3_600_999)])
    givenRun(...past, failed('a'), resume(999))
      .when(timer)
      .then([scheduled('a', 2)])
    givenRun(...past, failed('a'), timer)
      .when(resume(1_000))
      .then([resumed(3_601_000), scheduled('a', 2)])
  })

  it('does not keep a run from being cancelled', () => {
    givenRun(start(pair), pause())
      .when(cancel)
      .then([
        ...[cancellationRequested('cancelled', 'wrong branch'), dropped('a', 'wrong branch')],
        ...[dropped('b', 'wrong branch', 0), runCancelled('wrong branch')],
      ])
  })
})
