// Schedules and their nominal times that have a run: the fold of a batch. `schedule-rows.ts` turns it into rows.
import { parseStream, type RecordedEvent } from '../domain/message.ts'
import { type ScheduleEvent, type ScheduleSpec, scheduleEventVersions } from '../domain/schedule/events.ts'
import type { Projection, Write } from './projection.ts'
import { agedRemovals, inOrder, REMOVALS, removalsHandled } from './removals.ts'
import { scheduleWrites } from './schedule-rows.ts'

/** What a batch says about one schedule; null is what it does not say. */
export type ScheduleChange = {
  readonly namespace: string
  readonly name: string
  /** When it was defined, where that was within the batch. */
  createdAt: string | null
  definedBy: string | null
  status: string | null
  spec: ScheduleSpec | null
  decidedTo: string | null
  lastNominalAt: string | null
  lastExecution: string | null
  /** JSON; undefined is what the batch does not say, null that there is none. */
  backfill: string | null | undefined
  readonly added: {
    fired: number
    completed: number
    failed: number
    cancelled: number
    refused: number
    passed: number
  }
  updatedAt: string
  revision: number
  position: number
  readonly runs: Map<string, RunChange>
}

/** What a nominal time has come to. */
export type RunChange = {
  readonly nominalAt: string
  readonly executionId: string | null
  readonly status: 'queued' | 'open' | 'completed' | 'failed' | 'cancelled' | 'refused' | 'passed'
  readonly backfill: string | null
  readonly error: string | null
  readonly updatedAt: string
  /** It started within the batch, so that all of it is known. */
  readonly begun: boolean
}

/** What schedules are, and what they have started. */
export const schedules: Projection = {
  name: 'schedules',
  version: 1,
  tables: ['schedules', 'schedule_runs'],
  streams: ['schedule-', ...REMOVALS],
  handles: { ...scheduleEventVersions, ...removalsHandled },
  apply: (batch) => inOrder(batch, foldSchedules, (removal) => agedRemovals(['scheduleRuns'], removal)),
}

function foldSchedules(batch: readonly RecordedEvent<ScheduleEvent>[]): readonly Write[] {
  const changes = new Map<string, ScheduleChange>()
  for (const event of batch) {
    const change = changes.get(event.stream) ?? unchanged(event)
    changes.set(event.stream, change)
    change.updatedAt = event.at
    change.revision = event.revision
    change.position = event.position
    fold(change, event)
  }
  return scheduleWrites([...changes.values()])
}

function unchanged({ stream, at, metadata: { namespace } }: RecordedEvent<ScheduleEvent>): ScheduleChange {
  return {
    namespace,
    name: parseStream(stream).id.slice(namespace.length + 1),
    createdAt: null,
    definedBy: null,
    status: null,
    spec: null,
    decidedTo: null,
    lastNominalAt: null,
    lastExecution: null,
    backfill: undefined,
    added: { fired: 0, completed: 0, failed: 0, cancelled: 0, refused: 0, passed: 0 },
    updatedAt: at,
    revision: 0,
    position: 0,
    runs: new Map(),
  }
}

function fold(change: ScheduleChange, event: RecordedEvent<ScheduleEvent>): void {
  switch (event.type) {
    case 'ScheduleDefined':
      change.createdAt = event.at
      change.definedBy = event.data.definedBy ?? null
      change.status = 'active'
      change.backfill = null
      specify(change, event.data)
      return
    case 'ScheduleRevised':
      specify(change, event.data)
      return
    case 'SchedulePaused':
    case 'ScheduleResumed':
      change.status = event.type === 'SchedulePaused' ? 'paused' : 'active'
      return
    case 'ScheduleDeleted':
      change.status = 'deleted'
      change.backfill = null
      for (const nominalAt of event.data.discarded) setRun(change, event, { nominalAt, status: 'passed' })
      return
    case 'ScheduleTimesPassed':
      pass(change, event)
      return
    case 'BackfillRequested':
      change.backfill = JSON.stringify(event.data)
      return
    case 'BackfillEnded':
      change.backfill = null
      return
    case 'ScheduleCarriedForward':
      return
    default:
      foldRun(change, event)
  }
}

function specify(change: ScheduleChange, { spec, after }: { spec: ScheduleSpec; after: string }): void {
  change.spec = spec
  decide(change, after)
}

function decide(change: ScheduleChange, time: string): void {
  if (change.decidedTo === null || change.decidedTo < time) change.decidedTo = time
}

type Of<T extends ScheduleEvent['type']> = RecordedEvent<Extract<ScheduleEvent, { type: T }>>

function pass(change: ScheduleChange, event: Of<'ScheduleTimesPassed'>): void {
  const { from, to, count, reason, backfill } = event.data
  change.added.passed += count
  if (reason === 'replaced') setRun(change, event, { nominalAt: from, status: 'passed' })
  else if (backfill === undefined) decide(change, to)
}

function foldRun(
  change: ScheduleChange,
  event: Of<'ScheduleQueued' | 'ScheduleFired' | 'ScheduledRunEnded' | 'ScheduledRunRefused'>,
): void {
  const { nominalAt } = event.data
  switch (event.type) {
    case 'ScheduleQueued':
      decide(change, nominalAt)
      setRun(change, event, { nominalAt, status: 'queued' })
      return
    case 'ScheduleFired': {
      const { executionId, backfill = null } = event.data
      change.added.fired++
      setRun(change, event, { nominalAt, executionId, status: 'open', backfill })
      if (backfill !== null) return
      decide(change, nominalAt)
      change.lastNominalAt = nominalAt
      change.lastExecution = executionId
      return
    }
    case 'ScheduledRunEnded': {
      const { executionId, outcome } = event.data
      change.added[outcome]++
      setRun(change, event, { nominalAt, executionId, status: outcome })
      return
    }
    case 'ScheduledRunRefused': {
      const { executionId, error } = event.data
      change.added.refused++
      setRun(change, event, { nominalAt, executionId, status: 'refused', error: JSON.stringify(error) })
    }
  }
}

type Said = Pick<RunChange, 'nominalAt' | 'status'> & Partial<RunChange>

/** Which backfill asked for it is said where it begins; what ends it keeps that. */
function setRun({ runs }: ScheduleChange, { at }: RecordedEvent<ScheduleEvent>, said: Said): void {
  const before = runs.get(said.nominalAt)
  const begins = said.status === 'open'
  runs.set(said.nominalAt, {
    error: null,
    ...said,
    executionId: said.executionId ?? before?.executionId ?? null,
    backfill: begins ? (said.backfill ?? null) : (before?.backfill ?? null),
    begun: begins || before?.begun === true,
    updatedAt: at,
  })
}
