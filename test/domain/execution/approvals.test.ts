import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import type { ExecutionEvent } from '../../../src/domain/execution/events.ts'
import type { Json } from '../../../src/domain/message.ts'
import { dropped, runFailed, scheduled } from '../../support/execution-events.ts'
import { AT, cancel, completed, history, later, stage, start, started, workflow } from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

const withApproval = (given: { [key: string]: Json }, more: object = {}) =>
  workflow([stage('ok', { uses: 'approval', with: given, ...more }), stage('go', { needs: ['ok'] })])
const two = withApproval({ approvers: ['ops', 'bob'], required: 2, message: 'ship it?', timeout: '4h' })
const answer = (by: string, groups: string[] = [], comment?: string): ExecutionCommand => ({
  ...{ type: 'ApproveStage', stage: 'ok', by, groups, at: AT },
  ...(comment === undefined ? {} : { comment }),
})
const reject = (by: string, comment?: string): ExecutionCommand =>
  ({ ...answer(by, ['ops'], comment), type: 'RejectStage' }) as ExecutionCommand
const granted = (by: string, more: object = {}): ExecutionEvent => ({
  type: 'ApprovalGranted',
  data: { stage: 'ok', attempt: 1, by, ...more },
})
const approvedBy = (...people: string[]): ExecutionEvent => ({
  type: 'StageCompleted',
  data: { stage: 'ok', attempt: 1, output: { approvedBy: people } },
})

describe('an approval', () => {
  it('is asked for once the stage is due, of those that it names, for as long as it says', () => {
    const [, waits, asked] = history(start(two))
    const until = later(4 * 3_600_000)
    expect(waits).toMatchObject({
      type: 'StageScheduled',
      data: { handler: 'approval', waitsFor: { for: 'approval', until } },
    })
    const data = {
      stage: 'ok',
      attempt: 1,
      approvers: ['ops', 'bob'],
      required: 2,
      selfApproval: true,
      message: 'ship it?',
      until,
    }
    expect(asked).toEqual({ type: 'ApprovalRequested', data })
  })

  it('completes the stage with the last that is required, and each person counts once', () => {
    givenRun(start(two))
      .when(answer('user:bob', [], 'fine'))
      .then([granted('user:bob', { comment: 'fine' })])
    givenRun(start(two), answer('user:bob')).when(answer('user:bob')).then([])
    givenRun(start(two), answer('user:bob'))
      .when(answer('user:eve', ['ops']))
      .then([granted('user:eve'), approvedBy('user:bob', 'user:eve'), scheduled('go')])
  })

  it('that is repeated is no news, not even after the wait or the run has ended', () => {
    const both = [start(two), answer('user:bob'), answer('user:eve', ['ops'])] as const
    givenRun(...both)
      .when(answer('user:bob'))
      .then([])
    givenRun(...both, completed('go'))
      .when(answer('user:eve', ['ops']))
      .then([])
    givenRun(...both)
      .when(answer('user:max', ['ops']))
      .thenRejected('STAGE_NOT_WAITING')
    givenRun(start(two), reject('user:eve')).when(reject('user:eve')).then([])
    givenRun(start(two), reject('user:eve')).when(reject('user:bob')).thenRejected('EXECUTION_ALREADY_ENDED')
  })

  it('is refused of who may not', () => {
    const own = withApproval({ selfApproval: false })
    givenRun(start(two))
      .when(answer('user:max', ['dev']))
      .thenRejected('APPROVER_NOT_ALLOWED')
    givenRun(start(two))
      .when({ ...reject('user:max'), groups: [] } as never)
      .thenRejected('APPROVER_NOT_ALLOWED')
    givenRun(start(own)).when(answer('user:ada')).thenRejected('APPROVER_NOT_ALLOWED')
    givenRun(start(own))
      .when(answer('user:max'))
      .then([granted('user:max'), approvedBy('user:max'), scheduled('go')])
  })

  it('is refused where nobody waits for it', () => {
    givenRun(start(two))
      .when({ ...answer('user:bob'), stage: 'go' } as never)
      .thenRejected('STAGE_NOT_WAITING')
    givenRun(start(two))
      .when({ ...answer('user:bob'), stage: 'no' } as never)
      .thenRejected('STAGE_UNKNOWN')
    givenRun().when(answer('user:bob')).thenRejected('EXECUTION_UNKNOWN')
    givenRun(start(two), cancel).when(answer('user:bob')).thenRejected('EXECUTION_ALREADY_ENDED')
    const busy = workflow([stage('ok', { uses: 'approval', with: {} }), stage('x')])
    givenRun(start(busy), started('x'), cancel).when(answer('user:bob')).thenRejected('EXECUTION_CANCELLING')
  })

  it('that is rejected fails the stage, whoever granted it before, and is not tried again', () => {
    const retry = { maxAttempts: 3, backoff: { type: 'fixed', initialMs: 1, maxMs: 1, jitter: 0 } } as const
    const definition = withApproval({ approvers: ['ops'], required: 2 }, { retry })
    const events = history(start(definition), answer('user:eve', ['ops']), reject('user:eve', 'not today')).slice(4)
    expect(events).toMatchObject([
      { type: 'ApprovalRejected', data: { stage: 'ok', attempt: 1, by: 'user:eve', comment: 'not today' } },
      {
        type: 'StageFailed',
        data: {
          recovery: 'fail-fast',
          error: { code: 'APPROVAL_REJECTED', message: 'user:eve rejected it: not today' },
        },
      },
      { type: 'StageSkipped', data: { stage: 'go', reason: 'fail-fast' } },
      runFailed('ok'),
    ])
  })

  it('that does not come in time fails the stage, and not before', () => {
    const wake = (ms: number) => ({ type: 'WakeStage', stage: 'ok', attempt: 1, at: later(ms) }) as const
    givenRun(start(two)).when(wake(14_399_999)).then([])
    givenRun(start(withApproval({})))
      .when(wake(9e9))
      .then([])
    const events = history(start(two), wake(14_400_000))
    expect(events[3]).toMatchObject({ type: 'StageFailed', data: { class: 'timeout', error: { code: 'TIMED_OUT' } } })
  })

  it('is ended by what ends the run', () => {
    expect(history(start(two), cancel)).toContainEqual(dropped('ok', 'wrong branch'))
  })
})
