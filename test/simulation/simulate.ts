// One simulated run: a plan in, what it broke and what it was worth out.
import { createHash } from 'node:crypto'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { judge } from './judge.ts'
import type { Plan } from './plan.ts'
import { runWorld, type World } from './world.ts'

export type Outcome = {
  /** One line for each promise that was broken. */
  readonly faults: readonly string[]
  readonly steps: number
  readonly events: number
  /** How runs ended, and how often each fault befell. */
  readonly counts: ReadonlyMap<string, number>
  /** Of the history without ids that are random: the same plan has the same. */
  readonly fingerprint: () => string
}

export async function simulate(plan: Plan): Promise<Outcome> {
  const unhandled: string[] = []
  const hear = (error: unknown) => {
    unhandled.push(`unexpected: nobody handles ${error instanceof Error ? error.stack : error}`)
  }
  process.on('unhandledRejection', hear)
  try {
    const world = await runWorld(plan)
    const { scheduler, faults } = world.network
    const { log, effects } = world
    return {
      faults: [...unhandled, ...(await judge(world))],
      steps: scheduler.steps,
      events: log.events.length,
      counts: new Map<string, number>([...faults.counts, ...endsOf(world), ['effects', effects.length]]),
      fingerprint: () => fingerprintOf(log.events),
    }
  } finally {
    process.off('unhandledRejection', hear)
  }
}

/** What kind of fault a line tells of: the invariant by its number, or that something came unexpected. */
export const kindOf = (fault: string): string => /invariant \d+|unexpected/.exec(fault)?.[0] ?? fault

/** Events whose number says whether what is simulated was reached at all. */
const counted = [
  ...['ExecutionCompleted', 'ExecutionFailed', 'ExecutionCancelled', 'ExecutionDeferred', 'ExecutionAdmitted'],
  ...['StageCompleted', 'StageDeferred', 'CapacityGranted', 'CapacityReleased', 'PoolResized'],
  ...['ScheduleFired', 'ScheduleQueued', 'SnapshotTaken'],
]

function endsOf({ log }: World): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { type } of log.events) if (counted.includes(type)) counts.set(type, (counts.get(type) ?? 0) + 1)
  return counts
}

function fingerprintOf(events: readonly RecordedEvent[]): string {
  const hash = createHash('sha256')
  const places = new Map(events.map(({ id, position }) => [id, position]))
  for (const { stream, revision, type, at, data, metadata } of events) {
    const cause = places.get(metadata.causationId ?? '')
    const isSnapshot = type === 'SnapshotTaken'
    hash.update(JSON.stringify([stream, revision, type, metadata.actor, cause, ...(isSnapshot ? [] : [at, data])]))
  }
  return hash.digest('hex')
}
