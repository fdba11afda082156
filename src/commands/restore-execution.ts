import { z } from 'zod'
import { executionDecider } from '../domain/execution/decide.ts'
import { type ExecutionEvent, type ExecutionEventOf, executionStream } from '../domain/execution/events.ts'
import { type Origin, type Overrides, restore, revisionAt } from '../domain/execution/restore.ts'
import { type Execution, isOpen, nominalTimeOf } from '../domain/execution/state.ts'
import type { Json } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import { upcast } from '../domain/upcast.ts'
import { workflowDecider } from '../domain/workflow/decide.ts'
import { workflowStream } from '../domain/workflow/events.ts'
import { versionToRun, type WorkflowVersion } from '../domain/workflow/state.ts'
import type { EventStore } from '../ports/event-store.ts'
import { type Caller, contextOf } from './caller.ts'
import { derivedId, fingerprint } from './fingerprint.ts'
import type { Handle } from './handle.ts'
import { compileInputSchema } from './input-schema.ts'
import { newId } from './new-id.ts'
import { repeatedStart, type Started } from './start-execution.ts'

const json = z.custom<Json>()

/**
 * Where to go on from, and what is to be otherwise. Without a place it is where the run stands now: what completed stays
 * completed, what failed begins again.
 */
export const restoreExecutionBody = z
  .strictObject({
    revision: z.int().min(0).optional().meta({ description: 'As the run was after the event at this revision.' }),
    stage: z
      .string()
      .max(255)
      .optional()
      .meta({ description: 'At the latest checkpoint of this stage, or before it began.' }),
    checkpoint: z.int().min(1).optional().meta({ description: 'At the checkpoint of `stage` with this number.' }),
    overrides: z
      .strictObject({
        input: json.optional(),
        version: z.int().min(1).optional().meta({ description: 'Of the workflow, in place of the one that ran.' }),
        stages: z
          .record(
            z.string(),
            z.strictObject({
              with: z
                .record(z.string(), json)
                .optional()
                .meta({ description: 'Members in place of those in its `with`.' }),
              output: json.optional().meta({ description: 'Taken as its output; it does not run.' }),
            }),
          )
          .optional(),
      })
      .optional(),
  })
  .refine(({ stage, checkpoint }) => checkpoint === undefined || stage !== undefined, {
    error: '`checkpoint` is one of a `stage`',
    path: ['stage'],
  })
export type RestoreExecutionBody = z.infer<typeof restoreExecutionBody>

/** Starts a run that goes on from another one, which stays as it is. */
export function createRestoreExecution({ handle, store }: { handle: Handle; store: EventStore }) {
  return async (
    caller: Caller,
    origin: string,
    body: RestoreExecutionBody,
    idempotencyKey?: string,
  ): Promise<Started> => {
    const { namespace } = caller
    const id = idempotencyKey === undefined ? newId() : derivedId(['restore', namespace, origin, idempotencyKey])
    const print = idempotencyKey === undefined ? '' : fingerprint(body as Json)
    if (idempotencyKey !== undefined) {
      const { state } = await handle.load(executionDecider, executionStream(id))
      if (state.status !== 'none') return repeatedStart(store, state, print, id)
    }
    const events = await eventsOf(store, namespace, origin)
    const revision = revisionAt(events, defined(body))
    const from = fold(events.slice(0, revision + 1))
    const { run } = from.state
    const { input: newInput, version, stages = {} } = body.overrides ?? {}
    const chosen = await versionOf(namespace, run, version)
    const input = newInput ?? run.input
    if (version !== undefined || newInput !== undefined) requireInput(chosen, input)
    const base = version === undefined ? undefined : chosen.definition
    const { definition, restored } = restore(from, base, stages as Overrides)
    const context = contextOf(caller, id)
    const { position, events: written } = await handle(
      executionDecider,
      executionStream(id),
      {
        type: 'StartExecution',
        at: context.at,
        namespace,
        executionId: id,
        workflow: run.workflow,
        version: version ?? run.version,
        definition,
        input,
        trigger: { kind: 'restore', by: caller.actor, ...nominalTimeOf(run) },
        labels: run.labels,
        priority: run.priority,
        fingerprint: print,
        restoredFrom: { executionId: origin, revision },
        restored,
      },
      context,
    )
    return written.length > 0 ? { id, position } : repeatedStart(store, undefined, print, id)
  }

  /** @throws Rejected where none of its versions may start, as of a workflow that is retired */
  async function versionOf(namespace: string, run: Origin['state']['run'], version = run.version) {
    const { state } = await handle.load(workflowDecider, workflowStream(namespace, run.workflow))
    return versionToRun(state, version)
  }
}

function requireInput({ inputSchema, version }: WorkflowVersion, input: Json): void {
  const faults = inputSchema ? compileInputSchema(inputSchema)(input) : []
  const placed = faults.map((fault) => ({ ...fault, pointer: `/overrides${fault.pointer}` }))
  if (placed.length > 0) throw new Rejected('INPUT_INVALID', `the input does not fit version ${version}`, placed)
}

/** @throws Rejected EXECUTION_UNKNOWN, also where the run is another namespace's */
async function eventsOf(store: EventStore, namespace: string, id: string): Promise<readonly ExecutionEvent[]> {
  const found: ExecutionEvent[] = []
  for await (const events of store.readStream(executionStream(id))) {
    if (events[0]?.metadata.namespace !== namespace) break
    found.push(...(events.map(upcast) as unknown as ExecutionEvent[]))
  }
  if (found.length > 0) return found
  throw new Rejected('EXECUTION_UNKNOWN', `there is no execution ${id} in namespace ${namespace}`)
}

/** That a run has ended changes nothing of its stages, and would hide what they could still have taken. */
function fold(events: readonly ExecutionEvent[]): Origin {
  let state: Execution = executionDecider.initialState
  for (const event of events) {
    const next = executionDecider.evolve(state, event)
    if (isOpen(next)) state = next
  }
  if (!isOpen(state)) throw new Error('a stream of events folds to a run')
  const generated = events.filter(
    (event): event is ExecutionEventOf<'StagesGenerated'> => event.type === 'StagesGenerated',
  )
  return { state, generated: generated.map(({ type, data }) => ({ type, data })) }
}

const defined = ({ revision, stage, checkpoint }: RestoreExecutionBody) => ({
  ...(revision === undefined ? {} : { revision }),
  ...(stage === undefined ? {} : { stage }),
  ...(checkpoint === undefined ? {} : { checkpoint }),
})
