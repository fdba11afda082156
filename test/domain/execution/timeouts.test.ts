import { describe, it } from 'vitest'
import { cancellationRequested, dropped } from '../../support/execution-events.ts'
import { completed, later, stage, start, started, stopped, workflow } from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

describe('a run that takes too long', () => {
  it('is cancelled, and ends as failed', () => {
    const timeOut = { type: 'TimeOutExecution', at: later(3_600_000) } as const
    const reason = 'the run took longer than 3600000 ms'
    givenRun(start(workflow([stage('a')])), started('a'))
      .when(timeOut)
      .then([cancellationRequested('failed', reason)])
    givenRun(start(workflow([stage('a')])), started('a'), timeOut)
      .when(stopped('a'))
      .then([
        dropped('a', reason),
        { type: 'ExecutionFailed', data: { error: { code: 'EXECUTION_TIMED_OUT', message: reason, stages: ['a'] } } },
      ])
    givenRun(start(workflow([stage('a')])), started('a'))
      .when({ type: 'TimeOutExecution', at: later(3_599_999) })
      .then([])
    givenRun(start(workflow([stage('a')])), completed('a'))
      .when(timeOut)
      .then([])
  })
})
