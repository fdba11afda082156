import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import type { ExecutionEvent } from '../../../src/domain/execution/events.ts'
import type { CompiledStep } from '../../../src/domain/workflow/definition.ts'
import {
  begun,
  broke,
  cancellationRequested,
  done,
  dropped,
  runCancelled,
  runFailed,
  scheduled,
  skipped,
  tried,
} from '../../support/execution-events.ts'
import {
  AT,
  cancel,
  completed,
  failed,
  history,
  later,
  lost,
  stage,
  start,
  started,
  stopped,
  workflow,
} from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

const once = { maxAttempts: 1, backoff: { type: 'fixed', initialMs: 1_000, maxMs: 1_000, jitter: 0 } } as const
const step = (more: Partial<CompiledStep> = {}): CompiledStep => ({
  ...{ uses: 'shell', queue: 'default', with: { run: 'true' }, retry: once, timeoutMs: 60_000, ...more },
})
const undoing = (more: Partial<CompiledStep> = {}) =>
  workflow(
    [
      stage('a', { compensate: step(more) }),
      stage('b', { needs: ['a'], compensate: step(more) }),
      stage('c', { needs: ['b'], compensate: step(more) }),
    ],
    { onFailure: 'compensate' },
  )
const three = undoing()
const started24 = (...ids: string[]): ExecutionEvent => ({
  type: 'CompensationStarted',
  data: {
    stages: ids.map((id, at) => ({
      ...{ id: `${id}.compensate`, ...step(), needs: at === 0 ? [] : [`${ids[at - 1]}.compensate`] },
      ...{ trigger: 'all-done', compensates: id },
    })),
  },
})
const failing = [start(three), completed('a'), completed('b'), failed('c')] as const
const timeOut: ExecutionCommand = { type: 'TimeOutExecution', at: later(3_600_000) }
const reason = 'the run took longer than 3600000 ms'
const timedOut: ExecutionEvent = {
  type: 'ExecutionFailed',
  data: { error: { code: 'EXECUTION_TIMED_OUT', message: reason, stages: ['b', 'c'] } },
}

describe('compensation', () => {
  it('undoes what completed, the latest first, one after another, and the run fails', () => {
    givenRun(start(three), completed('a'), completed('b'), started('c'))
      .when(failed('c'))
      .then([broke('c', 'compensate'), started24('b', 'a'), scheduled('b.compensate')])
    givenRun(...failing, started('b.compensate'))
      .when(completed('b.compensate'))
      .then([done('b.compensate'), scheduled('a.compensate')])
    givenRun(...failing, completed('b.compensate'), started('a.compensate'))
      .when(completed('a.compensate'))
      .then([done('a.compensate'), runFailed('c')])
  })

  it('begins when all else has ended, in the order in which that completed', () => {
    const wide = workflow([stage('a', { compensate: step() }), stage('b', { compensate: step() }), stage('c')], {
      onFailure: 'compensate',
    })
    const past = [start(wide), completed('b'), started('a'), started('c')] as const
    givenRun(...past)
      .when(failed('c'))
      .then([broke('c', 'compensate', 1, undefined, ['a'])])
    givenRun(...past, failed('c'))
      .when(completed('a'))
      .then([done('a'), started24('a', 'b'), scheduled('a.compensate')])
    givenRun(...past, failed('c'))
      .when(stopped('a'))
      .then([dropped('a', 'c failed'), started24('b'), scheduled('b.compensate')])
  })

  it('that fails does not keep the others from being undone', () => {
    givenRun(...failing, started('b.compensate'))
      .when(failed('b.compensate'))
      .then([broke('b.compensate', 'continue'), scheduled('a.compensate')])
    expect(history(...failing, failed('b.compensate'), completed('a.compensate')).at(-1)).toEqual(
      runFailed('c', 'b.compensate'),
    )
  })

  it('is tried again as its own policy says, and made again when it was lost', () => {
    const twice = undoing({ retry: { ...once, maxAttempts: 2 } })
    const timer = { type: 'RetryStage', by: 'timer', stage: 'b.compensate', attempt: 2, at: later(1_000) } as const
    const past = [start(twice), completed('a'), completed('b'), failed('c'), started('b.compensate')] as const
    givenRun(...past)
      .when(failed('b.compensate'))
      .then([broke('b.compensate', 'retry'), tried('b.compensate', 2, later(1_000), 1_000)])
    givenRun(...past, failed('b.compensate'))
      .when(timer)
      .then([scheduled('b.compensate', 2)])
    expect(history(...past, lost('b.compensate')).at(-1)).toEqual(scheduled('b.compensate', 2))
  })

  it('is no part of a run that only fails, or that is cancelled', () => {
    const gentle = { ...three, onFailure: 'fail-fast' } as const
    expect(history(start(gentle), completed('a'), failed('b')).at(-1)).toEqual(runFailed('b'))
    expect(history(start(three), failed('a')).at(-1)).toEqual(runFailed('a'))
    expect(history(start(three), completed('a'), cancel).at(-1)).toEqual(runCancelled('wrong branch'))
    const wide = workflow([stage('a', { compensate: step() }), stage('b'), stage('c')], { onFailure: 'compensate' })
    givenRun(start(wide), completed('a'), started('c'), failed('b'), cancel)
      .when(stopped('c'))
      .then([dropped('c', 'b failed'), runCancelled('wrong branch')])
  })

  it('waits while the run is paused', () => {
    const pause = { type: 'PauseExecution', reason: '', at: AT } as const
    const paused = [start(three), completed('a'), started('b'), pause] as const
    givenRun(...paused)
      .when(failed('b'))
      .then([broke('b', 'compensate'), skipped('c', 'fail-fast', 'b failed')])
    expect(history(...paused, failed('b'), { type: 'ResumeExecution', reason: '', at: AT }).slice(-2)).toEqual([
      ...[started24('a'), scheduled('a.compensate')],
    ])
    expect(history(...paused, failed('b'), cancel).at(-1)).toEqual(runCancelled('wrong branch'))
  })

  it('follows a timeout of the run, with retries, answers and signals of its own', () => {
    const late = [start(three), completed('a'), started('b'), timeOut] as const
    givenRun(...late)
      .when(stopped('b'))
      .then([dropped('b', reason), started24('a'), scheduled('a.compensate')])
    expect(history(...late, stopped('b'), completed('a.compensate')).at(-1)).toEqual(timedOut)
    const after = (more: Partial<CompiledStep>) =>
      [start(undoing(more)), completed('a'), started('b'), timeOut, stopped('b')] as const
    const timer = { type: 'RetryStage', by: 'timer', stage: 'a.compensate', attempt: 2, at: later(9e9) } as const
    givenRun(...after({ retry: { ...once, maxAttempts: 2 } }), failed('a.compensate'))
      .when(timer)
      .then([scheduled('a.compensate', 2)])
    const ask = { uses: 'approval', with: {} }
    const approve = { type: 'ApproveStage', stage: 'a.compensate', by: 'user:bob', groups: [], at: AT } as const
    expect(history(...after(ask), approve).at(-1)).toEqual(timedOut)
    const signal = { type: 'ReceiveSignal', id: '1', name: 'go', payload: null, at: AT } as const
    expect(history(...after({ uses: 'signal', with: { name: 'go' } }), signal).at(-1)).toEqual(timedOut)
    const skip = { type: 'SkipStage', stage: 'a.compensate', reason: 'no', at: AT } as const
    expect(history(...after(ask), skip).at(-1)).toEqual(timedOut)
  })

  it('is not cut off by the time of the run, but by a person', () => {
    givenRun(...failing, started('b.compensate'))
      .when(timeOut)
      .then([])
    givenRun(...failing, started('b.compensate'))
      .when(cancel)
      .then([cancellationRequested('cancelled', 'wrong branch'), dropped('a.compensate', 'wrong branch', 0)])
    expect(history(...failing, started('b.compensate'), cancel, stopped('b.compensate')).at(-1)).toEqual(
      runCancelled('wrong branch'),
    )
  })

  it('is not tried again by hand, and goes on as no other stages', () => {
    const person = { type: 'RetryStage', by: 'person', stage: 'b.compensate', at: AT } as const
    givenRun(...failing, failed('b.compensate'))
      .when(person)
      .thenRejected('STAGE_NOT_RETRYABLE')
    givenRun(...failing)
      .when({ ...person, stage: 'c' })
      .thenRejected('STAGE_NOT_RETRYABLE')
    const more = { ...completed('b.compensate'), stages: [stage('g')] } as ExecutionCommand
    const events = history(...failing, more)
    expect(events.at(-2)).toMatchObject({
      type: 'StageFailed',
      data: { recovery: 'continue', error: { code: 'GENERATED_INVALID' } },
    })
    expect(events.at(-1)).toEqual(scheduled('a.compensate'))
  })

  it('undoes the parts of a matrix with their values, under a name that is free', () => {
    const undo = step({ with: { run: 'true', env: { OS: '${{ matrix.os }}' } } })
    const matrix = { axes: { os: ['x'] }, failFast: true } as const
    const definition = workflow([stage('m', { matrix, compensate: undo }), stage('z', { needs: ['m'] })], {
      onFailure: 'compensate',
    })
    expect(history(start(definition), completed('m.x'), failed('z')).at(-1)).toEqual(
      scheduled('m.x.compensate', 1, { input: { run: 'true', env: { OS: 'x' } } }),
    )
    const taken = workflow([stage('a', { compensate: step() }), stage('z', { needs: ['a'] })], {
      onFailure: 'compensate',
    })
    const generates = { ...completed('a'), stages: [stage('a.compensate')] } as ExecutionCommand
    const events = history(start(taken), generates, completed('a.compensate'), failed('z'))
    expect(events.at(-1)).toEqual(scheduled('a.compensate-'))
    expect(events).toContainEqual(begun('z'))
  })
})
