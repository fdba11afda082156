import { describe, expect, it } from 'vitest'
import { done, scheduled } from '../../support/execution-events.ts'
import { history, later, stage, start, workflow } from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

describe('wait', () => {
  const waiting = workflow([stage('nap', { uses: 'wait', with: { duration: '5m' } }), stage('go', { needs: ['nap'] })])
  const wake = (ms: number, attempt = 1) => ({ type: 'WakeStage', stage: 'nap', attempt, at: later(ms) }) as const

  it('is scheduled with the time it ends at, and ends then', () => {
    const events = history(start(waiting))
    expect(events[1]).toMatchObject({
      type: 'StageScheduled',
      data: { stage: 'nap', waitsFor: { for: 'timer', until: later(300_000) } },
    })
    givenRun(start(waiting)).when(wake(299_999)).then([])
    givenRun(start(waiting)).when(wake(300_000, 2)).then([])
    givenRun(start(waiting))
      .when(wake(300_000))
      .then([done('nap'), scheduled('go')])
    givenRun(start(waiting), wake(300_000)).when(wake(300_000)).then([])
  })

  it('takes a time, and fails on what is none', () => {
    const until = (text: string) => history(start(workflow([stage('nap', { uses: 'wait', with: { until: text } })])))[1]
    expect(until('2026-02-01T00:00:00+01:00')).toMatchObject({
      data: { waitsFor: { for: 'timer', until: '2026-01-31T23:00:00.000Z' } },
    })
    expect(until('tomorrow')).toMatchObject({
      type: 'StageFailed',
      data: { error: { code: 'INPUT_INVALID', retryable: false } },
    })
  })
})
