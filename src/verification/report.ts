// What a verification says, while it goes on and at its end.
import type { OpenWorkState } from './open-work.ts'

/** An event of the log that breaks an invariant. */
export type Violation = {
  readonly invariant: number
  readonly stream: string
  readonly revision: number
  readonly what: string
}

/** Something derived that is not as the log says: a row, a checkpoint, an attempt, a timer, a lease. */
export type Drift = { readonly where: string; readonly key: string; readonly what: string }

/** At most the first of many, and how many there are. */
export type Listed<T> = { readonly total: number; readonly items: readonly T[] }

export type Phase = 'reading the log' | 'comparing the read models' | 'looking at open work' | 'repairing'

/** `events` of about `of` have been read. */
export type Progress = {
  readonly phase: Phase
  readonly events: number
  readonly of: number
  readonly eventsPerSecond: number
  readonly etaSeconds: number
}

type Tally = {
  readonly number: number
  readonly says: string
  readonly events: number
  readonly violations: number
}

/** What the log and the read models said. */
export type LogFindings = {
  /** The head of the log as it was at the beginning, up to which it was read. */
  readonly position: number
  readonly events: number
  readonly streams: { readonly open: number; readonly ended: number }
  readonly invariants: readonly Tally[]
  readonly violations: Listed<Violation>
  /** Names of projections whose rows are not as the log says. */
  readonly drifting: readonly string[]
  readonly drift: Listed<Drift>
  readonly open: OpenWorkState
  readonly notChecked: readonly string[]
}

/** How many violations are listed, and how many rows of each table. */
export const MOST_LISTED = 100

/** Keeps the first of what is found and counts the rest. */
export class Findings<T> {
  #total = 0
  readonly #items: T[] = []

  add(item: T): void {
    this.#total++
    if (this.#items.length < MOST_LISTED) this.#items.push(item)
  }

  /** Those that were found beyond the listed ones. */
  addListed({ total, items }: Listed<T>): void {
    for (const item of items) this.add(item)
    this.#total += total - items.length
  }

  listed(): Listed<T> {
    return { total: this.#total, items: this.#items }
  }
}
