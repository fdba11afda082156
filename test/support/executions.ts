import type { ExecutionCommand, StartExecution } from '../../src/domain/execution/commands.ts'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import type { ExecutionEvent } from '../../src/domain/execution/events.ts'
import type { CompiledStage, CompiledWorkflow } from '../../src/domain/workflow/definition.ts'

export const AT = '2026-01-02T03:04:05.000Z'
export const later = (ms: number): string => new Date(Date.parse(AT) + ms).toISOString()

/** A stage with every default, but for what the test is about. */
export const stage = (id: string, overrides: Partial<CompiledStage> = {}): CompiledStage => ({
  id,
  uses: 'shell',
  queue: 'default',
  needs: [],
  trigger: 'all-success',
  with: { run: 'true' },
  retry: { maxAttempts: 1, backoff: { type: 'fixed', initialMs: 1_000, maxMs: 60_000, jitter: 0 } },
  timeoutMs: 60_000,
  ...overrides,
})

export const workflow = (
  stages: readonly CompiledStage[],
  overrides: Partial<CompiledWorkflow> = {},
): CompiledWorkflow => ({
  name: 'release',
  timeoutMs: 3_600_000,
  onFailure: 'fail-fast',
  stages,
  ...overrides,
})

export const chain = workflow([stage('build'), stage('test', { needs: ['build'] })])
export const retrying = {
  retry: { maxAttempts: 3, backoff: { type: 'exponential', initialMs: 2_000, maxMs: 60_000, jitter: 0 } },
} as const

export const start = (definition: CompiledWorkflow, overrides: Partial<StartExecution> = {}): StartExecution => ({
  type: 'StartExecution',
  at: AT,
  executionId: '0190b6a0-0000-7000-8000-000000000001',
  namespace: 'default',
  workflow: definition.name,
  version: 1,
  definition,
  input: {},
  trigger: { kind: 'api', by: 'user:ada' },
  labels: {},
  priority: 0,
  fingerprint: 'f',
  ...overrides,
})

/** The events that a sequence of commands leads to, each decided on what came before. */
export function history(...commands: ExecutionCommand[]): ExecutionEvent[] {
  const events: ExecutionEvent[] = []
  let state = executionDecider.initialState
  for (const command of commands) {
    for (const event of executionDecider.decide(command, state)) {
      events.push(event)
      state = executionDecider.evolve(state, event)
    }
  }
  return events
}

const about = (id: string, attempt: number) => ({ stage: id, attempt, at: AT, worker: 'w1' })
export const started = (id: string, attempt = 1): ExecutionCommand => ({ type: 'StartStage', ...about(id, attempt) })
export const completed = (id: string, attempt = 1, output: null | object = null): ExecutionCommand => ({
  type: 'CompleteStage',
  ...about(id, attempt),
  output: output as never,
})
export const failed = (
  id: string,
  attempt = 1,
  error = { code: 'EXIT_NONZERO', message: 'exit 1' },
): ExecutionCommand => ({
  type: 'FailStage',
  ...about(id, attempt),
  error,
})
export const lost = (id: string, attempt = 1): ExecutionCommand => ({
  type: 'LoseStage',
  ...about(id, attempt),
  error: { code: 'WORKER_LOST', message: 'gone' },
})
export const stopped = (id: string, attempt = 1): ExecutionCommand => ({ type: 'StopStage', ...about(id, attempt) })
export const cancel: ExecutionCommand = { type: 'CancelExecution', reason: 'wrong branch', at: AT }
