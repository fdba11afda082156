// Work as a record of a topic, and what a record has to be to be taken for work.
import { z } from 'zod'
import type { Work } from '../../domain/execution/work.ts'
import type { StoredRecord } from '../kafka/client.ts'
import type { Outgoing } from '../kafka/sender.ts'
import { topicOf } from './kafka-topics.ts'

const VERSION = '1'
/** Of a record's value. Topics take a little more, for what stands around it. */
export const MAX_WORK_BYTES = 8_388_608
/** So much of what cannot be read is kept with the dead letters. */
const KEPT_BYTES = 1_024

/** Members that are not named here are for who takes the work; a version says when they mean something else. */
const schema = z.looseObject({
  id: z.string().regex(/^execution-.+:\d+:\d+$/),
  namespace: z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/),
  executionId: z.string().min(1),
  scheduledAt: z.iso.datetime(),
  eventId: z.string().min(1),
  stage: z.string().min(1),
  attempt: z.int().min(1),
  queue: z.string().min(1),
  handler: z.string().min(1),
  input: z.record(z.string(), z.unknown()),
  timeoutMs: z.number().min(0),
  priority: z.number(),
  traceparent: z.string().max(128).optional(),
})

/** `work` waits for a worker; `withdrawn` takes back what stands before it under an id; what is `bad` is neither. */
export type Incoming =
  | { readonly kind: 'work'; readonly work: Work; readonly bytes: number }
  | { readonly kind: 'withdrawn'; readonly id: string }
  | { readonly kind: 'bad'; readonly reason: string }

export function workMessage(prefix: string, work: Work, nowMs: number): Outgoing {
  return {
    topic: topicOf(prefix, work.queue),
    key: work.executionId,
    value: JSON.stringify(work),
    timestamp: String(nowMs),
    headers: { ...head('work', work.id), namespace: work.namespace, 'scheduled-at': work.scheduledAt },
  }
}

const head = (kind: string, id: string) => ({ kind, version: VERSION, id })

/** Undefined where nothing can have been published under the id. It goes where the work went, since it has the same key. */
export function withdrawal(topic: string, id: string, nowMs: number): Outgoing | undefined {
  const executionId = executionOf(id)
  if (executionId === undefined) return undefined
  return { topic, key: executionId, value: null, timestamp: String(nowMs), headers: head('withdrawn', id) }
}

const executionOf = (id: string): string | undefined => /^execution-(.+):\d+:\d+$/.exec(id)?.[1]

/** What a record says of itself, without its value being looked at. */
export function headOf({ headers }: Pick<StoredRecord, 'headers'>) {
  const text = (name: string) => headers[name]?.toString()
  return { kind: text('kind'), version: text('version'), id: text('id'), scheduledAt: text('scheduled-at'), text }
}

export function parse(record: StoredRecord, prefix: string, topic: string): Incoming {
  const { kind, version, id, text } = headOf(record)
  if (version !== VERSION) return bad(`unknown version ${quoted(version)}`)
  if (kind === 'withdrawn' && id !== undefined) return { kind, id }
  if (kind !== 'work') return bad(`unknown kind ${quoted(kind)}`)
  const { value } = record
  if (value === null) return bad('no value')
  if (value.length > MAX_WORK_BYTES) return bad(`${value.length} bytes, the limit is ${MAX_WORK_BYTES}`)
  const parsed = schema.safeParse(jsonOf(value))
  if (!parsed.success) return bad(faultOf(value, parsed.error))
  const work = parsed.data as unknown as Work
  const forged =
    claim('id', work.id, id) ??
    claim('id', work.id.replace(/:\d+:\d+$/, ''), `execution-${work.executionId}`) ??
    claim('key', work.executionId, record.key?.toString()) ??
    claim('namespace', work.namespace, text('namespace')) ??
    claim('topic', topicOf(prefix, work.queue), topic)
  return forged ?? { kind, work, bytes: value.length }
}

const bad = (reason: string): Incoming => ({ kind: 'bad', reason: `malformed: ${reason}` })

const quoted = (text: string | undefined): string => (text === undefined ? 'none' : JSON.stringify(text.slice(0, 80)))

/** What stands in a message twice has to be the same: nobody else's work is slipped in under a namespace, run or queue. */
const claim = (what: string, said: string, meant: string | undefined): Incoming | undefined =>
  said === meant ? undefined : bad(`the ${what} is ${quoted(said)} and ${quoted(meant)}`)

function jsonOf(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString())
  } catch {
    return undefined
  }
}

function faultOf(value: Buffer, error: z.ZodError): string {
  if (jsonOf(value) === undefined) return 'not JSON'
  const { path, message } = error.issues[0]!
  return `${path.join('/') || 'the value'}: ${message}`
}

/** What nobody is to be given again, with where it came from and why. */
export function deadLetter(
  topic: string,
  from: { readonly topic: string; readonly partition: number; readonly record: StoredRecord },
  reason: string,
): Outgoing {
  const { record } = from
  const isWhole = record.value === null || record.value.length <= MAX_WORK_BYTES
  const headers: Record<string, string> = { reason: reason.slice(0, 2_000), topic: from.topic, offset: record.offset }
  for (const name of ['kind', 'version', 'id', 'namespace']) {
    const value = record.headers[name]
    if (value !== undefined) headers[name] = value.toString().slice(0, 300)
  }
  return {
    topic,
    key: record.key,
    value: isWhole ? record.value : record.value!.subarray(0, KEPT_BYTES),
    headers: { ...headers, partition: String(from.partition) },
  }
}

/** What stands in the topic of dead letters: work where it is some, and always why. */
export function readDeadLetter(record: StoredRecord): { work?: Work; reason: string } {
  const reason = headOf(record).text('reason') ?? 'no reason'
  const parsed =
    record.value === null || reason.startsWith('malformed: ') ? undefined : schema.safeParse(jsonOf(record.value))
  return parsed?.success ? { work: parsed.data as unknown as Work, reason } : { reason }
}
