import { describe, expect, it } from 'vitest'
import { scheduled } from '../../support/execution-events.ts'
import { AT, cancel, chain, completed, history, later, stage, start, workflow } from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

describe('starting a run', () => {
  it('records the definition and schedules what needs nothing', () => {
    const { type: _, at: __, ...data } = start(chain)
    givenRun()
      .when(start(chain))
      .then([{ type: 'ExecutionStarted', data: { ...data, timeoutAt: later(3_600_000) } }, scheduled('build')])
  })

  it('is no news the second time, and refused with another request under the same key', () => {
    givenRun(start(chain)).when(start(chain)).then([])
    givenRun(start(chain), cancel).when(start(chain)).then([])
    givenRun(start(chain))
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
      givenRun().when(command).thenRejected('EXECUTION_UNKNOWN')
  })
})
