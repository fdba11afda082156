import type { Json } from '../message.ts'

/** When a stage runs, given how the stages it needs ended. A need skipped by its own `when` counts as a success. */
export type Trigger = 'all-success' | 'all-done' | 'any-success' | 'any-failure'

/** Delay before attempt n + 1: fixed = initial; linear = initial · n; exponential = initial · 2^(n-1); never above `maxMs`; ± `jitter` (0 to 1) of it. */
export type Backoff = {
  readonly type: 'fixed' | 'linear' | 'exponential'
  readonly initialMs: number
  readonly maxMs: number
  readonly jitter: number
}

/** `maxAttempts` counts every attempt whose work failed, the first included; 1 means no retry. */
export type RetryPolicy = { readonly maxAttempts: number; readonly backoff: Backoff }

/** A stage with every default filled in. `with` may still hold `${{ }}` values; they are resolved when an attempt is scheduled. */
export type CompiledStage = {
  readonly id: string
  readonly uses: string
  readonly queue: string
  readonly needs: readonly string[]
  readonly trigger: Trigger
  /** A CEL expression without `${{ }}`; false skips the stage. */
  readonly when?: string
  readonly with: { readonly [key: string]: Json }
  readonly retry: RetryPolicy
  readonly timeoutMs: number
}

/** What `ExecutionStarted` records: the definition as it will run, whatever defaults later versions of the program have. */
export type CompiledWorkflow = {
  readonly name: string
  readonly timeoutMs: number
  readonly onFailure: 'fail-fast' | 'continue'
  /** In the order of the document; `needs` name other members. At most 1,000. */
  readonly stages: readonly CompiledStage[]
}
