import { describe, it } from 'vitest'
import { broke, done, dropped, runFailed, scheduled, skipped } from '../../support/execution-events.ts'
import {
  completed,
  failed,
  lost,
  retrying,
  stage,
  start,
  started,
  stopped,
  workflow,
} from '../../support/executions.ts'
import { givenRun } from '../../support/given.ts'

describe('fail-fast', () => {
  const wide = workflow([
    stage('a'),
    stage('b'),
    stage('c', { needs: ['a'] }),
    stage('tell', { needs: ['c', 'b'], trigger: 'all-done' }),
    stage('after', { needs: ['tell'] }),
  ])

  it('lets what runs come to its end, starts nothing but what waits for any end, then fails the run', () => {
    givenRun(start(wide), started('a'), started('b'))
      .when(failed('a'))
      .then([
        broke('a', 'fail-fast', 1, undefined, ['b']),
        skipped('c', 'fail-fast', 'a failed'),
        skipped('after', 'fail-fast', 'a failed'),
      ])
    const failing = [start(wide), started('a'), started('b'), failed('a')] as const
    givenRun(...failing)
      .when(stopped('b'))
      .then([dropped('b', 'a failed'), scheduled('tell')])
    givenRun(...failing)
      .when(completed('b'))
      .then([done('b'), scheduled('tell')])
    givenRun(...failing, stopped('b'), started('tell'))
      .when(completed('tell'))
      .then([done('tell'), runFailed('a')])
  })

  it('cancels at once what was scheduled and has not been started', () => {
    givenRun(start(wide), started('a'))
      .when(failed('a'))
      .then([
        broke('a', 'fail-fast'),
        dropped('b', 'a failed'),
        skipped('c', 'fail-fast', 'a failed'),
        skipped('after', 'fail-fast', 'a failed'),
        scheduled('tell'),
      ])
  })

  it('retries nothing any more', () => {
    const two = workflow([stage('a'), stage('b', retrying)])
    givenRun(start(two), started('a'), started('b'), failed('a'))
      .when(failed('b'))
      .then([broke('b', 'continue'), runFailed('a', 'b')])
    givenRun(start(two), started('a'), started('b'), failed('a'))
      .when(lost('b'))
      .then([dropped('b', 'gone'), runFailed('a')])
  })
})

describe('a run that is failing', () => {
  it('lets one clean-up go on when another fails', () => {
    const cleaning = { needs: ['a'], trigger: 'all-done' } as const
    const definition = workflow([stage('a'), stage('c1', cleaning), stage('c2', cleaning)])
    givenRun(start(definition), failed('a'), started('c1'), started('c2'))
      .when(failed('c1'))
      .then([broke('c1', 'continue')])
    givenRun(start(definition), failed('a'), started('c1'), started('c2'), failed('c1'))
      .when(completed('c2'))
      .then([done('c2'), runFailed('a', 'c1')])
  })
})

describe('onFailure: continue', () => {
  it('ends the branch and lets the others go on', () => {
    const definition = workflow(
      [
        stage('a'),
        stage('b'),
        stage('c', { needs: ['a'] }),
        stage('d', { needs: ['b'] }),
        stage('e', { needs: ['c'] }),
      ],
      { onFailure: 'continue' },
    )
    givenRun(start(definition), started('a'), started('b'))
      .when(failed('a'))
      .then([broke('a', 'continue'), skipped('c', 'trigger', 'a is failed'), skipped('e', 'trigger', 'c is skipped')])
    givenRun(start(definition), failed('a'), completed('b'), started('d'))
      .when(completed('d'))
      .then([done('d'), runFailed('a')])
  })
})
