import { boundedText } from '../domain/bounded-text.ts'
import { executionDecider } from '../domain/execution/decide.ts'
import { executionStream } from '../domain/execution/events.ts'
import { isOpen } from '../domain/execution/state.ts'
import { Rejected } from '../domain/rejected.ts'
import type { AskedSpec, ScheduleCommand } from '../domain/schedule/commands.ts'
import { type RunOutcome, scheduleStream } from '../domain/schedule/events.ts'
import type { KnownSchedule, OpenRun } from '../domain/schedule/state.ts'
import type { Clock } from '../ports/clock.ts'
import type { Context, Handle } from './handle.ts'
import { newId } from './new-id.ts'
import { scheduleDecider } from './schedule-decider.ts'
import { chooseVersion } from './start-execution.ts'

/** A schedule by name, and the id of the event that makes something be done about it. */
export type ScheduleRef = { readonly namespace: string; readonly name: string; readonly causationId: string }

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

/** What the scheduler does. Each of these may be done again: what has been done already adds no event. */
export function createScheduledRuns({ handle, clock }: { handle: Handle; clock: Clock }) {
  const contextFor = ({ namespace, causationId }: ScheduleRef, correlationId: string): Context => ({
    namespace,
    correlationId,
    causationId,
    actor: 'system:scheduler',
    at: new Date(clock.now()).toISOString(),
  })
  const tell = async (ref: ScheduleRef, command: Without<ScheduleCommand, 'at'>, correlationId = newId()) => {
    const context = contextFor(ref, correlationId)
    const timed = { ...command, at: context.at } as ScheduleCommand
    await handle(scheduleDecider, scheduleStream(ref.namespace, ref.name), timed, context)
  }
  const recordEnd = (ref: ScheduleRef, executionId: string, outcome: RunOutcome): Promise<void> =>
    tell(ref, { type: 'RecordRunEnd', executionId, outcome }, executionId)

  /** @throws Rejected where the workflow cannot be started like this */
  async function begin(ref: ScheduleRef, spec: KnownSchedule['spec'], { nominalAt, executionId }: OpenRun) {
    const { namespace, name } = ref
    const { workflow, version, input } = spec
    const asked = { workflow, version, ...(input === undefined ? {} : { input }) }
    const chosen = await chooseVersion(handle, namespace, asked)
    const context = contextFor(ref, executionId)
    const trigger = { kind: 'schedule', by: `schedule:${name}`, nominalAt } as const
    const labels = { ...chosen.definition.labels, ...spec.labels, schedule: name }
    const about = { namespace, executionId, trigger, labels, priority: spec.priority, fingerprint: '', at: context.at }
    const command = { type: 'StartExecution', ...about, ...chosen } as const
    await handle(executionDecider, executionStream(executionId), command, context)
  }

  return {
    recordEnd,

    fireDue: (ref: ScheduleRef): Promise<void> => tell(ref, { type: 'FireDue' }),

    /**
     * Starts the run of a nominal time, or records why it cannot be started. One that has run before, as a backfill
     * can ask for, is not run again: how it ended then is how it ends now.
     */
    async start(ref: ScheduleRef, spec: KnownSchedule['spec'], run: OpenRun): Promise<void> {
      const { executionId } = run
      const { state } = await handle.load(executionDecider, executionStream(executionId))
      if (state.status !== 'none') {
        if (!isOpen(state)) await recordEnd(ref, executionId, state.status)
        return
      }
      try {
        await begin(ref, spec, run)
      } catch (error) {
        if (!(error instanceof Rejected)) throw error
        await tell(ref, { type: 'RefuseRun', executionId, error: refusalOf(error) }, executionId)
      }
    },

    /** What has ended by itself needs no cancelling. */
    async cancel(ref: ScheduleRef, executionId: string): Promise<void> {
      const context = contextFor(ref, executionId)
      const reason = `the schedule ${ref.name} starts the next run`
      const command = { type: 'CancelExecution', reason, at: context.at } as const
      await handle(executionDecider, executionStream(executionId), command, context).catch(ignoreRefusal)
    },

    /** Of the definition of a workflow. @throws Rejected where no time of it is to come */
    define: (ref: ScheduleRef, spec: AskedSpec): Promise<void> =>
      tell(ref, {
        type: 'DefineSchedule',
        namespace: ref.namespace,
        name: ref.name,
        spec,
        definedBy: spec.workflow,
      }),

    /** The definition of its workflow has it no more. */
    async remove(ref: ScheduleRef, definedBy: string, reason: string): Promise<void> {
      await tell(ref, { type: 'DeleteSchedule', definedBy, reason }).catch(ignoreRefusal)
    },
  }
}

export type ScheduledRuns = ReturnType<typeof createScheduledRuns>

function refusalOf({ code, message, faults }: Rejected): { code: string; message: string } {
  const said = faults.map((fault) => `${fault.pointer}: ${fault.message}`)
  return { code, message: boundedText([message, ...said].join('; '), 4_096) }
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof Rejected)) throw error
}
