import { z } from 'zod'
import type { ExecutionCommand } from '../domain/execution/commands.ts'
import { executionDecider } from '../domain/execution/decide.ts'
import { type ExecutionEvent, executionStream } from '../domain/execution/events.ts'
import type { Json, RecordedEvent } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import type { EventStore } from '../ports/event-store.ts'
import { type Caller, contextOf } from './caller.ts'
import { derivedId, fingerprint } from './fingerprint.ts'
import type { Handle } from './handle.ts'
import { newId } from './new-id.ts'

const text = z.string().min(1).max(1_024)

/** Why somebody asks for it. */
export const reasonBody = z.strictObject({ reason: text.optional() })
export type ReasonBody = z.infer<typeof reasonBody>

/** What an approver has to say about it. */
export const answerBody = z.strictObject({ comment: text.optional() })
export type AnswerBody = z.infer<typeof answerBody>

/** `with`: members that take the place of those in the stage's `with`, in this attempt and those after it. */
export const retryStageBody = z.strictObject({
  with: z.record(z.string(), z.custom<Json>()).optional(),
  comment: text.optional(),
})
export type RetryStageBody = z.infer<typeof retryStageBody>

/** A payload is part of an event, and may become the output of a stage. */
const MAX_PAYLOAD_BYTES = 262_144

export type Controlled = { readonly id: string; readonly revision: number; readonly position: number }
/** `added` is false for an exact repeat. */
type Done = Controlled & { readonly added: boolean }

/** What people may do to a run that is there, in the caller's namespace. */
export function createControlExecution({ handle, store }: { handle: Handle; store: EventStore }) {
  const control = async (caller: Caller, id: string, command: (at: string) => ExecutionCommand): Promise<Done> => {
    await requireExecution(store, caller.namespace, id)
    const context = contextOf(caller, id)
    const done = await handle(executionDecider, executionStream(id), command(context.at), context)
    return { id, revision: done.revision, position: done.position, added: done.events.length > 0 }
  }
  const because = ({ reason = 'no reason given' }: ReasonBody) => reason
  const answer =
    (type: 'ApproveStage' | 'RejectStage') => (caller: Caller, id: string, stage: string, body: AnswerBody) =>
      control(caller, id, (at) => ({
        type,
        stage,
        at,
        by: caller.actor,
        groups: caller.groups ?? [],
        ...defined(body),
      }))
  return {
    /** Asks a run to end; what runs of it gets its grace period. */
    cancel: (caller: Caller, id: string, body: ReasonBody) =>
      control(caller, id, (at) => ({ type: 'CancelExecution', reason: because(body), at })),
    /** Nothing new of the run starts; what runs finishes. */
    pause: (caller: Caller, id: string, body: ReasonBody) =>
      control(caller, id, (at) => ({ type: 'PauseExecution', reason: because(body), at })),
    resume: (caller: Caller, id: string, body: ReasonBody) =>
      control(caller, id, (at) => ({ type: 'ResumeExecution', reason: because(body), at })),
    /** Gives a signal to the stage that waits for it, or keeps it for one that will. A repeated key is one signal. */
    async signal(
      caller: Caller,
      id: string,
      name: string,
      payload: Json,
      idempotencyKey?: string,
    ): Promise<Controlled> {
      const bytes = Buffer.byteLength(JSON.stringify(payload))
      if (bytes > MAX_PAYLOAD_BYTES)
        throw new Rejected('EVENT_TOO_LARGE', `the payload has ${bytes} bytes, the limit is ${MAX_PAYLOAD_BYTES}`)
      const signal = idempotencyKey === undefined ? newId() : derivedId(['signal', id, name, idempotencyKey])
      const done = await control(caller, id, (at) => ({ type: 'ReceiveSignal', id: signal, name, payload, at }))
      if (!done.added) await requireSamePayload(store, id, signal, payload)
      return done
    },
    approve: answer('ApproveStage'),
    reject: answer('RejectStage'),
    /** Makes the next attempt of a stage that failed, or waits to be retried, start at once; its siblings stay as they are. */
    retryStage: (caller: Caller, id: string, stage: string, body: RetryStageBody) =>
      control(caller, id, (at) => ({ type: 'RetryStage', by: 'person', stage, at, ...defined(body) })),
    /** Passes a stage over; those that need it go on as though it had succeeded. */
    skipStage: (caller: Caller, id: string, stage: string, body: ReasonBody) =>
      control(caller, id, (at) => ({ type: 'SkipStage', stage, reason: because(body), at })),
    /** Gives up a stage that failed and waits for a person's word. */
    failStage: (caller: Caller, id: string, stage: string, body: ReasonBody) =>
      control(caller, id, (at) => ({ type: 'AbandonStage', stage, reason: because(body), at })),
  }
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> }

/** Without the members that are there and undefined, which an event would not have. */
const defined = <T extends object>(body: T): Defined<T> =>
  Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as Defined<T>

/** @throws Rejected IDEMPOTENCY_KEY_REUSED where the signal that the run has received was another one */
async function requireSamePayload(store: EventStore, id: string, signal: string, payload: Json): Promise<void> {
  const print = fingerprint(payload)
  for await (const events of store.readStream(executionStream(id)))
    for (const { type, data } of events as readonly RecordedEvent<ExecutionEvent>[])
      if (type === 'SignalReceived' && data.id === signal && fingerprint(data.payload) !== print)
        throw new Rejected('IDEMPOTENCY_KEY_REUSED', 'this idempotency key sent another payload; use a new key')
}

/** @throws Rejected EXECUTION_UNKNOWN, also where the run is another namespace's: its existence is not told */
async function requireExecution(store: EventStore, namespace: string, id: string): Promise<void> {
  for await (const [first] of store.readStream(executionStream(id), { limit: 1 }))
    if (first?.metadata.namespace === namespace) return
  throw new Rejected('EXECUTION_UNKNOWN', `there is no execution ${id} in namespace ${namespace}`)
}
