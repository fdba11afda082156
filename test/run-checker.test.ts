// Canaries for the features of a run, as `checker.test.ts` has them for its bare bones: right logs of each are silent, and
// each way to get them wrong is accused.
import { describe, expect, it } from 'vitest'
import { violations } from '../src/checker/violations.ts'
import type { ExecutionCommand } from '../src/domain/execution/commands.ts'
import type { ExecutionEvent } from '../src/domain/execution/events.ts'
import type { CompiledStep } from '../src/domain/workflow/definition.ts'
import { type Batches, decidedLog, decidedOn, recordedLogOf } from './support/decided-log.ts'
import {
  broke,
  cancellationRequested,
  done,
  dropped,
  runCompleted,
  scheduled,
  skipped,
  tried,
} from './support/execution-events.ts'
import { AT, cancel, completed, failed, later, stage, start, started, stopped, workflow } from './support/executions.ts'

const at = AT
const retry = { maxAttempts: 2, backoff: { type: 'fixed', initialMs: 500, maxMs: 500, jitter: 0 } } as const
const step: CompiledStep = { uses: 'shell', queue: 'default', with: { run: 'false' }, retry, timeoutMs: 60_000 }
const pause: ExecutionCommand = { type: 'PauseExecution', reason: 'lunch', at }
const resume: ExecutionCommand = { type: 'ResumeExecution', reason: 'back', at }
const timeOut: ExecutionCommand = { type: 'TimeOutExecution', at }
const wake = (id: string): ExecutionCommand => ({ type: 'WakeStage', stage: id, attempt: 1, at })
const again = (id: string): ExecutionCommand => ({ type: 'RetryStage', by: 'person', stage: id, at })
const due = (id: string, attempt: number): ExecutionCommand => ({
  type: 'RetryStage',
  by: 'timer',
  stage: id,
  attempt,
  at,
})
const approve = (by: string, type: 'ApproveStage' | 'RejectStage' = 'ApproveStage'): ExecutionCommand => ({
  ...{ type, stage: 'ok', by, groups: [], at },
})
const signal = (id: string): ExecutionCommand => ({ type: 'ReceiveSignal', id, name: 'go', payload: { id }, at })
const saved = (sequence: number, attempt = 1): ExecutionCommand => ({
  ...{ type: 'CheckpointStage', stage: 'a', attempt, worker: 'w1', sequence, state: { sequence }, at },
})
const fails = (id: string, code: string, attempt = 1) => failed(id, attempt, { code, message: 'x' })

const pair = workflow([stage('a', { retry }), stage('b', { needs: ['a'] })])
const paused = decidedLog(pair, pause, completed('a'), resume, completed('b'))
const approval = workflow([
  stage('ok', { uses: 'approval', with: { required: 2, selfApproval: false, timeout: '2s' } }),
])
const approved = decidedLog(approval, approve('user:bob'), approve('user:eve'))
const unanswered = decidedLog(approval, approve('user:bob'), cancel, wake('ok'))
const signals = workflow([stage('s', { uses: 'signal', with: { name: 'go' } }), stage('a')])
const signalled = decidedLog(signals, completed('a'), signal('1'))
const early = workflow([stage('a'), stage('s', { uses: 'signal', needs: ['a'], with: { name: 'go' } })])
const cells = { axes: { os: ['x', 'y'] }, failFast: true } as const
const matrix = workflow([stage('m', { matrix: cells }), stage('z', { needs: ['m'] })])
const expanded = decidedLog(matrix, completed('m.x'), completed('m.y'), completed('z'))
const narrow = decidedLog(
  workflow([stage('m', { matrix: { ...cells, maxParallel: 1 } })]),
  ...[completed('m.x'), completed('m.y')],
)
const goesOn = (stages = [stage('g1'), stage('g2', { needs: ['g1'] })]): ExecutionCommand =>
  ({ ...completed('a'), stages }) as ExecutionCommand
const generated = decidedLog(pair, goesOn(), completed('g1'), completed('g2'), completed('b'))
const undoable = workflow(
  [
    stage('a', { compensate: step }),
    stage('b', { needs: ['a'], compensate: step }),
    stage('c', { needs: ['b'] }),
    stage('d', { needs: ['c'] }),
  ],
  { onFailure: 'compensate', timeoutMs: 2_500 },
)
const undone = decidedLog(
  ...[undoable, completed('a'), completed('b'), failed('c'), failed('b.compensate')],
  ...[due('b.compensate', 2), completed('b.compensate', 2), completed('a.compensate')],
)
const late = decidedLog(undoable, completed('a'), started('b'), timeOut, stopped('b'), completed('a.compensate'))
const rules = (['ask', 'skip'] as const).map((action) => ({
  ...{ name: action, match: { codes: [action.toUpperCase()] }, recover: { action } },
}))
const asking = workflow([stage('a'), stage('b', { needs: ['a'] })], { failures: rules, onFailure: 'continue' })
const fallback = workflow([stage('a', { fallback: step })])
const fellBack = decidedLog(fallback, failed('a'), completed('a', 2))
const abandon: ExecutionCommand = { type: 'AbandonStage', stage: 'a', reason: 'no', at }
const open = workflow([stage('a'), stage('b', { needs: ['a'] }), stage('x')], { onFailure: 'continue' })
const reopened = decidedLog(open, failed('a'), again('a'), completed('a', 2), completed('b'), completed('x'))
const restoredA: ExecutionEvent = {
  type: 'StageRestored',
  data: { stage: 'a', as: 'completed', attempt: 1, output: null },
}
const restored = decidedOn(start(pair, { restored: [restoredA as never] }), completed('b'))
const checkpoints = decidedLog(pair, saved(1), saved(2), completed('a'), completed('b'))

describe('nothing is found in what the engine decides', () => {
  const good: Record<string, Batches> = {
    ...{ paused, approved, unanswered, signalled, expanded, narrow, generated, undone, late, fellBack, reopened },
    ...{ restored, checkpoints },
    'an early signal': decidedLog(early, signal('1'), signal('2'), completed('a')),
    'a rejection': decidedLog(approval, approve('user:bob', 'RejectStage')),
    'patience that ends': decidedLog(approval, pause, wake('ok'), wake('ok')),
    'a pause before the run is undone': decidedLog(
      ...[undoable, completed('a'), started('b'), pause, failed('b'), resume, completed('a.compensate')],
    ),
    'a cancellation of what is undone': decidedLog(undoable, completed('a'), failed('b'), cancel),
    'an abandoned stage': decidedLog(asking, fails('a', 'ASK'), abandon),
    'a stage that is asked for and tried again': decidedLog(
      ...[asking, fails('a', 'ASK'), again('a'), completed('a', 2), completed('b')],
    ),
    'a stage passed over': decidedLog(asking, fails('a', 'SKIP'), completed('b')),
    'a group that is passed over': decidedLog(
      workflow([stage('a', { continueOnError: true }), stage('b', { needs: ['a'] })]),
      ...[goesOn(), failed('g1'), completed('b')],
    ),
    'an output without an answer': decidedLog(
      workflow([stage('a')], { outputs: { x: '${{ stages.a.output.none }}' } }),
      completed('a'),
    ),
  }
  for (const [name, batches] of Object.entries(good))
    it(name, () => {
      expect(violations(recordedLogOf(batches), { healed: true })).toEqual([])
    })
})

const event = <T extends ExecutionEvent['type']>(type: T, data: object): ExecutionEvent => ({ type, data }) as never
/** The log up to a batch, with other events in the place of that batch. */
const upTo = (batches: Batches, batch: number, ...events: ExecutionEvent[]): Batches => [
  ...batches.slice(0, batch),
  events,
]
const plus = (batches: Batches, batch: number, ...events: ExecutionEvent[]): Batches => [
  ...batches.slice(0, batch + 1),
  events,
]
/** The log without the events of a type. */
const without = (batches: Batches, type: string): Batches =>
  batches.map((events) => events.filter((one) => one.type !== type))
/** The log in which the events of a type say something else. */
const saying = (batches: Batches, type: string, change: object): Batches =>
  batches.map((events) =>
    events.map((one) => (one.type === type ? ({ ...one, data: { ...one.data, ...change } } as never) : one)),
  )
const runFails = (code: string, ...stages: string[]) =>
  event('ExecutionFailed', { error: { code, message: '', stages } })
const undo = (...ids: string[]) =>
  event('CompensationStarted', {
    stages: ids.map((id) => ({ ...stage(`${id}.compensate`), needs: [], compensates: id })),
  })
const granted = (by: string) => event('ApprovalGranted', { stage: 'ok', attempt: 1, by })
const [asks] = decidedLog(approval) as [Batches[0]]
const grown = decidedLog(pair, goesOn())
const wrecked = decidedLog(undoable, completed('a'), completed('b'), started('c'))
const broken = broke('c', 'compensate')

describe('a log that breaks', () => {
  const wrong: readonly (readonly [invariant: number, what: string, log: Batches, said?: string])[] = [
    [22, 'an end before that of its stages', plus(paused, 0, runCompleted(0)), 'ends before its stage'],
    [
      24,
      'what undoes a run under a name that is taken',
      [
        ...wrecked,
        [
          broken,
          skipped('d', 'fail-fast', ''),
          event('CompensationStarted', { stages: [{ ...stage('d'), compensates: 'b' }] }),
        ],
      ],
      'has a stage d already',
    ],
    [2, 'a failure that nothing follows from', upTo(fellBack, 1, broke('a', 'fallback'))],
    [2, 'a group that ended without its stage', [...expanded.slice(0, 2), [done('m.y')]]],
    [2, 'a signal that a stage waits for', upTo(signalled, 2, signalled[2]![0]!)],
    [2, 'an approval that is complete', upTo(approved, 2, approved[2]![0]!)],
    [
      2,
      'an attempt that cancellation left',
      plus(paused, 0, cancellationRequested('cancelled', '')),
      'with an attempt that nobody',
    ],
    [
      2,
      'a stage that cancellation left',
      plus(paused, 0, cancellationRequested('cancelled', ''), dropped('a', '')),
      'nobody will start',
    ],
    [
      2,
      'a stage whose group has ended',
      [[...expanded[0]!.slice(0, 2), event('StageCompleted', { stage: 'm', attempt: 0, output: null })]],
      'with a stage whose group',
    ],
    [2, 'a stage that can never start', upTo(reopened, 1, broke('a', 'continue')), 'can never start'],
    [2, 'a stage that ought to end with the run', upTo(reopened, 1, broke('x', 'fail-fast')), 'ought to end'],
    [2, 'room that nobody takes', upTo(narrow, 1, done('m.x'))],
    [3, 'a signal that is there twice', plus(signalled, 1, ...signalled[2]!.slice(0, 1), ...signalled[2]!.slice(0, 1))],
    [9, 'a skip although the trigger can hold', plus(paused, 0, skipped('b', 'trigger', ''))],
    [9, 'a generated stage after its group', upTo(generated, 2, done('g1'), done('a'), scheduled('g2'))],
    [10, 'a pause in a pause', plus(paused, 1, event('ExecutionPaused', paused[1]![0]!.data))],
    [10, 'an end of no pause', plus(paused, 0, event('ExecutionResumed', { reason: '', timeoutAt: later(0) }))],
    [10, 'an attempt in a pause', upTo(paused, 2, done('a'), scheduled('b'))],
    [
      10,
      'a group in a pause',
      [[expanded[0]![0]!], [event('ExecutionPaused', { reason: '', remainingMs: 0 }), ...expanded[0]!.slice(1)]],
    ],
    [
      10,
      'a retry of a run that is ending',
      [paused[0]!, [cancellationRequested('cancelled', ''), broke('a', 'retry'), tried('a', 2, later(1_500), 500)]],
    ],
    [
      10,
      'a second attempt of a run that is failing',
      plus(
        undone,
        3,
        event('StageRetried', { stage: 'c', attempt: 2, dueAt: later(4_000), backoffMs: 0, reason: 'manual' }),
        scheduled('c', 2),
      ),
      'c begins again',
    ],
    [11, 'a group of what runs', plus(expanded, 0, expanded[0]![1]!)],
    [12, 'a second fallback', upTo(fellBack, 2, broke('a', 'fallback', 2))],
    [
      12,
      'a generated stage that is there already',
      saying(grown, 'StagesGenerated', { stages: [stage('b', { parent: 'a' })] }),
    ],
    [13, 'a checkpoint of another attempt', saying(checkpoints, 'StageCheckpointed', { attempt: 2 })],
    [13, 'a checkpoint that is there twice', saying(checkpoints, 'StageCheckpointed', { sequence: 1 })],
    [
      13,
      'a stage given up that asked nobody',
      plus(paused, 0, event('StageAbandoned', { stage: 'a', attempt: 1, reason: '', recovery: 'continue' })),
    ],
    [13, 'an outcome of another attempt than generated', upTo(generated, 3, done('g2'), done('a', 2))],
    [14, 'a group that ends before its stages', upTo(generated, 2, done('g1'), done('a'))],
    [14, 'an output that no signal brought', saying(signalled, 'StageCompleted', { output: 'other' })],
    [14, 'a retry of what did not fail', plus(paused, 0, tried('a', 2, later(1_000), 0))],
    [14, 'a manual retry of what did not fail', plus(paused, 0, tried('a', 2, later(1_000), 0, 'manual'))],
    [14, 'a stage reopened that was not skipped', saying(reopened, 'StageRetried', { reopens: ['x'] })],
    [14, 'a recovery by skipping of what did not fail', plus(paused, 0, skipped('a', 'recovery', ''))],
    [
      14,
      'stages generated by none',
      saying(expanded, 'StagesGenerated', { parent: 'none' }),
      'StagesGenerated names no stage',
    ],
    [14, 'stages generated by another attempt', saying(generated, 'StagesGenerated', { attempt: 2 })],
    [14, 'a generated stage that says another', saying(grown, 'StagesGenerated', { stages: [stage('g1')] })],
    [17, 'more at once than may', [[...narrow[0]!, scheduled('m.y')]]],
    [19, 'a pause that takes time', saying(paused, 'ExecutionPaused', { remainingMs: 1 }), 'ms are left'],
    [19, 'a pause that gives time', saying(paused, 'ExecutionResumed', { timeoutAt: later(9e6) })],
    [
      19,
      'a timeout too early',
      upTo(late, 3, cancellationRequested('failed', '')).with(
        0,
        late[0]!.map((one) => ({ ...one, data: { ...one.data, timeoutAt: later(1e6) } }) as never),
      ),
    ],
    [
      19,
      'patience that ends early',
      upTo(approved, 1, broke('ok', 'fail-fast', 1, { code: 'TIMED_OUT', message: '' })),
    ],
    [
      22,
      'a cause that is none',
      upTo(undone, 3, broke('c', 'continue'), runFails('WHATEVER', 'c')),
      'WHATEVER is no cause',
    ],
    [
      22,
      'a timeout that was none',
      upTo(undone, 3, broke('c', 'continue'), runFails('EXECUTION_TIMED_OUT')),
      'did not time out',
    ],
    [
      22,
      'a timeout that blames what completed',
      saying(late, 'ExecutionFailed', { error: { code: 'EXECUTION_TIMED_OUT', message: '', stages: ['a'] } }),
    ],
    [
      22,
      'an output of a run that was to end',
      saying(late, 'ExecutionFailed', { error: { code: 'OUTPUT_FAILED', message: '', stages: [] } }),
    ],
    [
      22,
      'a cause that another stage answers for',
      [
        ...grown,
        [
          broke('g1', 'continue'),
          skipped('g2', 'trigger', ''),
          broke('a', 'continue'),
          skipped('b', 'trigger', ''),
          runFails('STAGE_FAILED', 'g1'),
        ],
      ],
    ],
    [
      22,
      'a group that completes in spite of its stages',
      [
        ...expanded.slice(0, 2),
        [broke('m.y', 'fail-fast'), event('StageCompleted', { stage: 'm', attempt: 0, output: null })],
      ],
    ],
    [23, 'an approval before all have granted it', upTo(approved, 1, granted('user:bob'), done('ok'))],
    [23, 'a grant that is there twice', [asks, [granted('user:bob'), granted('user:bob')]]],
    [23, 'a grant of who started the run', [asks, [granted('user:ada')]]],
    [23, 'a grant that nobody asked for', [without([asks], 'ApprovalRequested')[0]!, [granted('user:bob')]]],
    [
      23,
      'a grant of what does not wait',
      plus(approved, 0, event('ApprovalGranted', { stage: 'ok', attempt: 2, by: 'user:bob' })),
    ],
    [24, 'a run undone twice', plus(undone, 3, undo()), 'undone a second time'],
    [
      24,
      'a run undone that did not fail',
      [...wrecked.slice(0, 3), [broke('c', 'fail-fast'), undo('b', 'a')]],
      'nothing says',
    ],
    [
      24,
      'a run undone that was cancelled',
      [...wrecked, [cancellationRequested('cancelled', ''), dropped('d', '', 0), done('c'), undo('b', 'a')]],
      'was cancelled, not failed',
    ],
    [24, 'a run undone before its stages have ended', [...wrecked, [broken, undo('b', 'a')]]],
    [
      24,
      'a run undone in the order of its doing',
      [...wrecked, [broken, skipped('d', 'fail-fast', ''), undo('a', 'b')]],
    ],
    [24, 'a run undone in part', [...wrecked, [broken, skipped('d', 'fail-fast', ''), undo('b')]]],
    [
      24,
      'what was undone at once',
      [
        ...wrecked,
        [broken, skipped('d', 'fail-fast', ''), undo('b', 'a'), scheduled('b.compensate'), scheduled('a.compensate')],
      ],
    ],
    [
      24,
      'a run that is not undone',
      [...wrecked, [broken, skipped('d', 'fail-fast', ''), runFails('STAGE_FAILED', 'c')]],
    ],
    [24, 'a run undone and completed', [...undone.slice(0, -1), [...undone.at(-1)!.slice(0, -1), runCompleted(5)]]],
    [24, 'a timeout that cuts off what undoes a run', plus(undone, 3, cancellationRequested('failed', ''))],
    [33, 'what had completed runs again', [[...restored[0]!, scheduled('a', 2)]]],
    [33, 'what runs is restored', plus(paused, 0, restoredA)],
  ]
  for (const [invariant, what, log, said = ''] of wrong)
    it(`${invariant}: ${what}`, () => {
      const line = expect.stringMatching(new RegExp(`^\\S+ revision \\d+: invariant ${invariant}: .*${said}`))
      expect(violations(recordedLogOf(log))).toContainEqual(line)
    })
})
