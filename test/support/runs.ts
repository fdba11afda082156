// Streams of events as the engine would record them, for what reads the log.
import { randomInt, randomUUID } from 'node:crypto'
import type { ExecutionEvent, Recovery, Wait } from '../../src/domain/execution/events.ts'
import type { CompiledWorkflow } from '../../src/domain/workflow/definition.ts'
import type { WorkflowEvent } from '../../src/domain/workflow/events.ts'
import { windingWays } from './winding-runs.ts'

type RunEvents = { readonly stream: string; readonly id: string; readonly events: readonly ExecutionEvent[] }

function definition(stages: readonly string[]): CompiledWorkflow {
  const retry = { maxAttempts: 3, backoff: { type: 'exponential', initialMs: 100, maxMs: 1_000, jitter: 0.2 } } as const
  return {
    name: 'release',
    timeoutMs: 3_600_000,
    onFailure: 'fail-fast',
    stages: stages.map((id, at) => ({
      id,
      uses: 'shell',
      queue: 'default',
      needs: at === 0 ? [] : [stages[at - 1]!],
      trigger: 'all-success',
      with: { run: `make ${id}` },
      retry,
      timeoutMs: 600_000,
    })),
  }
}

const STAGES = ['build', 'test', 'scan', 'deploy', 'verify']

export const started = (
  id: string,
  overrides: Partial<Extract<ExecutionEvent, { type: 'ExecutionStarted' }>['data']> = {},
) =>
  ({
    type: 'ExecutionStarted',
    data: {
      executionId: id,
      namespace: 'default',
      workflow: 'release',
      version: 1,
      definition: definition(STAGES),
      input: { service: 'shop' },
      trigger: { kind: 'api', by: 'user:ada' },
      labels: { team: 'blue' },
      priority: 0,
      fingerprint: 'f'.repeat(64),
      timeoutAt: '2026-01-01T03:00:00.000Z',
      ...overrides,
    },
  }) satisfies ExecutionEvent

export const scheduled = (stage: string, attempt = 1, waitsFor?: Wait) =>
  ({
    type: 'StageScheduled',
    data: {
      stage,
      attempt,
      queue: 'default',
      handler: 'shell',
      input: { run: `make ${stage}` },
      timeoutMs: 600_000,
      priority: 0,
      ...(waitsFor === undefined ? {} : { waitsFor }),
    },
  }) satisfies ExecutionEvent

export const begun = (stage: string, attempt = 1) =>
  ({ type: 'StageStarted', data: { stage, attempt, worker: 'worker-1', timeoutMs: 600_000 } }) satisfies ExecutionEvent

export const completed = (stage: string, attempt = 1) =>
  ({
    type: 'StageCompleted',
    data: { stage, attempt, output: { log: `made "${stage}"`, exitCode: 0 } },
  }) satisfies ExecutionEvent

export const failed = (stage: string, attempt: number, recovery: Recovery) =>
  ({
    type: 'StageFailed',
    data: {
      stage,
      attempt,
      error: { code: 'EXIT', message: 'no\tluck\n' },
      class: 'unknown',
      rule: 'default',
      recovery,
    },
  }) satisfies ExecutionEvent

export const retried = (stage: string, attempt: number) =>
  ({
    type: 'StageRetried',
    data: { stage, attempt, dueAt: '2026-01-01T01:00:00.000Z', backoffMs: 100, reason: 'policy' },
  }) satisfies ExecutionEvent

/** A run of five stages, one after the other: 17 events. */
export function completedRun(id: string = randomUUID()): RunEvents {
  const stages = STAGES.flatMap((stage) => [scheduled(stage), begun(stage), completed(stage)])
  const end = { type: 'ExecutionCompleted', data: { stages: STAGES.length } } satisfies ExecutionEvent
  return { stream: `execution-${id}`, id, events: [started(id), ...stages, end] }
}

/** A run for each way that one can take: all well, retries, a failure with skips, a cancellation, and those that wind. */
export function everyRun(): RunEvents[] {
  const ways: readonly (() => readonly ExecutionEvent[])[] = [
    () => completedRun().events.slice(1),
    retrying,
    failing,
    cancelled,
    timed,
    ...windingWays,
  ]
  return ways.map((way) => {
    const id = randomUUID()
    const parent = { executionId: randomUUID(), stage: 'call', attempt: 1, depth: 1 }
    const origin = way.name === 'restored' ? { parent, restoredFrom: { executionId: randomUUID(), revision: 7 } } : {}
    const concurrency = { group: 'a group\0', limit: 1, onConflict: 'queue' } as const
    const waits = way.name === 'patient' ? { concurrency } : {}
    return { stream: `execution-${id}`, id, events: [started(id, { ...origin, ...waits }), ...way()] }
  })
}

export function anyRun(): RunEvents {
  const runs = everyRun()
  return runs[randomInt(runs.length)]!
}

const retrying = (): ExecutionEvent[] => [
  scheduled('build'),
  begun('build'),
  failed('build', 1, 'retry'),
  retried('build', 2),
  scheduled('build', 2),
  begun('build', 2),
  completed('build', 2),
  scheduled('test'),
]

const failing = (): ExecutionEvent[] => [
  scheduled('build'),
  begun('build'),
  failed('build', 1, 'fail-fast'),
  ...STAGES.slice(1).map((stage) => skipped(stage)),
  {
    type: 'ExecutionFailed',
    data: { error: { code: 'STAGE_FAILED', message: 'build failed', stages: ['build'] } },
  },
]

const cancelled = (): ExecutionEvent[] => [
  scheduled('build'),
  begun('build'),
  { type: 'ExecutionCancellationRequested', data: { reason: 'enough\0', outcome: 'cancelled' } },
  { type: 'StageCancelled', data: { stage: 'build', attempt: 1, reason: 'enough\0' } },
  ...STAGES.slice(1).map(
    (stage): ExecutionEvent => ({ type: 'StageCancelled', data: { stage, attempt: 0, reason: 'enough' } }),
  ),
  { type: 'ExecutionCancelled', data: { reason: 'enough' } },
]

const timed = (): ExecutionEvent[] => [
  scheduled('build', 1, { for: 'timer', until: '2026-01-01T02:00:00.000Z' }),
  completed('build'),
  scheduled('test'),
]

const skipped = (stage: string): ExecutionEvent => ({
  type: 'StageSkipped',
  data: { stage, reason: 'fail-fast', detail: 'build failed' },
})

export function registered(name: string, version = 1): WorkflowEvent {
  const data = {
    name,
    version,
    source: { name, version, zebra: 1, ant: 2 },
    definition: definition(STAGES),
    fingerprint: `f${version}`,
  }
  return { type: version === 1 ? 'WorkflowRegistered' : 'WorkflowRevised', data }
}
