import { describe, expect, it } from 'vitest'
import type { ExecutionCommand } from '../../../src/domain/execution/commands.ts'
import type { ExecutionEvent } from '../../../src/domain/execution/events.ts'
import type { Json } from '../../../src/domain/message.ts'
import type { CompiledStage } from '../../../src/domain/workflow/definition.ts'
import {
  begun,
  broke,
  done,
  dropped,
  runCompleted,
  runFailed,
  scheduled,
  skipped,
} from '../../support/execution-events.ts'
import {
  cancel,
  completed,
  failed,
  history,
  stage,
  start,
  started,
  stopped,
  workflow,
} from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

const pair = workflow([stage('a'), stage('b', { needs: ['a'] })])
const goesOn = (stages: readonly CompiledStage[], output: Json = null, id = 'a'): ExecutionCommand =>
  ({ ...completed(id), stages, output }) as ExecutionCommand
const generated = (parent: string, output: Json, ...stages: CompiledStage[]): ExecutionEvent => ({
  type: 'StagesGenerated',
  data: { parent, attempt: 1, output, stages: stages.map((one) => ({ ...one, parent })) },
})
const chain = [stage('g1'), stage('g2', { needs: ['g1'] })]
const failure = { code: 'STAGES_FAILED', message: 'failed: g1', retryable: false }

describe('stages that a stage generates', () => {
  it('begin in its place, name it, and wait for each other', () => {
    givenRun(start(pair), started('a'))
      .when(goesOn(chain, 7))
      .then([generated('a', 7, ...chain), scheduled('g1')])
    givenRun(start(pair), goesOn(chain), started('g1'))
      .when(completed('g1'))
      .then([done('g1'), scheduled('g2')])
  })

  it('complete it with the answer it gave, and only then does what needs it begin', () => {
    const answer: ExecutionEvent = { type: 'StageCompleted', data: { stage: 'a', attempt: 1, output: 7 } }
    givenRun(start(pair), goesOn(chain, 7), completed('g1'), started('g2'))
      .when(completed('g2'))
      .then([done('g2'), answer, scheduled('b')])
  })

  it('are no news when they are reported again', () => {
    givenRun(start(pair), goesOn(chain)).when(goesOn(chain)).then([])
    givenRun(start(pair), goesOn(chain), completed('g1'), completed('g2')).when(goesOn(chain)).then([])
    givenRun(start(pair), goesOn(chain)).when(completed('a', 2)).thenRejected('ATTEMPT_STALE')
  })

  it('may be a matrix, or generate more', () => {
    const cells = stage('g', { matrix: { axes: { os: ['x', 'y'] }, failFast: true } })
    const events = history(
      start(pair),
      goesOn([cells]),
      completed('g.x'),
      goesOn([stage('h')], null, 'g.y'),
      completed('h'),
    )
    const ends = events.filter(({ type }) => type === 'StageCompleted').map(({ data }) => 'stage' in data && data.stage)
    expect(ends).toEqual(['g.x', 'h', 'g.y', 'g', 'a'])
  })

  it('that can never begin are skipped', () => {
    const never = stage('g', { trigger: 'any-failure' })
    givenRun(start(pair), started('a'))
      .when(goesOn([never]))
      .then([
        generated('a', null, never),
        skipped('g', 'trigger', 'any-failure over no needs'),
        done('a'),
        scheduled('b'),
      ])
  })

  it('that are no graph of new stages fail the stage for good', () => {
    const many = Array.from({ length: 999 }, (_, index) => stage(`g${index}`))
    const wrong = [
      [stage('b')],
      [stage('g'), stage('g')],
      [stage('g', { needs: ['g'] })],
      [stage('g', { needs: ['nowhere'] })],
      [stage('g', { needs: ['b'] })],
      [stage('g', { needs: ['h'] }), stage('h', { needs: ['g'] })],
      many,
    ]
    for (const stages of wrong) {
      const events = history(start(pair), started('a'), goesOn(stages)).slice(3)
      expect(events).toMatchObject([
        { type: 'StageFailed', data: { stage: 'a', attempt: 1, error: { code: 'GENERATED_INVALID' } } },
        skipped('b', 'fail-fast', 'a failed'),
        runFailed('a'),
      ])
    }
    const most = history(start(pair), goesOn(many.slice(1))).map(({ type }) => type)
    expect(most.filter((type) => type === 'StagesGenerated' || type === 'StageFailed')).toEqual(['StagesGenerated'])
  })

  it('end with the first of them that fails, and the stage fails by its own policy', () => {
    const soft = workflow([stage('a', { continueOnError: true }), stage('b', { needs: ['a'] })])
    const three = [stage('g1'), stage('g2'), stage('g3', { needs: ['g1'] })]
    const past = [goesOn(three), started('g1'), started('g2')]
    givenRun(start(pair), ...past)
      .when(failed('g1'))
      .then([broke('g1', 'fail-fast', 1, undefined, ['g2']), skipped('g3', 'fail-fast', 'g1 failed')])
    givenRun(start(soft), ...past, failed('g1'))
      .when(stopped('g2'))
      .then([
        ...[dropped('g2', 'g1 failed'), broke('a', 'skip', 1, failure)],
        ...[skipped('a', 'recovery', 'STAGES_FAILED: failed: g1'), scheduled('b')],
      ])
    givenRun(start(soft), ...past, failed('g1'), stopped('g2'), started('b'))
      .when(completed('b'))
      .then([done('b'), runCompleted(1)])
  })

  it('do not begin where the run is ending', () => {
    givenRun(start(pair), started('a'), cancel)
      .when(goesOn(chain))
      .then([dropped('a', 'wrong branch'), { type: 'ExecutionCancelled', data: { reason: 'wrong branch' } }])
  })

  it('that generate others stop with what stops them', () => {
    const nested = [stage('g1'), stage('g2')]
    const events = history(
      start(pair),
      goesOn(nested),
      goesOn([stage('h')], null, 'g2'),
      started('h'),
      started('g1'),
      failed('g1'),
      stopped('h'),
    )
    expect(events.slice(-6)).toEqual([
      broke('g1', 'fail-fast', 1, undefined, ['h']),
      ...[dropped('h', 'g1 failed'), dropped('g2', 'another stage failed'), broke('a', 'fail-fast', 1, failure)],
      ...[skipped('b', 'fail-fast', 'a failed'), runFailed('a')],
    ])
    expect(events).toContainEqual(begun('h'))
  })
})
