// What happens in runs that wait for somebody, pause, generate stages, are given up and reopened, or go on from another one.
import type { ExecutionEvent, ExecutionEventOf, SkipReason } from '../../src/domain/execution/events.ts'
import { stage as stageOf } from './executions.ts'
import { begun, completed, failed, scheduled } from './runs.ts'

const UNTIL = '2026-01-01T05:00:00.000Z'

const approval = (stage: string): ExecutionEvent[] => [
  scheduled(stage, 1, { for: 'approval', until: UNTIL }),
  {
    type: 'ApprovalRequested',
    data: { stage, attempt: 1, approvers: ['ops', 'ada\0'], required: 2, selfApproval: false, until: UNTIL },
  },
]
const granted = (stage: string, by: string): ExecutionEvent => ({
  type: 'ApprovalGranted',
  data: { stage, attempt: 1, by },
})
const checkpointed = (stage: string, attempt: number, sequence: number): ExecutionEvent => ({
  type: 'StageCheckpointed',
  data: { stage, attempt, sequence, state: { done: sequence } },
})
const skipped = (stage: string, reason: SkipReason): ExecutionEvent => ({
  type: 'StageSkipped',
  data: { stage, reason, detail: `${reason} it was` },
})
const retried = (
  stage: string,
  attempt: number,
  reason: ExecutionEventOf<'StageRetried'>['data']['reason'],
  reopens?: readonly string[],
): ExecutionEvent => ({
  type: 'StageRetried',
  data: { stage, attempt, dueAt: UNTIL, backoffMs: 0, reason, ...(reopens === undefined ? {} : { reopens }) },
})
const failedBefore = (stage: string, code: string, recovery: 'continue' | 'ask'): ExecutionEvent => ({
  type: 'StageFailed',
  data: { stage, attempt: 0, error: { code, message: 'no' }, class: 'configuration', rule: 'not-configured', recovery },
})

/** Two approve, with a pause between them; then a signal comes. */
const approved = (): ExecutionEvent[] => [
  ...approval('build'),
  granted('build', 'user:"bob"'),
  { type: 'ExecutionPaused', data: { reason: 'lunch', remainingMs: 1_000 } },
  granted('build', 'user:eve'),
  { ...completed('build'), data: { stage: 'build', attempt: 1, output: null } },
  { type: 'ExecutionResumed', data: { reason: 'back', timeoutAt: UNTIL } },
  scheduled('test', 1, { for: 'signal', name: 'go' }),
  { type: 'SignalReceived', data: { id: 's1', name: 'stay', payload: null } },
  { type: 'SignalReceived', data: { id: 's2', name: 'go', payload: { n: 1 } } },
  completed('test'),
  ...approval('scan'),
  granted('scan', 'user:bob'),
  { type: 'ApprovalRejected', data: { stage: 'scan', attempt: 1, by: 'user:eve', comment: 'never' } },
  failed('scan', 1, 'fail-fast'),
]

/** A person is asked, gives the stage up, thinks better of it, and what was skipped because of it may run after all. */
const givenUp = (): ExecutionEvent[] => [
  failedBefore('build', 'EXPRESSION_FAILED', 'ask'),
  retried('build', 1, 'manual'),
  scheduled('build', 1),
  begun('build', 1),
  checkpointed('build', 1, 1),
  checkpointed('build', 1, 2),
  failed('build', 1, 'ask'),
  retried('build', 2, 'manual'),
  scheduled('build', 2),
  begun('build', 2),
  failed('build', 2, 'ask'),
  { type: 'StageAbandoned', data: { stage: 'build', attempt: 2, reason: 'hopeless', recovery: 'continue' } },
  skipped('test', 'trigger'),
  skipped('scan', 'trigger'),
  retried('build', 3, 'manual', ['test', 'scan']),
  scheduled('build', 3),
  begun('build', 3),
  failed('build', 3, 'fallback'),
  retried('build', 4, 'fallback'),
  scheduled('build', 4),
  completed('build', 4),
  scheduled('test'),
  begun('test'),
  failed('test', 1, 'skip'),
  skipped('test', 'recovery'),
  scheduled('scan'),
  begun('scan'),
  failed('scan', 1, 'retry'),
  retried('scan', 2, 'policy'),
  skipped('scan', 'person'),
  scheduled('deploy'),
  begun('deploy'),
  failed('deploy', 1, 'retry'),
  retried('deploy', 2, 'lost'),
  { type: 'StageCancelled', data: { stage: 'deploy', attempt: 1, reason: 'enough' } },
]

/** A matrix of which one fails, and the run is undone. */
const undone = (): ExecutionEvent[] => [
  scheduled('build'),
  completed('build'),
  {
    type: 'StagesGenerated',
    data: {
      parent: 'test',
      attempt: 0,
      output: null,
      stages: ['unit', 'api'].map((suite) => ({ id: `test.${suite}`, values: { suite } })),
    },
  },
  scheduled('test.unit'),
  scheduled('test.api'),
  begun('test.unit'),
  completed('test.unit'),
  begun('test.api'),
  failed('test.api', 1, 'continue'),
  failedBefore('test', 'STAGES_FAILED', 'continue'),
  ...['scan', 'deploy', 'verify'].map((id) => skipped(id, 'trigger')),
  {
    type: 'CompensationStarted',
    data: {
      stages: [
        stageOf('test.unit.compensate', { compensates: 'test.unit', trigger: 'all-done' }),
        stageOf('build.compensate', { compensates: 'build', trigger: 'all-done', needs: ['test.unit.compensate'] }),
      ],
    },
  },
  scheduled('test.unit.compensate'),
  completed('test.unit.compensate'),
  scheduled('build.compensate'),
  completed('build.compensate'),
  { type: 'ExecutionFailed', data: { error: { code: 'STAGE_FAILED', message: 'failed: test', stages: ['test'] } } },
]

/** Goes on from another run; a stage generates others, one of them after the other. */
const restored = (): ExecutionEvent[] => [
  { type: 'StageRestored', data: { stage: 'build', as: 'completed', attempt: 3, output: [1, 2] } },
  { type: 'StageRestored', data: { stage: 'test', as: 'skipped', reason: 'condition', detail: 'not today' } },
  { type: 'StageRestored', data: { stage: 'scan', as: 'resumable', checkpoint: { done: 4 } } },
  scheduled('scan'),
  begun('scan'),
  {
    type: 'StagesGenerated',
    data: {
      parent: 'scan',
      attempt: 1,
      output: { found: 2 },
      stages: [stageOf('left', { parent: 'scan', needs: [] }), stageOf('right', { parent: 'scan', needs: ['left'] })],
    },
  },
  scheduled('left'),
  completed('left'),
  scheduled('right'),
  begun('right'),
  completed('right'),
  { type: 'StageCompleted', data: { stage: 'scan', attempt: 1, output: { found: 2 } } },
  skipped('deploy', 'person'),
  scheduled('verify'),
  completed('verify'),
  { type: 'ExecutionCompleted', data: { stages: 5, output: { image: 'shop\0' } } },
]

const deferred = (reason: 'asked' | 'capacity' | 'turn', attempt = 1): ExecutionEvent => ({
  type: 'StageDeferred',
  data: {
    ...{ stage: 'build', attempt, pool: 'production', workflow: 'release', priority: 0, reason },
    amounts: { slots: 1, cpuMillicores: 500, memoryBytes: 0, diskBytes: 0 },
    ...(reason === 'capacity' ? { short: ['slots'] } : {}),
    blockers: reason === 'asked' ? [] : [{ executionId: '0190b6a0-0000-7000-8000-00000000000a', stage: 'deploy' }],
  },
})

/** Waits for its group, then a stage of it for a pool, twice. */
const patient = (): ExecutionEvent[] => [
  { type: 'ExecutionDeferred', data: { group: 'a group\0', reason: 'limit', blockers: [{ executionId: 'x' }] } },
  { type: 'ExecutionAdmitted', data: { grant: { pool: 'a group\0', fence: 2 }, timeoutAt: UNTIL } },
  deferred('asked'),
  deferred('capacity'),
  deferred('turn'),
  scheduled('build', 1),
  begun('build', 1),
  failed('build', 1, 'retry'),
  retried('build', 2, 'policy'),
  deferred('asked', 2),
  scheduled('build', 2),
  completed('build', 2),
  ...['test', 'scan', 'deploy', 'verify'].map((id) => skipped(id, 'person')),
  { type: 'ExecutionCompleted', data: { stages: 1 } },
]

export const windingWays: readonly (() => readonly ExecutionEvent[])[] = [approved, givenUp, undone, restored, patient]
