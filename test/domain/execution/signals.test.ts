import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import type { ExecutionEvent } from '../../../src/domain/execution/events.ts'
import { runCompleted, scheduled } from '../../support/execution-events.ts'
import { AT, cancel, completed, history, later, stage, start, started, workflow } from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

const listening = { uses: 'signal', with: { name: 'go', timeout: '1h' } } as const
const waits = (id: string): ExecutionEvent =>
  scheduled(id, 1, {
    handler: 'signal',
    input: listening.with,
    waitsFor: { for: 'signal', name: 'go', until: later(3_600_000) },
  })
const signal = (id: string, name = 'go'): ExecutionCommand => ({
  type: 'ReceiveSignal',
  id,
  name,
  payload: { id },
  at: AT,
})
const received = (id: string, name = 'go'): ExecutionEvent => ({
  type: 'SignalReceived',
  data: { id, name, payload: { id } },
})
const got = (stageId: string, id: string): ExecutionEvent => ({
  type: 'StageCompleted',
  data: { stage: stageId, attempt: 1, output: { id } },
})
const one = workflow([stage('s', listening), stage('b', { needs: ['s'] })])
const later2 = workflow([
  stage('a'),
  stage('s1', { ...listening, needs: ['a'] }),
  stage('s2', { ...listening, needs: ['s1'] }),
])

describe('a signal', () => {
  it('completes the stage that waits for it, with its payload', () => {
    expect(history(start(one))[1]).toEqual(waits('s'))
    givenRun(start(one))
      .when(signal('1'))
      .then([received('1'), got('s', '1'), scheduled('b')])
    givenRun(start(one))
      .when(signal('1', 'stop'))
      .then([received('1', 'stop')])
  })

  it('goes to the first stage alone where several wait', () => {
    const both = workflow([stage('s', listening), stage('t', listening)])
    givenRun(start(both))
      .when(signal('1'))
      .then([received('1'), got('s', '1')])
    givenRun(start(both), signal('1'))
      .when(signal('2'))
      .then([received('2'), got('t', '2'), runCompleted(2)])
  })

  it('that comes early is kept, and taken once, the oldest first', () => {
    givenRun(start(later2))
      .when(signal('1'))
      .then([received('1')])
    const events = history(start(later2), signal('1'), signal('2'), completed('a')).slice(-5)
    expect(events).toEqual([waits('s1'), got('s1', '1'), waits('s2'), got('s2', '2'), runCompleted(3)])
  })

  it('that is repeated is no news, not even after the end of the run', () => {
    givenRun(start(one), signal('1')).when(signal('1')).then([])
    givenRun(start(one), signal('1'), completed('b')).when(signal('1')).then([])
    givenRun(start(one), signal('1'), completed('b')).when(signal('2')).thenRejected('EXECUTION_ALREADY_ENDED')
  })

  it('is refused of a run that is ending, or that has had too many', () => {
    givenRun(start(later2), started('a'), cancel).when(signal('1')).thenRejected('EXECUTION_CANCELLING')
    givenRun().when(signal('1')).thenRejected('EXECUTION_UNKNOWN')
    const many = Array.from({ length: 1_000 }, (_, index) => signal(String(index), 'other'))
    givenRun(start(one), ...many)
      .when(signal('1000'))
      .thenRejected('SIGNALS_FULL')
    givenRun(start(one), ...many)
      .when(signal('999', 'other'))
      .then([])
  })

  it('that does not come in time fails the stage, and not before', () => {
    const wake = (ms: number) => ({ type: 'WakeStage', stage: 's', attempt: 1, at: later(ms) }) as const
    givenRun(start(one)).when(wake(3_599_999)).then([])
    const error = { code: 'TIMED_OUT', message: 'no signal go came in time', retryable: false }
    expect(history(start(one), wake(3_600_000))[2]).toMatchObject({ type: 'StageFailed', data: { error } })
  })

  it('reaches a stage in a pause, and what needs that starts after it', () => {
    const pause = { type: 'PauseExecution', reason: '', at: AT } as const
    givenRun(start(one), pause)
      .when(signal('1'))
      .then([received('1'), got('s', '1')])
  })
})
