// Reports over Kafka: a worker needs no more than the brokers to say what it does, and engines share the topic between them.
import { setTimeout as pass } from 'node:timers/promises'
import { type Logger, loggedOf } from '../../ports/logger.ts'
import type { ReportedWork, StageReports, WorkerReport } from '../../ports/stage-reports.ts'
import type { WorkerNews, WorkerRegistry } from '../../ports/worker-registry.ts'
import type { StoredRecord } from '../kafka/client.ts'
import { Ledger } from '../kafka/ledger.ts'
import { type Member, startMember } from '../kafka/member.ts'
import { openTopics, weekly } from '../kafka/open-topics.ts'
import type { KafkaSettings } from '../kafka/url.ts'
import { deadReportTopic, MAX_REPORT_BYTES, newsMessage, parse, reportMessage, reportTopic } from './messages.ts'

const AGAIN_MS = 500
const COMMIT_EVERY_MS = 250
/** So many reports are held; beyond that the rest stays with the brokers. */
const MOST_HELD = 2_000

type Deps = { readonly settings: KafkaSettings; readonly logger: Logger }

export type SentReports = { readonly reports: StageReports; readonly registry: WorkerRegistry; close(): Promise<void> }

/** The side of the worker. @throws when no broker can be reached */
export async function connectReports(deps: Deps): Promise<SentReports> {
  const { prefix } = deps.settings
  const { sender, close } = await openTopics(deps, { [reportTopic(prefix)]: weekly(MAX_REPORT_BYTES) })
  return {
    reports: {
      async report(work, report) {
        await sender.send([reportMessage(prefix, work, report)])
        return 'sent'
      },
    },
    registry: {
      async report(workerId, news) {
        await sender.send([newsMessage(prefix, workerId, news)])
        return 'sent'
      },
    },
    close,
  }
}

export type ReportTaking = Deps & {
  /** After this an engine that is not heard of loses its reports to others. */
  readonly sessionMs?: number
  /** A report over whose content the program stumbles so often is put aside. */
  readonly mostTries?: number
  /** Rejects where the log cannot be written; then the report is taken again, and what is about the same run waits. */
  report(work: ReportedWork, report: WorkerReport): Promise<void>
  news(workerId: string, news: WorkerNews): Promise<void>
}

/** The side of an engine: of one run one report after another, of different runs many at once. @throws when no broker can be reached */
export async function takeReports(options: ReportTaking): Promise<{ close(): Promise<void> }> {
  const { settings, logger, sessionMs = 10_000, mostTries = 20 } = options
  const [topic, dead] = [reportTopic(settings.prefix), deadReportTopic(settings.prefix)]
  const topics = { [topic]: weekly(MAX_REPORT_BYTES), [dead]: weekly(MAX_REPORT_BYTES, 1) }
  const { sender, close } = await openTopics(options, topics)
  /** The last of what is under way by key. */
  const tails = new Map<string, Promise<void>>()
  let partitions = new Map<number, Ledger>()
  let held = 0
  let isPaused = false
  let closed = false

  function take(partition: number, record: StoredRecord): void {
    const ledger = partitions.get(partition)!
    const offset = Number(record.offset)
    if (!ledger.arrived(offset)) return
    held++
    const key = record.key?.toString() ?? ''
    const tail = (tails.get(key) ?? Promise.resolve())
      .then(() => handle(partition, record))
      .then((isDone) => {
        if (isDone) ledger.done(offset)
        held--
        if (tails.get(key) === tail) tails.delete(key)
        if (isPaused && held < MOST_HELD / 2) resume()
      })
    tails.set(key, tail)
  }

  function resume(): void {
    isPaused = false
    member.resume()
  }

  /** Until it is done; false where it is not, since the engine ends. */
  async function handle(partition: number, record: StoredRecord): Promise<boolean> {
    const incoming = parse(record)
    for (let tries = 1; !closed; tries++) {
      try {
        if (incoming.kind === 'report') await options.report(incoming.work, incoming.report)
        else if (incoming.kind === 'news') await options.news(incoming.workerId, incoming.news)
        else await setAside(partition, record, incoming.reason)
        return true
      } catch (err) {
        const about = incoming.kind === 'report' ? loggedOf(incoming.work) : {}
        logger.warn(
          { ...about, topic, partition, offset: record.offset, err },
          'a report cannot be taken now, will be tried again',
        )
        if (isStumble(err) && tries >= mostTries) return putAside(partition, record, err)
        await pass(AGAIN_MS)
      }
    }
    return false
  }

  /** No try will take it, and it would hold up everything behind it. */
  const putAside = (partition: number, record: StoredRecord, { message }: Error): Promise<boolean> =>
    setAside(partition, record, `cannot be taken: ${message}`).then(
      () => true,
      () => handle(partition, record),
    )

  async function setAside(partition: number, record: StoredRecord, reason: string): Promise<void> {
    const headers = { reason, topic, partition: String(partition), offset: record.offset }
    const value = record.value === null || record.value.length > MAX_REPORT_BYTES ? null : record.value
    await sender.send([{ topic: dead, key: record.key, value, headers }])
    logger.warn({ topic, partition, offset: record.offset, reason }, 'a message was put aside')
  }

  async function batch(partition: number, records: readonly StoredRecord[]): Promise<number> {
    if (held >= MOST_HELD) {
      isPaused = true
      member.pause()
      return 0
    }
    const first = records[0]
    if (first === undefined) return 0
    if (!partitions.has(partition)) partitions.set(partition, new Ledger(Number(first.offset)))
    for (const record of records) take(partition, record)
    return records.length
  }

  async function commit(): Promise<void> {
    const moved = [...partitions].filter(([, ledger]) => ledger.dirty)
    if (moved.length === 0) return
    const offsets = moved.map(([partition, ledger]) => {
      ledger.dirty = false
      return { partition, offset: String(ledger.position) }
    })
    const committed = await member.commit(offsets).catch((err) => {
      logger.warn({ topic, err }, 'what is done could not be committed to Kafka yet')
      return false
    })
    if (!committed) for (const [, ledger] of moved) ledger.dirty = true
  }

  const member: Member = startMember({
    ...{ settings, logger, topic, sessionMs, group: `${settings.prefix}.engines` },
    // What is under way goes on, and may be taken a second time by whoever has its partition now.
    joined: () => {
      partitions = new Map()
    },
    batch,
  })
  let committing = Promise.resolve()
  const timer = setInterval(() => {
    committing = committing.then(commit)
  }, COMMIT_EVERY_MS)

  return {
    async close() {
      closed = true
      clearInterval(timer)
      await Promise.all(tails.values())
      await committing
      await commit()
      await member.close()
      await close()
    },
  }
}

/** Everything else passes: a log that is away, and events of a newer program, which an engine of that will read. */
const isStumble = (error: unknown): error is Error => error instanceof TypeError || error instanceof RangeError
