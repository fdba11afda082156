import type { CompiledWorkflow } from '../workflow/definition.ts'
import type { ExecutionEvent } from './events.ts'

/** The newest schema version of each event: the one that `events.ts` describes, and that is written. */
export const executionEventVersions: Readonly<Record<ExecutionEvent['type'], number>> = {
  ExecutionStarted: 3,
  ExecutionDeferred: 1,
  ExecutionAdmitted: 1,
  StageDeferred: 1,
  StageScheduled: 3,
  StageStarted: 1,
  StageCheckpointed: 1,
  StageCompleted: 1,
  StageFailed: 1,
  StageAbandoned: 1,
  StageRetried: 1,
  StageSkipped: 1,
  StageCancelled: 1,
  StagesGenerated: 1,
  ApprovalRequested: 1,
  ApprovalGranted: 1,
  ApprovalRejected: 1,
  SignalReceived: 1,
  StageRestored: 1,
  ExecutionPaused: 1,
  ExecutionResumed: 1,
  ExecutionCancellationRequested: 1,
  CompensationStarted: 1,
  ExecutionCompleted: 1,
  ExecutionFailed: 1,
  ExecutionCancelled: 1,
}

type Stored = { readonly at: string; readonly data: object }
/** Makes the data of the next version from that of the one before. What has been released never changes again. */
export type Upcaster = (event: Stored) => object

/** The first makes version 2 of version 1, and so on. */
export const executionUpcasters: { readonly [type: string]: readonly Upcaster[] } = {
  ExecutionStarted: [
    // The deadline was worked out from the time of the event.
    ({ at, data }) => {
      const { definition } = data as { definition: CompiledWorkflow }
      return { ...data, timeoutAt: new Date(Date.parse(at) + definition.timeoutMs).toISOString() }
    },
    // No run was in a group, and no stage asked for anything.
    ({ data }) => data,
  ],
  StageScheduled: [
    // A wait for a time was all that a stage could wait for.
    ({ data }) => {
      const { wakeAt, ...rest } = data as { wakeAt?: string }
      return wakeAt === undefined ? rest : { ...rest, waitsFor: { for: 'timer', until: wakeAt } }
    },
    // No attempt held anything.
    ({ data }) => data,
  ],
}
