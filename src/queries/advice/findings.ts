type Of<Kind extends string, Evidence> = {
  readonly kind: Kind
  readonly stage: string
  /** `warning`: it cost time or runs already. `info`: it could. */
  readonly severity: 'info' | 'warning'
  readonly message: string
  readonly evidence: Readonly<Evidence>
  readonly suggestion: string
}

export type Finding =
  /** The stage needs `need` and reads nothing of it. `pathMs` is the chain of median stages that takes longest. */
  | Of<
      'parallelisable',
      { need: string; runs: number; pathMs: number; sideBySideMs: number; savedMs: number; sameDirectory: boolean }
    >
  /** `p95Ms` and `longestMs` are of attempts that completed; `timedOut` counts those that took the whole timeout. */
  | Of<
      'timeout-too-long',
      { attempts: number; timedOut: number; p95Ms: number; longestMs: number; timeoutMs: number; enoughMs: number }
    >
  | Of<
      'timeout-too-short',
      { attempts: number; timedOut: number; rate: number; rateAtLeast: number; p95Ms: number; timeoutMs: number }
    >
  /** `runs` are those in which a failure of the class was retried, `retries` the attempts that followed. */
  | Of<'retry-never-helps', { class: string; runs: number; retries: number; helped: number; spentMs: number }>
  /** `flakyRuns` are those in which the stage failed and then completed; `classes` counts their failures. */
  | Of<
      'flaky',
      {
        runs: number
        flakyRuns: number
        rate: number
        rateAtLeast: number
        classes: { readonly [name: string]: number }
      }
    >
  | Of<'queue-wait', { queue: string; attempts: number; waitP50Ms: number; waitP95Ms: number; workP50Ms: number }>

export type FindingOf<Kind extends Finding['kind']> = Extract<Finding, { kind: Kind }>
