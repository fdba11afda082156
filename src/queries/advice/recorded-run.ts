// What the rules of the advice are given: runs as the read models have them, times in milliseconds since 1970.

export type RecordedAttempt = {
  /** Null where the attempt did not come to that. */
  readonly scheduledMs: number | null
  readonly startedMs: number | null
  readonly finishedMs: number | null
  readonly outcome: 'completed' | 'failed' | 'cancelled' | null
  /** Of a failure: its class, the rule that classified it, and what followed. */
  readonly class: string | null
  readonly rule: string | null
  readonly recovery: string | null
}

export type RecordedStage = {
  readonly finishedMs: number | null
  /** In order. */
  readonly attempts: readonly RecordedAttempt[]
}

/** A run that has ended. */
export type RecordedRun = {
  readonly status: string
  readonly startedMs: number
  readonly finishedMs: number
  readonly stages: ReadonlyMap<string, RecordedStage>
}

/** From the moment a stage was ready to its end: what it added to the run, waits, pauses and retries included. */
export type Span = { readonly readyMs: number; readonly endMs: number; readonly ran: boolean }

/** Undefined for a stage that did not end. One that was skipped takes no time. */
export function spanOf(stage: RecordedStage | undefined): Span | undefined {
  if (!stage || stage.finishedMs === null) return undefined
  const readyMs = stage.attempts[0]?.scheduledMs ?? stage.finishedMs
  return { readyMs, endMs: stage.finishedMs, ran: stage.attempts.length > 0 }
}

/** The times that the work of an attempt took, of those whose work ended in one of these ways. */
export function workMs(
  attempts: readonly RecordedAttempt[],
  outcomes: readonly RecordedAttempt['outcome'][] = ['completed'],
): number[] {
  return attempts.flatMap(({ outcome, startedMs, finishedMs }) =>
    startedMs === null || finishedMs === null || !outcomes.includes(outcome) ? [] : [finishedMs - startedMs],
  )
}

/** An attempt that its worker lost says nothing of the stage, and it is made again whatever the policy of retries is. */
export const wasLost = ({ rule }: RecordedAttempt): boolean => rule === 'worker-lost'
