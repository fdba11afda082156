import type { ExecutionEvent } from '../domain/execution/events.ts'
import { classify } from '../domain/execution/failure.ts'
import type { RecordedEvent } from '../domain/message.ts'
import { upcast } from '../domain/upcast.ts'
import type { FailureRule } from '../domain/workflow/definition.ts'
import type { History } from './history.ts'
import { type Chosen, MAX_EVENTS, type WhatIf, type WhatIfOf } from './what-if.ts'

type Judged = { readonly class: string; readonly rule: string; readonly recovery: string }

/** A failure that the rules would have judged otherwise. `recovery` is `default` where they leave it to the class and the stage. */
export type Reclassified = {
  readonly execution: string
  readonly stage: string
  readonly attempt: number
  readonly recorded: Judged
  readonly now: Judged
}

export type Backtest = WhatIf & {
  /** Attempts that would not have been made, and such as would have been made besides. */
  readonly retries: { readonly saved: number; readonly added: number }
  /** At most the first 500. */
  readonly reclassified: readonly Reclassified[]
}

const MAX_RECLASSIFIED = 500

/** Replays the failures of past runs under other rules: what they would be taken for, and how the runs would have gone. */
export function createBacktest(history: History, whatIf: WhatIfOf) {
  return async (
    namespace: string,
    workflow: string,
    rules: readonly FailureRule[],
    chosen: Chosen,
  ): Promise<Backtest | undefined> => {
    const answer = await whatIf(namespace, workflow, (recorded) => ({ ...recorded, failures: rules }), chosen)
    if (answer === undefined) return undefined
    const reclassified: Reclassified[] = []
    for (const { execution } of answer.runs) {
      const stored = (await history.events(namespace, execution, 0, MAX_EVENTS)) ?? []
      const events = (stored as readonly RecordedEvent<ExecutionEvent>[]).map((event) => upcast(event))
      reclassified.push(...judgeAgain(execution, events, rules))
      if (reclassified.length >= MAX_RECLASSIFIED) break
    }
    return { ...answer, retries: difference(answer), reclassified: reclassified.slice(0, MAX_RECLASSIFIED) }
  }
}

/** Compared with what the rules of then say of it now, so that a rule which only its recovery was changed of counts, too. */
function judgeAgain(
  execution: string,
  events: readonly RecordedEvent<ExecutionEvent>[],
  rules: readonly FailureRule[],
): readonly Reclassified[] {
  const [first] = events
  const before = first?.type === 'ExecutionStarted' ? first.data.definition.failures : undefined
  return events.flatMap((event): Reclassified[] => {
    if (event.type !== 'StageFailed') return []
    const { stage, attempt, error, class: kind, rule, recovery } = event.data
    const [own] = stage.split('.')
    const then = classify(error, own, before)
    const now = classify(error, own, rules)
    const same = now.class === kind && now.rule === rule && JSON.stringify(now.recover) === JSON.stringify(then.recover)
    const after = { class: now.class, rule: now.rule, recovery: now.recover?.action ?? 'default' }
    return same ? [] : [{ execution, stage, attempt, recorded: { class: kind, rule, recovery }, now: after }]
  })
}

function difference({ runs }: WhatIf): Backtest['retries'] {
  const changes = runs.map(({ recorded, simulated }) => simulated.retries - recorded.retries)
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  return { saved: -sum(changes.filter((change) => change < 0)), added: sum(changes.filter((change) => change > 0)) }
}
