import { describe, expect, it } from 'vitest'
import { runCompleted, scheduled, skipped } from '../../support/execution-events.ts'
import { completed, failed, history, stage, start, workflow } from '../../support/executions.ts'

describe('triggers', () => {
  const joining = (trigger: 'all-success' | 'all-done' | 'any-success' | 'any-failure') =>
    workflow([stage('a'), stage('b'), stage('z', { needs: ['a', 'b'], trigger })], { onFailure: 'continue' })
  const last = (...commands: Parameters<typeof history>) =>
    history(...commands).filter((e) => 'stage' in e.data && e.data.stage === 'z')

  it.each([
    ['all-success', [completed('a')], []],
    ['all-success', [completed('a'), completed('b')], [scheduled('z')]],
    ['all-success', [failed('a')], [skipped('z', 'trigger', 'a is failed')]],
    ['all-done', [failed('a')], []],
    ['all-done', [failed('a'), completed('b')], [scheduled('z')]],
    ['any-success', [completed('a')], [scheduled('z')]],
    ['any-success', [failed('a')], []],
    ['any-success', [failed('a'), failed('b')], [skipped('z', 'trigger', 'no need succeeded')]],
    ['any-failure', [completed('a')], []],
    ['any-failure', [completed('a'), failed('b')], [scheduled('z')]],
    ['any-failure', [completed('a'), completed('b')], [skipped('z', 'trigger', 'no need failed')]],
  ] as const)('%s, case %#', (trigger, commands, expected) => {
    expect(last(start(joining(trigger)), ...commands)).toEqual(expected)
  })

  it('start a stage once, however its needs end', () => {
    expect(last(start(joining('any-success')), completed('a'), completed('b'))).toEqual([scheduled('z')])
  })
})

describe('conditions', () => {
  const conditional = workflow([stage('a', { when: 'input.deploy == true' }), stage('b', { needs: ['a'] })])
  it('skip a stage, and those after it do not mind', () => {
    const events = history(start(conditional, { input: { deploy: false } }))
    expect(events.slice(1)).toEqual([skipped('a', 'condition', 'input.deploy == true'), scheduled('b')])
    expect(history(start(conditional, { input: { deploy: true } })).slice(1)).toEqual([scheduled('a')])
  })
  it('that have no answer fail the stage', () => {
    expect(history(start(conditional, { input: {} }))[1]).toMatchObject({
      type: 'StageFailed',
      data: { stage: 'a', attempt: 0 },
    })
  })
  it('that skip every stage complete the run', () => {
    const events = history(start(workflow([stage('a', { when: 'false' })])))
    expect(events.at(-1)).toEqual(runCompleted(0))
  })
})
