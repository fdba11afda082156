import { describe, expect, it } from 'vitest'
import type { ExecutionEvent } from '../../../src/domain/execution/events.ts'
import { broke, cancellationRequested, done, dropped, runCancelled } from '../../support/execution-events.ts'
import {
  cancel,
  chain,
  completed,
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

describe('cancelling', () => {
  const two = workflow([
    stage('a'),
    stage('b'),
    stage('c', { needs: ['a'] }),
    stage('d', { needs: ['c'], trigger: 'all-done' }),
  ])
  it('ends what is idle at once and waits for what runs', () => {
    givenRun(start(two), started('a'))
      .when(cancel)
      .then([
        cancellationRequested('cancelled', 'wrong branch'),
        dropped('b', 'wrong branch'),
        dropped('c', 'wrong branch', 0),
        dropped('d', 'wrong branch', 0),
      ])
    givenRun(start(two), started('a'), cancel)
      .when(stopped('a'))
      .then([dropped('a', 'wrong branch'), runCancelled('wrong branch')])
  })

  it('schedules nothing more, whatever the running stages report', () => {
    const cancelling = givenRun(start(two), started('a'), cancel)
    const over: ExecutionEvent = runCancelled('wrong branch')
    cancelling.when(completed('a')).then([done('a'), over])
    cancelling.when(failed('a')).then([broke('a', 'continue'), over])
    cancelling.when(lost('a')).then([dropped('a', 'gone'), over])
  })

  it('ends a run at once when nothing of it runs, and is no news the second time', () => {
    const events = history(start(chain), cancel)
    expect(events.at(-1)?.type).toBe('ExecutionCancelled')
    givenRun(start(chain), cancel).when(cancel).then([])
    givenRun(start(two), started('a'), cancel).when(cancel).then([])
    givenRun(start(workflow([stage('a')])), completed('a'))
      .when(cancel)
      .thenRejected('EXECUTION_ALREADY_ENDED')
  })

  it('cancels what waits for its retry, under the attempt that was', () => {
    givenRun(start(workflow([stage('a', retrying)])), failed('a'))
      .when(cancel)
      .then([
        cancellationRequested('cancelled', 'wrong branch'),
        dropped('a', 'wrong branch'),
        runCancelled('wrong branch'),
      ])
    const late = { type: 'RetryStage', by: 'timer', stage: 'a', attempt: 2, at: later(1e6) } as const
    givenRun(start(workflow([stage('a', retrying)])), failed('a'), cancel)
      .when(late)
      .then([])
  })
})
