import { z } from 'zod'
import type { StartExecution } from '../domain/execution/commands.ts'
import { concurrencyOf } from '../domain/execution/concurrency.ts'
import { executionDecider } from '../domain/execution/decide.ts'
import { executionStream } from '../domain/execution/events.ts'
import { type Execution, isOpen } from '../domain/execution/state.ts'
import type { Json } from '../domain/message.ts'
import { poolDecider } from '../domain/pool/decide.ts'
import { groupStream } from '../domain/pool/events.ts'
import { Rejected } from '../domain/rejected.ts'
import { workflowDecider } from '../domain/workflow/decide.ts'
import { workflowStream } from '../domain/workflow/events.ts'
import { versionToRun } from '../domain/workflow/state.ts'
import type { EventStore } from '../ports/event-store.ts'
import { type Caller, contextOf } from './caller.ts'
import { executionIdFor, fingerprint, groupIdFor } from './fingerprint.ts'
import type { Handle } from './handle.ts'
import { compileInputSchema } from './input-schema.ts'
import { newId } from './new-id.ts'

/** `labels` has at most 32 entries; `priority` is -100 to 100, higher first. */
export const startExecutionBody = z.strictObject({
  workflow: z.string().min(1).max(63),
  version: z.int().min(1).optional(),
  /** Whatever it is, the workflow's input schema judges it; that it is bounded JSON is checked where the body is read. */
  input: z.custom<Json>().optional(),
  labels: z
    .record(z.string().regex(/^[a-zA-Z][a-zA-Z0-9._-]{0,62}$/), z.string().max(256))
    .refine((labels) => Object.keys(labels).length <= 32, 'at most 32 labels')
    .optional(),
  priority: z.int().min(-100).max(100).optional(),
})
export type StartExecutionBody = z.infer<typeof startExecutionBody>

export type Started = { readonly id: string; readonly position: number }

/** Starts a run of the workflow's newest or a named version. The same key with the same body answers as the first time. */
export function createStartExecution({ handle, store }: { handle: Handle; store: EventStore }) {
  return async (caller: Caller, body: StartExecutionBody, idempotencyKey?: string): Promise<Started> => {
    const { namespace } = caller
    const name = body.workflow
    const executionId = idempotencyKey === undefined ? newId() : executionIdFor(namespace, name, idempotencyKey)
    // Only a key can make two requests meet in one stream, so only then must they be told apart.
    const print = idempotencyKey === undefined ? '' : fingerprint(body as Json)
    if (idempotencyKey !== undefined) {
      const { state } = await handle.load(executionDecider, executionStream(executionId))
      if (state.status !== 'none') return repeatedStart(store, state, print, executionId)
    }
    const chosen = await chooseVersion(handle, namespace, body)
    await requireRoom(handle, { ...chosen, namespace, executionId, trigger: { kind: 'api', by: caller.actor } })
    const context = contextOf(caller, executionId)
    const { position, events } = await handle(
      executionDecider,
      executionStream(executionId),
      {
        type: 'StartExecution',
        at: context.at,
        namespace,
        executionId,
        ...chosen,
        trigger: { kind: 'api', by: caller.actor },
        labels: { ...chosen.definition.labels, ...body.labels },
        priority: body.priority ?? 0,
        fingerprint: print,
      },
      context,
    )
    return events.length > 0 ? { id: executionId, position } : repeatedStart(store, undefined, print, executionId)
  }
}

/**
 * Tells a caller at once what would otherwise become of the run: two that start at the same moment may both find room, and the
 * allocator then cancels one of them.
 * @throws Rejected CONCURRENCY_LIMIT where the workflow says that a run which finds its group full is not wanted
 */
async function requireRoom(handle: Handle, beginning: Parameters<typeof concurrencyOf>[0]): Promise<void> {
  if (beginning.definition.concurrency?.onConflict !== 'reject') return
  const { group, limit } = concurrencyOf(beginning)!
  const { state } = await handle.load(poolDecider, groupStream(beginning.namespace, groupIdFor(group)))
  if (state.status === 'undefined' || state.inUse.slots < limit) return
  // What has ended holds its place until the allocator has read so.
  const held = state.held.list().map(({ holder }) => handle.load(executionDecider, executionStream(holder.executionId)))
  const open = (await Promise.all(held)).filter((run) => isOpen(run.state))
  if (open.length < limit) return
  const message = `${open.length} runs of the concurrency group ${group} are under way, and its limit is ${limit}`
  throw new Rejected('CONCURRENCY_LIMIT', `${message}; start it again when one has ended`)
}

/**
 * What a run of the newest or the named version is started with.
 * @throws Rejected WORKFLOW_UNKNOWN, WORKFLOW_RETIRED, WORKFLOW_VERSION_UNKNOWN, INPUT_INVALID
 */
export async function chooseVersion(
  handle: Handle,
  namespace: string,
  asked: Pick<StartExecutionBody, 'workflow' | 'version' | 'input'>,
): Promise<Pick<StartExecution, 'workflow' | 'version' | 'definition' | 'input'>> {
  const { workflow, input = {} } = asked
  const { state } = await handle.load(workflowDecider, workflowStream(namespace, workflow))
  const { version, definition, inputSchema } = versionToRun(state, asked.version)
  const faults = inputSchema ? compileInputSchema(inputSchema)(input) : []
  if (faults.length > 0)
    throw new Rejected('INPUT_INVALID', `the input does not fit ${workflow} version ${version}`, faults)
  return { workflow, version, definition, input }
}

/** The first answer again: the position of the last event of the append that started the run. */
export async function repeatedStart(
  store: EventStore,
  state: Execution | undefined,
  print: string,
  id: string,
): Promise<Started> {
  if (state && state.status !== 'none' && state.run.fingerprint !== print)
    throw new Rejected(
      'IDEMPOTENCY_KEY_REUSED',
      'this idempotency key started a run with another request; use a new key',
    )
  let position = -1
  let commandId: string | undefined
  for await (const events of store.readStream(executionStream(id))) {
    for (const event of events) {
      commandId ??= event.metadata.commandId
      if (event.metadata.commandId !== commandId) return { id, position }
      position = event.position
    }
  }
  return { id, position }
}
