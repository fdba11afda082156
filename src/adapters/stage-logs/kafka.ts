// Lines over Kafka: a worker sends what its stages write, and who has the database puts it there, where every API finds it.
import { setTimeout as pass } from 'node:timers/promises'
import type { Clock } from '../../ports/clock.ts'
import type { Logger } from '../../ports/logger.ts'
import type { StageLogs } from '../../ports/stage-logs.ts'
import type { StoredRecord } from '../kafka/client.ts'
import { startMember } from '../kafka/member.ts'
import { openTopics, weekly } from '../kafka/open-topics.ts'
import type { KafkaSettings } from '../kafka/url.ts'
import { type Lines, linesMessage, logTopic, MAX_LINES_BYTES, parseLines } from './messages.ts'
import { SentLogWriter } from './sent-writer.ts'

/** What waits for brokers that are away; lines beyond it are dropped. */
const MOST_UNSENT_BYTES = 64 * 1024 * 1024
const AGAIN_MS = 500

type Deps = { readonly settings: KafkaSettings; readonly logger: Logger }

/** The side of the worker, which reads none. @throws when no broker can be reached */
export async function connectSentLogs(
  deps: Deps & { readonly clock: Clock },
): Promise<StageLogs & { close(): Promise<void> }> {
  const { settings, logger, clock } = deps
  const { sender, close } = await openTopics(deps, { [logTopic(settings.prefix)]: weekly(MAX_LINES_BYTES) })
  let unsent = 0
  let losing = false

  async function send(lines: Lines): Promise<void> {
    const message = linesMessage(settings.prefix, lines)
    const bytes = Buffer.byteLength(message.value as string)
    const lost = (err?: unknown): void => {
      if (!losing) logger.warn({ err }, 'logs of stages are being lost: Kafka does not take them')
      losing = true
    }
    if (unsent + bytes > MOST_UNSENT_BYTES) return lost()
    unsent += bytes
    try {
      await sender.send([message])
      losing = false
    } catch (err) {
      lost(err)
    } finally {
      unsent -= bytes
    }
  }

  return {
    open: (executionId, stage, attempt) =>
      new SentLogWriter(clock, (lines) => send({ executionId, stage, attempt, lines })),
    read: async () => [],
    remove: async () => {},
    close,
  }
}

export type LogTaking = Deps & {
  readonly sessionMs?: number
  /** Lines that are there already are no error. Rejects where they cannot be put there now. */
  put(some: readonly Lines[]): Promise<void>
}

/** The side of the database; several share the topic. @throws when no broker can be reached */
export async function takeStageLogs({
  settings,
  logger,
  sessionMs = 10_000,
  put,
}: LogTaking): Promise<{ close(): Promise<void> }> {
  const topic = logTopic(settings.prefix)
  const { close } = await openTopics({ settings, logger }, { [topic]: weekly(MAX_LINES_BYTES) })

  function linesOf(partition: number, records: readonly StoredRecord[]): readonly Lines[] {
    return records.flatMap((record) => {
      const lines = parseLines(record)
      if (typeof lines !== 'string') return [lines]
      logger.warn(
        { topic, partition, offset: record.offset, reason: lines },
        'a message has no lines and is passed over',
      )
      return []
    })
  }

  const member = startMember({
    ...{ settings, logger, topic, sessionMs, group: `${settings.prefix}.logs` },
    joined: () => {},
    async batch(partition, records) {
      const last = records.at(-1)
      if (last === undefined) return 0
      try {
        await put(linesOf(partition, records))
        await member.commit([{ partition, offset: String(Number(last.offset) + 1) }])
      } catch (err) {
        logger.warn({ topic, partition, err }, 'lines of stages cannot be taken now, will be tried again')
        await pass(AGAIN_MS)
        return 0
      }
      return records.length
    },
  })
  return {
    async close() {
      await member.close()
      await close()
    },
  }
}
