// The checker judges every chaos test, so each of its rules has a log that breaks it: a rule that stopped working is seen.
import { describe, expect, it } from 'vitest'
import { type Expectation, violations } from '../src/checker/violations.ts'
import type { ExecutionCommand } from '../src/domain/execution/commands.ts'
import type { ExecutionEvent } from '../src/domain/execution/events.ts'
import type { RecordedEvent } from '../src/domain/message.ts'
import { type Batches, decidedLog as decided, recordedLogOf as recorded } from './support/decided-log.ts'
import {
  broke,
  cancellationRequested,
  done,
  runCancelled,
  runCompleted,
  runFailed,
  scheduled,
  skipped,
  tried,
} from './support/execution-events.ts'
import { AT, cancel, completed, failed, later, lost, stage, started, stopped, workflow } from './support/executions.ts'

const retry = { maxAttempts: 2, backoff: { type: 'fixed', initialMs: 500, maxMs: 500, jitter: 0 } } as const
const chain = workflow([stage('build', { retry }), stage('test', { needs: ['build'] })])
const retried: ExecutionCommand = { type: 'RetryStage', by: 'timer', stage: 'build', attempt: 2, at: AT }
const wait = workflow([stage('pause', { uses: 'wait', with: { duration: '1s' } })])
const woken: ExecutionCommand = { type: 'WakeStage', stage: 'pause', attempt: 1, at: AT }

const wellRun = decided(chain, started('build'), completed('build'), completed('test'))
const triedAgain = decided(chain, started('build'), failed('build'), retried, completed('build', 2), completed('test'))
const cancelled = decided(chain, started('build'), cancel, stopped('build'))

const has = (batches: Batches, invariant: number, expectation: Expectation = {}): void =>
  blames(recorded(batches), invariant, expectation)

function blames(log: readonly RecordedEvent[], invariant: number, expectation: Expectation = {}): void {
  const found = violations(log, expectation)
  expect(found).toContainEqual(expect.stringMatching(new RegExp(`^\\S+ revision \\d+: invariant ${invariant}: `)))
}

const brokeBuild = (attempt: number, recovery: 'retry' | 'fail-fast', retryable = true): ExecutionEvent =>
  broke('build', recovery, attempt, { code: 'EXIT_NONZERO', message: 'exit 1', retryable })
const triedBuild = (attempt: number, dueAt = later(1_000), backoffMs = 0): ExecutionEvent =>
  tried('build', attempt, dueAt, backoffMs)

const [begun, ...afterBegin] = wellRun as [readonly ExecutionEvent[], ...Batches]
const both = workflow([stage('build'), stage('lint'), stage('test', { needs: ['build', 'lint'] })])

describe('nothing is found in what the engine decides', () => {
  const good: Record<string, Batches> = {
    'a chain': wellRun,
    'a retry': triedAgain,
    'a cancellation': cancelled,
    'a wait': decided(wait, woken),
    'a lost attempt': decided(chain, started('build'), lost('build'), completed('build', 2), completed('test')),
    'a failure': decided(chain, failed('build'), retried, failed('build', 2)),
    'a cancellation between two attempts': decided(chain, failed('build'), cancel),
    'an expression without an answer': decided(workflow([stage('build', { with: { run: '${{ input.none }}' } })])),
    'a timeout of the run': decided({ ...chain, timeoutMs: 500 }, { type: 'TimeOutExecution', at: AT }),
    triggers: decided(
      workflow(
        [
          stage('build'),
          stage('mend', { needs: ['build'], trigger: 'any-failure' }),
          stage('report', { needs: ['build', 'mend'], trigger: 'all-done' }),
          stage('praise', { needs: ['build'], trigger: 'any-success' }),
          stage('never', { needs: ['build'], when: 'false', trigger: 'all-done' }),
        ],
        { onFailure: 'continue' },
      ),
      failed('build'),
      completed('mend'),
      completed('report'),
    ),
  }
  for (const [name, batches] of Object.entries(good))
    it(name, () => {
      expect(violations(recorded(batches), { healed: true, cancelWithinMs: 5_000 })).toEqual([])
    })
})

describe('a log that breaks', () => {
  const log = recorded(wellRun)
  const changed = (at: number, change: object): RecordedEvent[] =>
    log.map((one, index) => (index === at ? ({ ...one, ...change } as RecordedEvent) : one))
  const commanded = (at: number, commandId: string): RecordedEvent[] =>
    changed(at, { metadata: { ...log[at]!.metadata, commandId } })

  it('1: a revision is missing', () => blames(log.toSpliced(2, 1), 1))
  it('1: a stream does not begin at 0', () => blames(log.slice(1), 1))
  it('2: two events at one position', () => blames(changed(3, { position: 2 }), 2))
  it('2: the log is not in order', () => blames([...log, ...recorded(wellRun, 'execution-other', 3)], 2))
  it('2: another event stands within a batch', () => {
    const [first, ...rest] = log
    const [other] = recorded(wellRun, 'execution-other', 1)
    blames([first!, other!, ...rest.map((one) => ({ ...one, position: one.position + 1 }))], 2)
  })
  it('not when positions leave room between events, as where they are bytes of a file', () => {
    expect(violations(log.map((one) => ({ ...one, position: 100 * one.position + 7 })))).toEqual([])
  })
  it('2: the end of a batch is missing', () => {
    has([begun.slice(0, 1)], 2)
    has([begun, afterBegin[0]!, [done('build')]], 2)
    has([begun, [brokeBuild(1, 'retry')]], 2)
    has(wellRun.with(-1, wellRun.at(-1)!.slice(0, -1)), 2)
  })
  it('3: an event id is there twice', () => blames(changed(3, { id: log[1]!.id }), 3))
  it('3: a command was accepted twice', () => blames(commanded(log.length - 1, log[0]!.metadata.commandId), 3))
  it('6: a run does not begin with its start', () => has([begun.slice(1)], 6))
  it('6: a run starts twice', () => has([begun, begun.slice(0, 1)], 6))
  it('7: something comes after the end', () => has([...wellRun, [scheduled('test')]], 7))
  it('8: a run has not ended', () => has(wellRun.slice(0, -1), 8, { healed: true }))
  it('9: a stage starts before its needs have ended', () => has([[...begun, scheduled('test')]], 9))
  it('9: a stage starts after only some of its needs', () => {
    const [first] = decided(both)
    has([first!, [done('build'), scheduled('test')]], 9)
  })
  it('9: a stage starts again after it has completed', () => has([begun, [done('build'), scheduled('build', 2)]], 9))
  it('9: a trigger does not hold', () => {
    for (const trigger of ['any-success', 'any-failure'] as const) {
      const definition = workflow([stage('build'), stage('test', { needs: ['build'], trigger })])
      const [first] = decided(definition)
      const end = trigger === 'any-failure' ? done('build') : brokeBuild(1, 'fail-fast')
      has([first!, [end, scheduled('test')]], 9)
    }
  })
  it('10: a stage starts after cancellation was requested', () => {
    const requested = cancellationRequested('cancelled', 'no')
    has([begun, [requested, done('build'), scheduled('test')]], 10)
  })
  it('11: two attempts overlap', () => has([begun, [scheduled('build', 2)]], 11))
  it('12: attempts do not count up, by their announcements or by themselves', () => {
    has([begun, [brokeBuild(1, 'retry'), triedBuild(2), scheduled('build', 1)]], 12)
    has([begun, [brokeBuild(1, 'retry'), triedBuild(3), scheduled('build', 2)]], 12)
  })
  it('12: more attempts than there may be', () => {
    const again = (attempt: number) => [
      brokeBuild(attempt - 1, 'retry'),
      triedBuild(attempt),
      scheduled('build', attempt),
    ]
    has([begun, again(2), again(3)], 12)
  })
  it('13: an outcome of another attempt than the current one', () => has([begun, [done('build', 2)]], 13))
  it('13: a second outcome of one attempt', () => {
    has([begun, [done('build'), scheduled('test'), brokeBuild(1, 'fail-fast')]], 13)
    has([begun, [brokeBuild(1, 'retry'), triedBuild(2, later(60_000))], [done('build')]], 13)
  })
  it('13: an attempt starts twice', () => {
    const starts = afterBegin[0]!
    has([begun, starts, [...starts]], 13)
  })
  it('14: an outcome without a schedule', () => has([begun, [done('test')]], 14))
  it('14: a stage is skipped while it runs', () => has([begun, [skipped('build', 'fail-fast', '')]], 14))
  it('14: a retry is announced of what has not failed', () => has([begun, [triedBuild(2)]], 14))
  it('14: a stage that the definition does not have', () => has([begun, [done('nothing')]], 14))
  it('16: a retry before it is due', () =>
    has([begun, [brokeBuild(1, 'retry'), triedBuild(2, later(60_000)), scheduled('build', 2)]], 16))
  it('16: a retry that was not announced', () => has([begun, [brokeBuild(1, 'retry'), scheduled('build', 2)]], 16))
  it('16: a retry of what is not retryable', () => has([begun, [brokeBuild(1, 'retry', false), triedBuild(2)]], 16))
  it('16: a backoff that is shorter than it says', () =>
    has([begun, [brokeBuild(1, 'retry'), triedBuild(2, later(1_000), 999_000)]], 16))
  it('19: a wait ends too early', () => {
    const batches = decided(wait, woken)
    blames(
      recorded(batches).map((one) => ({ ...one, at: AT })),
      19,
    )
  })
  it('21: a cancelled run completes', () => has([...cancelled.slice(0, -1), [done('build'), runCompleted(1)]], 21))
  it('21: cancellation is requested twice', () => has([...cancelled.slice(0, -1), cancelled.at(-2)!], 21))
  it('21: a cancellation takes too long', () => has(cancelled, 21, { cancelWithinMs: 500 }))
  it('22: a run completes with a stage still open', () => has([begun, [done('build'), runCompleted(1)]], 22))
  it('22: a run completes although a stage failed', () => {
    const [first] = decided(workflow([stage('build')]))
    has([first!, [brokeBuild(1, 'fail-fast'), runCompleted(0)]], 22)
  })
  it('22: a run counts stages that did not complete', () => {
    const [first] = decided(workflow([stage('build')]))
    has([first!, [done('build'), runCompleted(2)]], 22)
  })
  it('22: a failure has no cause, or a wrong one', () => {
    const [first] = decided(workflow([stage('build')]))
    has([first!, [done('build'), runFailed()]], 22)
    has([first!, [done('build'), runFailed('build')]], 22)
  })
  it('22: nobody asked for a cancellation', () => {
    const [first] = decided(workflow([stage('build')]))
    has([first!, [done('build'), runCancelled('')]], 22)
  })
  it('37: a cause is not in the log', () =>
    blames(changed(2, { metadata: { ...log[2]!.metadata, causationId: 'nowhere' } }), 37))
  it('37: a cause comes after its effect', () =>
    blames(changed(2, { metadata: { ...log[2]!.metadata, causationId: log[3]!.id } }), 37))
})
