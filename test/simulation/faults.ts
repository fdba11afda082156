// What goes wrong in a simulated world, how often, and how often it has.
import type { Chance } from '../support/chance.ts'

/** Each is the share of calls, messages or steps of its kind that it befalls, from 0 to 1. */
export const faultKinds = [
  /** An append is refused although nobody was in the way. */
  'conflict',
  /** An append fails, and nothing was written. */
  'append-refused',
  /** An append is written, and the answer is lost. */
  'append-unanswered',
  /** The answer is lost, and the append is written later than that. */
  'append-late',
  'read-failed',
  'subscription-broken',
  /** The broker, or what keeps the leases, cannot be reached: before it has done anything, or after. */
  'broker-unreachable',
  'leases-unreachable',
  'work-doubled',
  'work-delayed',
  'report-lost',
  'report-doubled',
  'report-delayed',
  'request-lost',
  'answer-lost',
  'request-doubled',
  /** A step takes seconds instead of milliseconds. */
  'step-slow',
] as const
export type FaultKind = (typeof faultKinds)[number]
export type Rates = { readonly [K in FaultKind]?: number }

/** What happens to whole processes and clocks, at a time of the plan's. */
export const mishapKinds = ['crash', 'stop', 'pause', 'clock-jump', 'drop-leases'] as const
export type MishapKind = (typeof mishapKinds)[number]

/** The network or a store failed, on purpose. */
export class Injected extends Error {
  constructor(what: string) {
    super(`injected: ${what}`)
    this.name = 'Injected'
  }
}

export type Faults = {
  /** Whether this happens now; it counts what does. */
  befalls(kind: FaultKind): boolean
  count(kind: MishapKind): void
  /** From now on nothing goes wrong any more. */
  heal(): void
  readonly counts: ReadonlyMap<FaultKind | MishapKind, number>
}

export function createFaults(rates: Rates, chance: Chance): Faults {
  const counts = new Map<FaultKind | MishapKind, number>()
  let healed = false
  const count = (kind: FaultKind | MishapKind): void => {
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return {
    befalls(kind) {
      const rate = rates[kind] ?? 0
      if (healed || rate === 0 || chance.next() >= rate) return false
      count(kind)
      return true
    },
    count,
    heal() {
      healed = true
    },
    counts,
  }
}
