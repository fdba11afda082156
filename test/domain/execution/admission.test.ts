import { describe, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import type { ExecutionEvent } from '../../../src/domain/execution/events.ts'
import { NOTHING } from '../../../src/domain/pool/amounts.ts'
import {
  begun,
  broke,
  cancellationRequested,
  done,
  dropped,
  runCancelled,
  runCompleted,
  runFailed,
  scheduled,
  tried,
} from '../../support/execution-events.ts'
import { cancel, completed, failed, later, lost, stage, start, started, workflow } from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

const amounts = { ...NOTHING, slots: 1 }
const resources = { pool: 'production', amounts }
const deploy = stage('deploy', { resources })
const alone = workflow([deploy])
const grant = (fence = 1, pool = 'production') => ({ pool, fence })
const admit = (id = 'deploy', attempt = 1, fence = 1): ExecutionCommand => ({
  type: 'AdmitStage',
  stage: id,
  attempt,
  grant: grant(fence),
  at: later(0),
})
const deferred = (id = 'deploy', attempt = 1): ExecutionEvent => ({
  type: 'StageDeferred',
  data: {
    ...{ stage: id, attempt, pool: 'production', amounts, workflow: 'release', priority: 0 },
    ...{ reason: 'asked', blockers: [] },
  },
})
const admitted = (id = 'deploy', attempt = 1, fence = 1): ExecutionEvent => {
  const event = scheduled(id, attempt)
  return { type: 'StageScheduled', data: { ...event.data, grant: grant(fence) } } as ExecutionEvent
}
const pause: ExecutionCommand = { type: 'PauseExecution', reason: 'freeze', at: later(0) }

describe('a stage that asks a pool', () => {
  it('is scheduled once the pool has granted what it asks for, and not before', () => {
    const before = workflow([stage('build'), stage('deploy', { resources, needs: ['build'] })])
    givenRun(start(before), started('build'))
      .when(completed('build'))
      .then([done('build'), deferred()])
    givenRun(start(alone)).when(admit()).then([admitted()])
    givenRun(start(alone), admit()).when(admit()).then([])
    givenRun(start(alone), admit(), started('deploy')).when(admit()).then([])
    givenRun(start(alone), admit())
      .when(admit('deploy', 1, 2))
      .thenRejected('ATTEMPT_STALE')
    givenRun(start(alone)).when(started('deploy')).thenRejected('ATTEMPT_STALE')
  })

  it('asks for nothing where its fallback waits for somebody', () => {
    const { retry, queue, timeoutMs } = deploy
    const fallback = { uses: 'signal', queue, with: { name: 'go' }, retry, timeoutMs }
    const waits = { ...scheduled('deploy', 2).data, handler: 'signal', input: { name: 'go' } }
    givenRun(start(workflow([stage('deploy', { resources, fallback })])), admit())
      .when(failed('deploy'))
      .then([
        begun('deploy'),
        broke('deploy', 'fallback'),
        tried('deploy', 2, later(0), 0, 'fallback'),
        { type: 'StageScheduled', data: { ...waits, waitsFor: { for: 'signal', name: 'go' } } } as ExecutionEvent,
      ])
  })

  it('says why it waits, once for each reason', () => {
    const blockers = [{ executionId: 'other', stage: 'deploy' }]
    const why = { stage: 'deploy', attempt: 1, reason: 'capacity', short: ['slots'], blockers } as const
    const defer: ExecutionCommand = { type: 'DeferStage', ...why, at: later(0) }
    const said = { ...why, pool: 'production', amounts, workflow: 'release', priority: 0 }
    givenRun(start(alone))
      .when(defer)
      .then([{ type: 'StageDeferred', data: said }])
    givenRun(start(alone), defer).when(defer).then([])
    givenRun(start(alone), admit()).when(defer).then([])
    givenRun(start(alone), defer).when(admit()).then([admitted()])
  })

  it('asks again for each attempt, also after one that was lost, and keeps the queue of a retry', () => {
    const twice = workflow([{ ...deploy, retry: { ...deploy.retry, maxAttempts: 2 } }], {
      failures: [{ name: 'big', match: { codes: ['EXIT_NONZERO'] }, recover: { action: 'retry', queue: 'big' } }],
    })
    const retry: ExecutionCommand = { type: 'RetryStage', by: 'timer', stage: 'deploy', attempt: 2, at: later(60_000) }
    const tried = [start(twice), admit(), started('deploy'), failed('deploy')]
    givenRun(...tried)
      .when(retry)
      .then([deferred('deploy', 2)])
    const again = admitted('deploy', 2, 9)
    givenRun(...tried, retry)
      .when(admit('deploy', 2, 9))
      .then([{ ...again, data: { ...again.data, queue: 'big' } } as ExecutionEvent])
    givenRun(start(alone), admit(), started('deploy'), lost('deploy')).when(admit()).thenRejected('ATTEMPT_STALE')
  })

  it('is not admitted while its run is paused or ends', () => {
    givenRun(start(alone), pause).when(admit()).thenRejected('EXECUTION_PAUSED')
    givenRun(start(alone), cancel).when(admit()).thenRejected('EXECUTION_ALREADY_ENDED')
    const beside = workflow([stage('a'), deploy])
    givenRun(start(beside), started('a'), cancel).when(admit()).thenRejected('ATTEMPT_STALE')
  })

  it('ends with its run, and no attempt of it has been', () => {
    givenRun(start(alone))
      .when(cancel)
      .then([
        cancellationRequested('cancelled', 'wrong branch'),
        dropped('deploy', 'wrong branch', 0),
        runCancelled('wrong branch'),
      ])
    const beside = workflow([stage('a'), deploy])
    givenRun(start(beside), started('a'))
      .when(failed('a'))
      .then([broke('a', 'fail-fast'), dropped('deploy', 'a failed', 0), runFailed('a')])
  })

  it('fails where the pool never can', () => {
    const error = { code: 'POOL_TOO_SMALL', message: 'no', retryable: false }
    const refuse: ExecutionCommand = { type: 'RefuseStage', stage: 'deploy', attempt: 1, error, at: later(0) }
    givenRun(start(alone))
      .when(refuse)
      .then([
        {
          type: 'StageFailed',
          data: {
            ...{ stage: 'deploy', attempt: 0, error, class: 'configuration', rule: 'not-configured' },
            recovery: 'fail-fast',
          },
        },
        runFailed('deploy'),
      ])
    givenRun(start(alone), admit()).when(refuse).then([])
  })

  it('is undone under the same conditions', () => {
    const { uses, queue, with: given, timeoutMs, retry } = stage('x')
    const undoable = { ...deploy, compensate: { uses, queue, with: given, timeoutMs, retry } }
    const run = workflow([undoable, stage('check', { needs: ['deploy'] })], { onFailure: 'compensate' })
    const before = [start(run), admit(), started('deploy'), completed('deploy'), started('check'), failed('check')]
    givenRun(...before)
      .when(admit('deploy.compensate', 1, 2))
      .then([admitted('deploy.compensate', 1, 2)])
  })
})

describe('a run of a group', () => {
  const grouped = workflow([stage('a')], {
    concurrency: { group: 'web-${{ input.n }}', limit: 1, onConflict: 'queue' },
  })
  const input = { n: 3 }
  const first = start(grouped, { input })
  const turn: ExecutionCommand = { type: 'AdmitExecution', grant: grant(4, 'web-3'), at: later(60_000) }
  const begun: ExecutionEvent = {
    type: 'ExecutionAdmitted',
    data: { grant: grant(4, 'web-3'), timeoutAt: later(3_660_000) },
  }

  it('begins, and its time with it, when its turn has come', () => {
    givenRun(first)
      .when(turn)
      .then([begun, scheduled('a', 1)])
    givenRun(first, turn).when(turn).then([])
    givenRun(first, turn)
      .when({ ...turn, grant: grant(5, 'web-3') })
      .thenRejected('ATTEMPT_STALE')
    givenRun(first)
      .when({ type: 'TimeOutExecution', at: later(9e9) })
      .then([])
    givenRun(first, turn, started('a'))
      .when(completed('a'))
      .then([done('a'), runCompleted(1)])
  })

  it('says once who is in the way', () => {
    const defer: ExecutionCommand = { type: 'DeferExecution', blockers: [{ executionId: 'x' }], at: later(0) }
    const data = { group: 'web-3', reason: 'limit', blockers: [{ executionId: 'x' }] } as const
    givenRun(first)
      .when(defer)
      .then([{ type: 'ExecutionDeferred', data }])
    givenRun(first, defer).when(defer).then([])
    givenRun(first, turn).when(defer).then([])
  })

  it('cannot be paused before it has begun, and is cancelled at once', () => {
    givenRun(first).when(pause).thenRejected('EXECUTION_QUEUED')
    givenRun(first)
      .when(cancel)
      .then([
        cancellationRequested('cancelled', 'wrong branch'),
        dropped('a', 'wrong branch', 0),
        runCancelled('wrong branch'),
      ])
    givenRun(first, cancel).when(turn).thenRejected('EXECUTION_ALREADY_ENDED')
  })

  it('is not started where its input gives the group no name', () => {
    givenRun().when(start(grouped)).thenRejected('INPUT_INVALID')
    const named = workflow([stage('a')], { concurrency: { group: '${{ input.x }}', limit: 1, onConflict: 'queue' } })
    givenRun()
      .when(start(named, { input: { x: '' } }))
      .thenRejected('INPUT_INVALID')
    givenRun()
      .when(start(named, { input: { x: [] } }))
      .thenRejected('INPUT_INVALID')
    givenRun()
      .when(start(named, { input: { x: 'y'.repeat(256) } }))
      .thenRejected('INPUT_INVALID')
  })
})
