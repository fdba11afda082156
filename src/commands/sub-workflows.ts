import { boundedText } from '../domain/bounded-text.ts'
import type { StageReport } from '../domain/execution/commands.ts'
import { executionDecider } from '../domain/execution/decide.ts'
import type { ExecutionEvent, ParentStage, StageError } from '../domain/execution/events.ts'
import { executionStream } from '../domain/execution/events.ts'
import { type Execution, nominalTimeOf } from '../domain/execution/state.ts'
import type { Json, RecordedEvent } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import { upcast } from '../domain/upcast.ts'
import { resolvedInputs } from '../domain/workflow/builtin-inputs.ts'
import type { Clock } from '../ports/clock.ts'
import type { EventStore } from '../ports/event-store.ts'
import { takeReport } from './advance-execution.ts'
import { subWorkflowIdFor } from './fingerprint.ts'
import type { Context, Handle } from './handle.ts'
import { chooseVersion } from './start-execution.ts'

/** An attempt of a stage whose work is another run. */
export type SubWorkflow = {
  readonly namespace: string
  readonly executionId: string
  readonly stage: string
  readonly attempt: number
}

/** Deeper than this is a workflow that calls itself without end. */
const MAX_DEPTH = 8

/** `with`, its expressions resolved. `abandon` lets the run go on when the stage is stopped. */
type Parts = { readonly handle: Handle; readonly store: EventStore; readonly clock: Clock }

/** Each of these may be done again: what has been done already adds no event. */
export function createSubWorkflows({ handle, store, clock }: Parts) {
  const contextFor = (called: SubWorkflow, correlationId: string, causationId: string): Context => ({
    namespace: called.namespace,
    correlationId,
    causationId,
    actor: 'system:sub-workflows',
    at: new Date(clock.now()).toISOString(),
  })
  const eventAt = async (executionId: string, revision: number): Promise<RecordedEvent<ExecutionEvent>> => {
    for await (const [event] of store.readStream(executionStream(executionId), { from: revision, limit: 1 }))
      if (event) return upcast(event as RecordedEvent<ExecutionEvent>)
    throw new Error(`the run ${executionId} has no event ${revision}`)
  }
  const load = async (id: string) => (await handle.load(executionDecider, executionStream(id))).state
  /** False where the attempt is no more the current one, or its run has ended. */
  const tell = async (called: SubWorkflow, cause: string, report: Said): Promise<boolean> => {
    const { executionId, stage, attempt } = called
    const context = contextFor(called, executionId, cause)
    try {
      await takeReport(handle, executionId, { ...report, stage, attempt, at: context.at } as StageReport, context)
      return true
    } catch (error) {
      if (error instanceof Rejected) return false
      throw error
    }
  }
  /** What has ended by itself needs no cancelling. */
  const cancel = async (child: string, called: SubWorkflow, causationId: string, why: string): Promise<void> => {
    const context = contextFor(called, child, causationId)
    const reason = boundedText(`stage ${called.stage} of execution ${called.executionId} ${why}`, 1_024)
    const command = { type: 'CancelExecution', reason, at: context.at } as const
    await handle(executionDecider, executionStream(child), command, context).catch(ignoreRefusal)
  }

  return {
    /**
     * Starts the run of an attempt and says so to the parent, or fails the attempt where no run can be started. `revision` is
     * where the parent's stream has the attempt's `StageScheduled`.
     */
    async start(called: SubWorkflow, revision: number): Promise<void> {
      const child = childOf(called)
      const scheduled = await eventAt(called.executionId, revision)
      if (scheduled.type !== 'StageScheduled') throw new Error(`${scheduled.type} schedules no sub-workflow`)
      const parent = await load(called.executionId)
      // A run that is there was started by an earlier try, whatever has become of its workflow since.
      const isNew = (await load(child)).status === 'none'
      if (isNew) {
        const context = { ...contextFor(called, child, scheduled.id), ...traceOf(scheduled) }
        const refused = await begin(handle, { called, parent, input: scheduled.data.input, context })
        if (refused) {
          await tell(called, scheduled.id, { type: 'FailStage', error: refused })
          return
        }
      }
      const started = { type: 'StartStage', worker: workerOf(child), execution: child } as const
      if (await tell(called, scheduled.id, started)) return
      // One that was there may be known to the parent, which has let it go on by itself.
      if (isNew || scheduled.data.input.onCancel !== 'abandon')
        await cancel(child, called, scheduled.id, 'did not wait for it')
    },

    /** Tells the parent how the run of an attempt ended: `revision` is where it says so. */
    async finish(called: SubWorkflow, revision: number): Promise<void> {
      const child = childOf(called)
      const ended = await eventAt(child, revision)
      const isStopping = ended.type === 'ExecutionCancelled' && asksToStop(await load(called.executionId), called.stage)
      await tell(called, ended.id, { worker: workerOf(child), ...outcomeOf(ended, child, isStopping) })
    },

    /** The attempt stops, and its run goes on by itself. */
    async abandon(called: SubWorkflow, causationId: string): Promise<void> {
      await tell(called, causationId, { type: 'StopStage', worker: workerOf(childOf(called)) })
    },

    cancel: (called: SubWorkflow, causationId: string): Promise<void> =>
      cancel(childOf(called), called, causationId, 'no longer wants it'),
  }
}

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
type Said = Without<StageReport, 'stage' | 'attempt' | 'at'>

export type SubWorkflows = ReturnType<typeof createSubWorkflows>

export const childOf = ({ executionId, stage, attempt }: Omit<ParentStage, 'depth'>): string =>
  subWorkflowIdFor(executionId, stage, attempt)

const workerOf = (child: string): string => `execution:${child}`

const traceOf = ({ metadata: { traceparent } }: RecordedEvent<ExecutionEvent>) =>
  traceparent === undefined ? {} : { traceparent }

/** Starts the run; answers why where it cannot be. */
async function begin(
  handle: Handle,
  start: { readonly called: SubWorkflow; readonly parent: Execution; readonly input: Json; readonly context: Context },
): Promise<StageError | undefined> {
  const { called, parent, input, context } = start
  if (parent.status === 'none') throw new Error(`there is no run ${called.executionId}`)
  const { namespace, executionId, stage, attempt } = called
  const { priority } = parent.run
  const depth = (parent.run.parent?.depth ?? 0) + 1
  if (depth > MAX_DEPTH)
    return refusal(
      'SUB_WORKFLOW_TOO_DEEP',
      `a run can be ${MAX_DEPTH} levels below another, this would be level ${depth}`,
    )
  const { data: asked, error } = resolvedInputs.workflow.safeParse(input)
  if (asked === undefined) {
    const said = error.issues.map(({ path, message }) => [...path, message].join(': '))
    return refusal('INPUT_INVALID', `with: ${said.join('; ')}`)
  }
  try {
    const chosen = await chooseVersion(handle, namespace, asked)
    const child = childOf(called)
    const trigger = { kind: 'workflow', by: `execution:${executionId}`, ...nominalTimeOf(parent.run) } as const
    const labels = { ...chosen.definition.labels, ...parent.run.labels }
    const about = { namespace, executionId: child, labels, priority, trigger, fingerprint: '', at: context.at }
    const command = {
      type: 'StartExecution',
      ...about,
      ...chosen,
      parent: { executionId, stage, attempt, depth },
    } as const
    await handle(executionDecider, executionStream(child), command, context)
    return undefined
  } catch (error) {
    if (!(error instanceof Rejected)) throw error
    const faults = error.faults.map(({ pointer, message }) => `${pointer}: ${message}`)
    return refusal(error.code, [error.message, ...faults].join('; '))
  }
}

const refusal = (code: string, message: string): StageError => ({
  code,
  message: boundedText(message, 4_096),
  retryable: false,
})

function asksToStop(parent: Execution, id: string): boolean {
  if (parent.status === 'none') return false
  const stage = parent.stages[parent.run.graph.indexOf(id)]
  return parent.status === 'cancelling' || (stage?.status === 'running' && stage.stopping !== undefined)
}

function outcomeOf(ended: RecordedEvent<ExecutionEvent>, child: string, isStopping: boolean) {
  switch (ended.type) {
    case 'ExecutionCompleted':
      return { type: 'CompleteStage', output: ended.data.output ?? null } as const
    case 'ExecutionFailed': {
      const message = boundedText(`the execution ${child} failed: ${ended.data.error.message}`, 4_096)
      return {
        type: 'FailStage',
        error: { code: 'WORKFLOW_FAILED', message, details: { executionId: child } },
      } as const
    }
    case 'ExecutionCancelled': {
      if (isStopping) return { type: 'StopStage' } as const
      const message = boundedText(`the execution ${child} was cancelled: ${ended.data.reason}`, 4_096)
      const details = { executionId: child }
      return { type: 'FailStage', error: { code: 'CANCELLED', message, retryable: false, details } } as const
    }
    default:
      throw new Error(`${ended.type} is not how a run ends`)
  }
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof Rejected)) throw error
}
