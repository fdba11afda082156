// What can be decided from the log alone, by the numbers that the promises have, and which events each is about.

type Invariant = {
  readonly number: number
  readonly says: string
  /** Types of events; their counts say how often it was looked at. */
  readonly about: 'every event' | readonly string[]
}

const ENDS = ['ExecutionCompleted', 'ExecutionFailed', 'ExecutionCancelled']
const OUTCOMES = ['StageCompleted', 'StageFailed', 'StageCancelled']
const BEGINNINGS = ['StageScheduled', 'StagesGenerated']
const APPROVALS = ['ApprovalRequested', 'ApprovalGranted', 'ApprovalRejected']
const POOLS = ['PoolDefined', 'PoolResized', 'CapacityGranted', 'CapacityReleased', 'PoolCarriedForward']
const PAUSES = ['ExecutionPaused', 'ExecutionResumed']

export const invariants: readonly Invariant[] = [
  { number: 1, says: 'revisions count from 0 without a gap', about: 'every event' },
  { number: 2, says: 'positions grow, and a decision is there whole or not at all', about: 'every event' },
  { number: 3, says: 'event ids are unique, and a command is accepted once', about: 'every event' },
  { number: 6, says: 'a run begins with its start, which comes once', about: ['ExecutionStarted'] },
  { number: 7, says: 'nothing comes after the end of a run', about: ENDS },
  { number: 9, says: 'a stage begins only when its trigger holds', about: [...BEGINNINGS, 'StageSkipped'] },
  {
    number: 10,
    says: 'nothing begins while a run is paused, or after it was to end',
    about: [...BEGINNINGS, ...PAUSES, 'StageRetried', 'StageDeferred', 'ExecutionAdmitted'],
  },
  { number: 11, says: 'attempts of a stage do not overlap', about: [...BEGINNINGS, 'StageDeferred'] },
  { number: 12, says: 'attempts count from 1 to as many as there may be', about: ['StageScheduled', 'StageRetried'] },
  {
    number: 13,
    says: 'what is said of an attempt is said of the current one, and it ends once',
    about: [...OUTCOMES, 'StageStarted', 'StageCheckpointed', 'StageAbandoned'],
  },
  {
    number: 14,
    says: 'every outcome has its schedule',
    about: [...OUTCOMES, 'StageRetried', 'StageSkipped', 'StagesGenerated'],
  },
  {
    number: 16,
    says: 'a retry begins when it is due, and only of what can be retried',
    about: ['StageScheduled', 'StageFailed', 'StageRetried'],
  },
  {
    number: 17,
    says: 'no more is held than there is, and who goes on holds what it has to',
    about: ['StageScheduled', 'StageDeferred', 'ExecutionAdmitted', ...POOLS],
  },
  { number: 18, says: 'a grant is given once and given back once', about: ['CapacityGranted', 'CapacityReleased'] },
  {
    number: 19,
    says: 'nothing that waits for a time ends before it',
    about: [...PAUSES, 'StageCompleted', 'StageFailed', 'ExecutionCancellationRequested'],
  },
  {
    number: 20,
    says: 'a nominal time of a schedule has one run at most, and is one that the schedule names',
    about: ['ScheduleFired', 'ScheduleQueued', 'ScheduleTimesPassed', 'ScheduledRunEnded', 'ExecutionStarted'],
  },
  { number: 21, says: 'a cancellation is asked for once and ends the run', about: ['ExecutionCancellationRequested'] },
  { number: 22, says: 'a run ends as its stages did, and a failure has a cause', about: [...ENDS, 'StageCompleted'] },
  { number: 23, says: 'an approval counts once, from one who may', about: [...APPROVALS, 'StageCompleted'] },
  {
    number: 24,
    says: 'what has completed is undone once, the latest first',
    about: ['CompensationStarted', 'StageScheduled', ...ENDS],
  },
  {
    number: 31,
    says: 'what a stream carries forward is what its events come to',
    about: ['PoolCarriedForward', 'ScheduleCarriedForward'],
  },
  { number: 33, says: 'what had completed before a restore does not run again', about: ['StageRestored'] },
  { number: 37, says: 'the cause of an event is before it in the log', about: 'every event' },
  { number: 38, says: 'every event is of a type and version that is known', about: 'every event' },
]

/** How many events each was held against, and how many broke it. */
export function tallyOf(
  { events, types }: { readonly events: number; readonly types: ReadonlyMap<string, number> },
  broken: ReadonlyMap<number, number>,
): readonly { number: number; says: string; events: number; violations: number }[] {
  return invariants.map(({ number, says, about }) => {
    const looked = about === 'every event' ? events : about.reduce((sum, type) => sum + (types.get(type) ?? 0), 0)
    return { number, says, events: looked, violations: broken.get(number) ?? 0 }
  })
}
