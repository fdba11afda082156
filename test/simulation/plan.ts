// A plan is all there is to a simulated run: what is run, who does what to it, and what goes wrong. It is plain JSON, follows
// from a seed, and the same plan gives the same history.
import { type Chance, chanceOf } from '../support/chance.ts'
import { kinds, matrices, type Spec } from '../support/random-runs.ts'
import { type FaultKind, faultKinds, type MishapKind, mishapKinds, type Rates } from './faults.ts'

export type Profile = 'embedded' | 'distributed'

/** `calls` is the workflow, by its index, that does the work of the stage in place of a worker. */
export type StagePlan = Spec & { readonly calls?: number; readonly abandons?: boolean }
/** `limit` of the runs at once in the one group that there is. */
export type WorkflowPlan = {
  readonly concurrency?: { readonly limit: number; readonly onConflict: 'queue' | 'cancel-running' | 'reject' }
  readonly stages: readonly StagePlan[]
  readonly onFailure: 'fail-fast' | 'continue' | 'compensate'
  readonly timeoutMs: number
}

const actKinds = ['cancel', 'pause', 'resume', 'signal', 'approve', 'reject', 'retry', 'skip', 'fail'] as const
type ActKind = (typeof actKinds)[number]

/** `start` is the first; `again` repeats it with the same key, `other` uses the key for something else. */
type RunPlan = {
  readonly workflow: number
  readonly atMs: number
  readonly yes: boolean
  readonly priority: number
}
export type ActPlan = {
  readonly run: number
  readonly atMs: number
  readonly kind: ActKind | 'again' | 'other' | 'resize'
  /** Chooses the stage, where it is about one. */
  readonly pick: number
}
export type MishapPlan = {
  readonly kind: MishapKind
  readonly atMs: number
  /** Chooses the process. */
  readonly pick: number
  readonly forMs: number
}

/** Starts runs until faults have stopped. */
type SchedulePlan = {
  readonly workflow: number
  readonly everyMs: number
  readonly overlap: 'skip' | 'queue' | 'cancel-running' | 'allow'
  readonly misfire: 'once' | 'all' | 'none'
  readonly jitterMs: number
}

export type Plan = {
  readonly seed: number
  readonly profile: Profile
  readonly engines: number
  readonly workers: number
  /** Workers send their reports, and do not wait for the answer. */
  readonly sends?: boolean
  readonly latencyMs: number
  readonly snapshotEvery: number
  /** After this nothing goes wrong any more. */
  readonly healAtMs: number
  readonly workflows: readonly WorkflowPlan[]
  readonly runs: readonly RunPlan[]
  readonly poolSlots: number
  readonly schedule?: SchedulePlan
  readonly acts: readonly ActPlan[]
  readonly mishaps: readonly MishapPlan[]
  readonly rates: Rates
}

const triggers = ['all-success', 'all-success', 'all-success', 'all-done', 'any-success', 'any-failure'] as const
const steps = ['none', 'none', 'none', 'shell', 'shell', 'wait', 'approval', 'signal', 'broken'] as const
const DAY_MS = 24 * 3_600_000

const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at))
const inOrder = <T extends { readonly atMs: number }>(list: T[]): T[] => list.sort((a, b) => a.atMs - b.atMs)

export function planOf(seed: number, profile?: Profile): Plan {
  const chance = chanceOf(seed)
  const drawn = chance.pick(['embedded', 'embedded', 'distributed', 'distributed', 'distributed'] as const)
  const chosen = profile ?? drawn
  const isEmbedded = chosen === 'embedded'
  const healAtMs = 20_000 + chance.below(100_000)
  const callers = 1 + chance.below(2)
  const callees = chance.below(2)
  const workflows = times(callers + callees, (index) => workflowPlan(chance, index < callers && callees > 0, callers))
  const runs = inOrder(
    times(1 + chance.below(4), () => ({
      workflow: chance.below(callers),
      atMs: chance.below(healAtMs / 2),
      yes: chance.next() < 0.7,
      priority: chance.below(3) - 1,
    })),
  )
  return {
    seed,
    profile: chosen,
    engines: isEmbedded ? 1 : 1 + chance.below(2),
    workers: isEmbedded ? 0 : 1 + chance.below(3),
    // By the seed itself, so that what else is drawn from it stays what it was.
    ...(!isEmbedded && seed % 2 === 1 ? { sends: true } : {}),
    latencyMs: chance.pick([0, 2, 20, 200]),
    // A snapshot is an event, too: were they more than the events between them, they would be all that there is.
    snapshotEvery: chance.pick(isEmbedded ? [20, 50, 200] : [40, 100, 400]),
    healAtMs,
    workflows,
    runs,
    poolSlots: 1 + chance.below(3),
    ...(chance.next() < 0.25 ? { schedule: schedulePlan(chance, callers, healAtMs) } : {}),
    acts: inOrder(times(chance.below(6), () => actPlan(chance, runs.length, healAtMs))),
    mishaps: inOrder(times(chance.below(6), () => mishapPlan(chance, healAtMs))),
    rates: ratesOf(chance, isEmbedded),
  }
}

function workflowPlan(chance: Chance, mayCall: boolean, callee: number): WorkflowPlan {
  return {
    stages: times(1 + chance.below(5), (index) => {
      const calls = mayCall && chance.next() < 0.25 ? { calls: callee, abandons: chance.next() < 0.3 } : {}
      return { ...stagePlan(chance, index), ...calls }
    }),
    onFailure: chance.pick(['fail-fast', 'continue', 'continue', 'compensate']),
    timeoutMs: chance.next() < 0.15 ? 20_000 : DAY_MS,
    ...(chance.next() < 0.3 ? { concurrency: concurrencyPlan(chance) } : {}),
  }
}

const concurrencyPlan = (chance: Chance): NonNullable<WorkflowPlan['concurrency']> => ({
  limit: 1 + chance.below(2),
  onConflict: chance.pick(['queue', 'queue', 'cancel-running', 'reject']),
})

const stagePlan = (chance: Chance, index: number): Spec => ({
  needs: index === 0 ? [] : times(chance.below(3), () => chance.below(index)),
  trigger: chance.pick(triggers),
  maxAttempts: 1 + chance.below(3),
  kind: chance.pick(kinds),
  matrix: chance.pick(matrices),
  fallback: chance.pick(['none', 'none', 'none', 'shell', 'broken']),
  compensate: chance.pick(steps),
  continueOnError: chance.below(6),
  pooled: chance.below(3),
})

/** Only what may wait, or may be there at once, is made up for. */
function schedulePlan(chance: Chance, workflows: number, withinMs: number): SchedulePlan {
  const overlap = chance.pick(['skip', 'queue', 'cancel-running', 'allow'] as const)
  return {
    workflow: chance.below(workflows),
    // Were it more often, a slow world would have more to do than it can.
    everyMs: Math.max(Math.ceil(withinMs / (2 + chance.below(6))), 15_000),
    overlap,
    misfire: chance.pick(
      overlap === 'queue' || overlap === 'allow' ? (['once', 'all', 'none'] as const) : ['once', 'none'],
    ),
    jitterMs: chance.pick([0, 0, 3_000]),
  }
}

const actPlan = (chance: Chance, runs: number, withinMs: number): ActPlan => ({
  run: chance.below(runs),
  atMs: chance.below(withinMs),
  kind: chance.pick([...actKinds, 'pause', 'resume', 'again', 'again', 'other', 'resize', 'resize']),
  pick: chance.below(1_000),
})

const mishapPlan = (chance: Chance, withinMs: number): MishapPlan => ({
  kind: chance.pick([...mishapKinds, 'crash', 'crash', 'crash']),
  atMs: chance.below(withinMs),
  pick: chance.below(1_000),
  forMs: chance.pick([100, 2_000, 20_000, 60_000]),
})

/** In one process nothing is between the parts; only its disk may fail, and its clients' network. */
const DISTRIBUTED_ONLY: readonly FaultKind[] = [
  'broker-unreachable',
  'leases-unreachable',
  'work-doubled',
  'work-delayed',
  'report-lost',
  'report-doubled',
  'report-delayed',
]
const HOW_OFTEN: { readonly [K in FaultKind]?: number } = { 'step-slow': 0.1, 'append-late': 0.5 }

function ratesOf(chance: Chance, isEmbedded: boolean): Rates {
  const calm = chance.next() < 0.1
  const rates = faultKinds.map((kind) => {
    const rate = chance.pick([0, 0, 0.01, 0.05, 0.2]) * (HOW_OFTEN[kind] ?? 1)
    return [kind, calm || (isEmbedded && DISTRIBUTED_ONLY.includes(kind)) ? 0 : rate] as const
  })
  return Object.fromEntries(rates.filter(([, rate]) => rate > 0))
}
