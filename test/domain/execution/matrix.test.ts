import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import type { ExecutionEvent } from '../../../src/domain/execution/events.ts'
import { combinationsOf } from '../../../src/domain/execution/matrix.ts'
import type { Json } from '../../../src/domain/message.ts'
import type { Matrix } from '../../../src/domain/workflow/definition.ts'
import {
  begun,
  broke,
  done,
  dropped,
  runCompleted,
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

const over = (axes: Matrix['axes'], more: Partial<Matrix> = {}, overrides: object = {}) =>
  workflow([stage('m', { matrix: { axes, failFast: true, ...more }, ...overrides }), stage('z', { needs: ['m'] })])
const letters = { os: ['a', 'b', 'c'] }
const stagesFailed = (...ids: string[]) =>
  ({ code: 'STAGES_FAILED', message: `failed: ${ids.join(', ')}`, retryable: false }) as const
const output = (...states: (readonly [os: string, output: Json])[]): ExecutionEvent => ({
  type: 'StageCompleted',
  data: { stage: 'm', attempt: 0, output: states.map(([os, of]) => ({ matrix: { os }, output: of })) },
})
const person = (id: string): ExecutionCommand => ({ type: 'RetryStage', by: 'person', stage: id, at: AT })

describe('a matrix', () => {
  it('goes on as one stage for each combination, and completes with what they answer', () => {
    const definition = over({ os: ['a', 'b'] }, {}, { with: { run: 'true', env: { OS: '${{ matrix.os }}' } } })
    const input = (os: string) => ({ input: { run: 'true', env: { OS: os } } })
    const stages = ['a', 'b'].map((os) => ({ id: `m.${os}`, values: { os } }))
    expect(history(start(definition)).slice(1)).toEqual([
      { type: 'StagesGenerated', data: { parent: 'm', attempt: 0, output: null, stages } },
      ...[scheduled('m.a', 1, input('a')), scheduled('m.b', 1, input('b'))],
    ])
    givenRun(start(definition), completed('m.a', 1, { n: 1 }), started('m.b'))
      .when(completed('m.b'))
      .then([done('m.b'), output(['a', { n: 1 }], ['b', null]), scheduled('z')])
  })

  it('has its axes from the output of an earlier stage, and may be empty', () => {
    const definition = workflow([
      stage('list'),
      stage('m', { needs: ['list'], matrix: { axes: { os: '${{ stages.list.output.os }}' }, failFast: true } }),
    ])
    const some = history(start(definition), completed('list', 1, { os: ['x', 'y'] }))
    expect(some.slice(-2)).toEqual([scheduled('m.x'), scheduled('m.y')])
    const none = history(start(definition), completed('list', 1, { os: [] }))
    expect(none.slice(-2)).toEqual([output(), runCompleted(2)])
  })

  it('whose axis is no list, or too long, fails before it begins', () => {
    const long = Array.from({ length: 998 }, (_, index) => index)
    for (const axes of [
      { os: '${{ input.nothing }}' },
      { os: [...long, 998, 999, 1_000] },
      { os: [...long, 998, 999] },
    ]) {
      const [, failure, ...rest] = history(start(over(axes), { input: { nothing: 'no list' } }))
      expect(failure).toMatchObject({
        type: 'StageFailed',
        data: { stage: 'm', attempt: 0, error: { code: 'EXPRESSION_FAILED' } },
      })
      expect(rest).toEqual([skipped('z', 'fail-fast', 'm failed'), runFailed('m')])
    }
    expect(history(start(over({ os: long })))[1]?.type).toBe('StagesGenerated')
  })

  it('ends its other stages with the first that fails, then fails by its own policy', () => {
    givenRun(start(over(letters)), started('m.a'), started('m.b'))
      .when(failed('m.a'))
      .then([broke('m.a', 'fail-fast', 1, undefined, ['m.b']), dropped('m.c', 'm.a failed')])
    const tolerant = workflow([stage('m', { matrix: { axes: letters, failFast: true } }), stage('x')], {
      onFailure: 'continue',
    })
    givenRun(start(tolerant), started('m.a'), started('m.b'), failed('m.a'))
      .when(stopped('m.b'))
      .then([dropped('m.b', 'm.a failed'), broke('m', 'continue', 0, stagesFailed('m.a'))])
  })

  it('without fail-fast lets the others go on, and fails once they have ended', () => {
    const patient = over({ os: ['a', 'b'] }, { failFast: false })
    givenRun(start(patient), started('m.a'))
      .when(failed('m.a'))
      .then([broke('m.a', 'continue')])
    givenRun(start(patient), failed('m.a'), started('m.b'))
      .when(completed('m.b'))
      .then([
        ...[done('m.b'), broke('m', 'fail-fast', 0, stagesFailed('m.a'))],
        ...[skipped('z', 'fail-fast', 'm failed'), runFailed('m')],
      ])
  })

  it('runs no more at once than it may', () => {
    const narrow = over(letters, { maxParallel: 1, failFast: false })
    expect(history(start(narrow)).slice(2)).toEqual([scheduled('m.a')])
    givenRun(start(narrow), started('m.a'))
      .when(completed('m.a'))
      .then([done('m.a'), scheduled('m.b')])
    givenRun(start(narrow), started('m.a'))
      .when(failed('m.a'))
      .then([broke('m.a', 'continue'), scheduled('m.b')])
    const skip = { type: 'SkipStage', stage: 'm.a', reason: 'no', at: AT } as const
    givenRun(start(narrow))
      .when(skip)
      .then([skipped('m.a', 'person', 'no'), scheduled('m.b')])
  })

  it('gives the room of a stage that waits for its retry to the next, and starts the retry when there is room', () => {
    const retry = { maxAttempts: 3, backoff: { type: 'fixed', initialMs: 1_000, maxMs: 1_000, jitter: 0 } } as const
    const narrow = over(letters, { maxParallel: 1 }, { retry })
    const timer = { type: 'RetryStage', by: 'timer', stage: 'm.a', attempt: 2, at: later(1_000) } as const
    const late = (id: string) => ({ ...completed(id), at: later(2_000) }) as ExecutionCommand
    givenRun(start(narrow), started('m.a'))
      .when(failed('m.a'))
      .then([broke('m.a', 'retry'), tried('m.a', 2, later(1_000), 1_000), scheduled('m.b')])
    const full = [start(narrow), failed('m.a'), started('m.b')] as const
    givenRun(...full)
      .when(timer)
      .then([])
    givenRun(...full, timer)
      .when(late('m.b'))
      .then([done('m.b'), scheduled('m.a', 2)])
    givenRun(...full)
      .when(completed('m.b'))
      .then([done('m.b'), scheduled('m.c')])
    const twice = history(start(narrow), started('m.a'), lost('m.a'), started('m.a', 2), lost('m.a', 2))
    expect(twice.slice(-2)).toEqual([tried('m.a', 3, later(1_000), 1_000, 'lost'), scheduled('m.b')])
  })

  it('starts what a person tries again only when there is room for it', () => {
    const narrow = over(letters, { maxParallel: 1, failFast: false })
    const full = [start(narrow), failed('m.a'), started('m.b')] as const
    givenRun(...full)
      .when(person('m.a'))
      .then([tried('m.a', 2, AT, 0, 'manual')])
    givenRun(...full, person('m.a'))
      .when(completed('m.b'))
      .then([done('m.b'), scheduled('m.a', 2)])
  })

  it('takes no retry of a stage that has ended its siblings', () => {
    const failing = [start(over({ os: ['a', 'b'] })), started('m.a'), started('m.b'), failed('m.a')] as const
    givenRun(...failing)
      .when(person('m.a'))
      .thenRejected('STAGE_NOT_RETRYABLE')
    givenRun(...failing)
      .when(person('m'))
      .thenRejected('STAGE_NOT_RETRYABLE')
  })

  it('is cancelled, not completed, where the run failed before all of it was done', () => {
    const beside = workflow([stage('m', { matrix: { axes: letters, failFast: true, maxParallel: 1 } }), stage('x')])
    givenRun(start(beside), started('m.a'), started('x'), failed('x'))
      .when(completed('m.a'))
      .then([done('m.a'), dropped('m', 'another stage failed', 0), runFailed('x')])
  })

  it('is cancelled with its stages', () => {
    const events = history(start(over(letters)), started('m.a'), cancel, stopped('m.a'))
    const cancelled = (...ids: string[]) => ids.map((id) => dropped(id, 'wrong branch'))
    expect(events.filter(({ type }) => type === 'StageCancelled')).toEqual([
      ...[dropped('z', 'wrong branch', 0), ...cancelled('m.b', 'm.c', 'm.a'), dropped('m', 'wrong branch', 0)],
    ])
  })

  it('whose stage goes on although it failed is complete', () => {
    const soft = over({ os: ['a', 'b'] }, {}, { continueOnError: true })
    const events = history(start(soft), failed('m.a'), completed('m.b'))
    expect(events.slice(-4)).toEqual([begun('m.b'), done('m.b'), output(['a', null], ['b', null]), scheduled('z')])
  })
})

describe('the combinations of a matrix', () => {
  const ids = (axes: { [axis: string]: Json }) => combinationsOf('m', axes).map(({ id }) => id)
  it('turn the last axis fastest, and are named after their values where those are short and differ', () => {
    expect(ids({ os: ['a', 'b'], node: [20, 22] })).toEqual(['m.a.20', 'm.a.22', 'm.b.20', 'm.b.22'])
    expect(ids({ os: ['a b', 'c'] })).toEqual(['m.0', 'm.1'])
    expect(ids({ n: [1, '1'] })).toEqual(['m.0', 'm.1'])
    expect(ids({ n: [{ a: 1 }, null] })).toEqual(['m.0', 'm.1'])
  })
})
