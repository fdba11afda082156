import { describe, expect, it } from 'vitest'
import type { Restored } from '../../../src/domain/execution/commands.ts'
import type { ExecutionEventOf } from '../../../src/domain/execution/events.ts'
import { done, runCompleted, scheduled } from '../../support/execution-events.ts'
import { completed, failed, history, stage, start, started, workflow } from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

const restored = (data: ExecutionEventOf<'StageRestored'>['data']): Restored => ({ type: 'StageRestored', data })
const was = (id: string, output: number, attempt = 1) => restored({ stage: id, as: 'completed', attempt, output })
const signal: Restored = { type: 'SignalReceived', data: { id: '1', name: 'go', payload: 5 } }
const chain = workflow([
  stage('a'),
  stage('b', { needs: ['a'], with: { run: 'true', env: { N: '${{ stages.a.output }}' } } }),
  stage('c', { needs: ['b'] }),
])

describe('a run that goes on from another', () => {
  it('has what completed there, does not do it again, and uses its output', () => {
    const again = start(chain, { restored: [was('a', 7)], restoredFrom: { executionId: 'other', revision: 4 } })
    const [begins, ...rest] = history(again)
    expect(begins).toMatchObject({ data: { restoredFrom: { executionId: 'other', revision: 4 } } })
    expect(rest).toEqual([was('a', 7), scheduled('b', 1, { input: { run: 'true', env: { N: 7 } } })])
    expect(history(again, completed('b'), completed('c')).at(-1)).toEqual(runCompleted(3))
    givenRun(again).when(again).then([])
    givenRun(again).when(completed('a')).then([])
    givenRun(again).when(failed('a')).thenRejected('ATTEMPT_STALE')
  })

  it('takes a stage that was passed over as one that is', () => {
    const passed = restored({ stage: 'a', as: 'skipped', reason: 'person', detail: 'known' })
    const [, ...rest] = history(start(workflow([stage('a'), stage('b', { needs: ['a'] })]), { restored: [passed] }))
    expect(rest).toEqual([passed, scheduled('b')])
  })

  it('goes on from where a stage had saved how far it was', () => {
    const resumable = restored({ stage: 'a', as: 'resumable', checkpoint: { done: 3 } })
    expect(history(start(chain, { restored: [resumable] })).at(-1)).toEqual(scheduled('a', 1, { resume: { done: 3 } }))
  })

  it('ends at once where nothing is left to do', () => {
    const events = history(start(chain, { restored: [was('a', 1), was('b', 1), was('c', 1)] }))
    expect(events.at(-1)).toEqual(runCompleted(3))
  })

  it('has the groups that there were, and does what is left of them', () => {
    const stages = ['x', 'y'].map((os) => ({ id: `m.${os}`, values: { os } }))
    const group: Restored = { type: 'StagesGenerated', data: { parent: 'm', attempt: 0, output: null, stages } }
    const matrix = { axes: { os: ['x', 'y'] }, failFast: true, maxParallel: 1 }
    const definition = workflow([stage('m', { matrix })])
    const half = start(definition, { restored: [group, was('m.x', 1)] })
    expect(history(half).slice(1)).toEqual([group, was('m.x', 1), scheduled('m.y')])
    givenRun(half, started('m.y'))
      .when(completed('m.y'))
      .then([
        done('m.y'),
        {
          type: 'StageCompleted',
          data: {
            stage: 'm',
            attempt: 0,
            output: [
              { matrix: { os: 'x' }, output: 1 },
              { matrix: { os: 'y' }, output: null },
            ],
          },
        },
        runCompleted(3),
      ])
    const whole = history(start(definition, { restored: [group, was('m.x', 1), was('m.y', 2)] }))
    expect(whole.at(-1)).toEqual(runCompleted(3))
  })

  it('has the signals that nobody had taken', () => {
    const waits = workflow([stage('s', { uses: 'signal', with: { name: 'go' } })])
    const events = history(start(waits, { restored: [signal] }))
    expect(events.at(-2)).toEqual({ type: 'StageCompleted', data: { stage: 's', attempt: 1, output: 5 } })
    expect(history(start(chain, { restored: [signal] })).slice(1)).toEqual([signal, scheduled('a')])
  })

  it('undoes what was done before it, should it fail', () => {
    const { retry, timeoutMs } = stage('x')
    const compensate = { uses: 'shell', queue: 'default', with: { run: 'true' }, retry, timeoutMs }
    const definition = workflow([stage('a', { compensate }), stage('b', { needs: ['a'] })], { onFailure: 'compensate' })
    expect(history(start(definition, { restored: [was('a', 1)] }), failed('b')).at(-1)).toEqual(
      scheduled('a.compensate'),
    )
    const passed = restored({ stage: 'a', as: 'skipped', reason: 'condition', detail: 'false' })
    const events = history(start(definition, { restored: [passed] }), failed('b'))
    expect(events.map(({ type }) => type)).not.toContain('CompensationStarted')
    expect(history(start(definition, { restored: [was('a', 1, 0)] }), failed('b')).at(-1)?.type).toBe('ExecutionFailed')
  })
})
