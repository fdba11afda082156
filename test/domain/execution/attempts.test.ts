import { describe, expect, it } from 'vitest'
import { begun, done, runCompleted, scheduled } from '../../support/execution-events.ts'
import {
  cancel,
  chain,
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

describe('an attempt', () => {
  it('starts, completes, and lets the next stage go in the same breath', () => {
    givenRun(start(chain))
      .when(started('build'))
      .then([begun('build')])
    givenRun(start(chain), started('build'))
      .when(completed('build'))
      .then([done('build'), scheduled('test')])
    givenRun(start(chain), completed('build'), started('test'))
      .when(completed('test'))
      .then([done('test'), runCompleted(2)])
  })

  it('may be reported by its outcome alone', () => {
    givenRun(start(chain))
      .when(completed('build'))
      .then([begun('build'), done('build'), scheduled('test')])
  })

  it('gives its output to the stages after it', () => {
    const using = workflow([
      stage('build'),
      stage('ship', { needs: ['build'], with: { run: 'true', env: { TAG: '${{ stages.build.output.tag }}' } } }),
    ])
    const events = history(start(using), completed('build', 1, { tag: 'v7' }))
    expect(events.at(-1)).toEqual(scheduled('ship', 1, { input: { run: 'true', env: { TAG: 'v7' } } }))
  })

  it('repeats itself without news', () => {
    givenRun(start(chain), started('build')).when(started('build')).then([])
    givenRun(start(chain), completed('build')).when(completed('build')).then([])
    givenRun(start(workflow([stage('build')])), failed('build'))
      .when(failed('build'))
      .then([])
    givenRun(start(chain), started('build'), cancel, stopped('build')).when(stopped('build')).then([])
  })

  it('is refused when it is not the current one, or another worker has it', () => {
    givenRun(start(chain)).when(completed('build', 2)).thenRejected('ATTEMPT_STALE')
    givenRun(start(chain), completed('build')).when(failed('build')).thenRejected('ATTEMPT_STALE')
    givenRun(start(chain)).when(completed('test')).thenRejected('ATTEMPT_STALE')
    givenRun(start(chain)).when(completed('nope')).thenRejected('STAGE_UNKNOWN')
    const other = { ...completed('build'), worker: 'w2' } as ReturnType<typeof completed>
    givenRun(start(chain), started('build')).when(other).thenRejected('ATTEMPT_STALE')
    const late = givenRun(start(chain), completed('build'), completed('test')).when(failed('test', 2))
    expect(late.thenRejected('EXECUTION_ALREADY_ENDED').message).toContain('completed')
  })
})
