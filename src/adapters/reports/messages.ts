// What workers send, as records of a topic: reports of attempts by execution id, news of themselves by worker id.
import { z } from 'zod'
import type { ReportedWork, WorkerReport } from '../../ports/stage-reports.ts'
import type { WorkerNews } from '../../ports/worker-registry.ts'
import type { StoredRecord } from '../kafka/client.ts'
import type { Outgoing } from '../kafka/sender.ts'

const VERSION = '1'
/** Outputs are bounded where they are made; whatever is larger than this was not made by a worker. */
export const MAX_REPORT_BYTES = 2_097_152

export const reportTopic = (prefix: string): string => `${prefix}.reports`
export const deadReportTopic = (prefix: string): string => `${prefix}.reports.dead-letter`

export type Incoming =
  | { readonly kind: 'report'; readonly work: ReportedWork; readonly report: WorkerReport }
  | { readonly kind: 'news'; readonly workerId: string; readonly news: WorkerNews }
  | { readonly kind: 'bad'; readonly reason: string }

const at = z.iso.datetime()
const stage = { stage: z.string().min(1), attempt: z.int().min(0), at, worker: z.string().min(1) }
const report = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('StartStage'), ...stage }),
  z.looseObject({ type: z.literal('CheckpointStage'), ...stage, sequence: z.int(), state: z.json() }),
  z.looseObject({ type: z.literal('CompleteStage'), ...stage, output: z.json() }),
  z.looseObject({ type: z.literal('FailStage'), ...stage, error: z.looseObject({ code: z.string() }) }),
  z.looseObject({ type: z.literal('StopStage'), ...stage }),
  z.looseObject({ type: z.literal('LoseStage'), ...stage, error: z.looseObject({ code: z.string() }) }),
])
const work = z.looseObject({
  namespace: z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/),
  executionId: z.uuid(),
  eventId: z.uuid(),
  stage: z.string().min(1),
  attempt: z.int().min(0),
  traceparent: z.string().max(128).optional(),
})
const schemas = {
  report: z.looseObject({ work, report }),
  news: z.looseObject({
    workerId: z.string().min(1).max(128),
    news: z.discriminatedUnion('type', [
      z.looseObject({ type: z.literal('RegisterWorker'), at, registration: z.looseObject({}) }),
      z.looseObject({ type: z.literal('DrainWorker'), at, graceMs: z.number() }),
      z.looseObject({ type: z.literal('StopWorker'), at, interrupted: z.int() }),
    ]),
  }),
} as const

export function reportMessage(prefix: string, of: ReportedWork, said: WorkerReport): Outgoing {
  const { namespace, executionId, eventId, stage, attempt, traceparent } = of
  const sent = {
    namespace,
    executionId,
    eventId,
    stage,
    attempt,
    ...(traceparent === undefined ? {} : { traceparent }),
  }
  return message(prefix, 'report', executionId, { work: sent, report: said })
}

export const newsMessage = (prefix: string, workerId: string, news: WorkerNews): Outgoing =>
  message(prefix, 'news', workerId, { workerId, news })

const message = (prefix: string, kind: string, key: string, value: object): Outgoing => ({
  ...{ topic: reportTopic(prefix), key, value: JSON.stringify(value) },
  headers: { kind, version: VERSION },
})

export function parse({ key, value, headers }: StoredRecord): Incoming {
  const [kind, version] = [headers.kind?.toString(), headers.version?.toString()]
  if (version !== VERSION) return bad(`unknown version ${quoted(version)}`)
  if (kind !== 'report' && kind !== 'news') return bad(`unknown kind ${quoted(kind)}`)
  if (value === null) return bad('no value')
  if (value.length > MAX_REPORT_BYTES) return bad(`${value.length} bytes, the limit is ${MAX_REPORT_BYTES}`)
  const parsed = schemas[kind].safeParse(jsonOf(value))
  if (!parsed.success) {
    const { path, message: said } = parsed.error.issues[0]!
    return bad(`${path.join('/') || 'the value'}: ${said}`)
  }
  const read = parsed.data as unknown as {
    work: ReportedWork
    report: WorkerReport
    workerId: string
    news: WorkerNews
  }
  const owner = kind === 'report' ? read.work.executionId : read.workerId
  if (owner !== key?.toString()) return bad(`the key is ${quoted(key?.toString())} and it is about ${quoted(owner)}`)
  if (kind === 'news') return { kind, workerId: read.workerId, news: read.news }
  const { work: of, report: said } = read
  if (of.stage !== said.stage || of.attempt !== said.attempt) return bad('the report is about another attempt')
  return { kind, work: of, report: said }
}

const bad = (reason: string): Incoming => ({ kind: 'bad', reason: `malformed: ${reason}` })
const quoted = (text: string | undefined): string => (text === undefined ? 'none' : JSON.stringify(text.slice(0, 80)))

function jsonOf(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString())
  } catch {
    return undefined
  }
}
