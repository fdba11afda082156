import { setTimeout as pass } from 'node:timers/promises'
import { type Message, Partitioners, type Producer } from 'kafkajs'
import type { Logger } from '../../ports/logger.ts'
import { createClient } from './client.ts'
import type { KafkaSettings } from './url.ts'

export type Outgoing = Message & { readonly topic: string; readonly value: Buffer | string | null }

export type Sender = {
  /** Resolves when every replica that is in sync has the messages. It tries until it can: only what no broker takes is rejected. */
  send(messages: readonly Outgoing[]): Promise<void>
  /** What was not sent by then is rejected. */
  close(): Promise<void>
}

type Waiting = { readonly message: Outgoing; readonly bytes: number; resolve(): void; reject(error: unknown): void }

/** All of a partition's messages go in one batch, which has to stay below what a topic takes. */
const BATCH_BYTES = 524_288
const AGAIN_MS = 500
/** Sending these again would end the same way. */
const HOPELESS = [
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'CORRUPT_MESSAGE',
  'TOPIC_AUTHORIZATION_FAILED',
]

/**
 * One batch at a time, and what comes meanwhile makes up the next, so that order is kept and many small sends share a
 * request. The producer is idempotent; after an error that it does not get over by itself a new one takes its place, and then
 * a message may be there twice.
 * @param provide makes the topics where they are gone; called after an error
 */
export function createSender(
  settings: KafkaSettings,
  logger: Logger,
  provide: (topics: readonly string[]) => Promise<void>,
): Sender {
  let waiting: Waiting[] = []
  let producer: Promise<Producer> | undefined
  let sending: Promise<void> | undefined
  const closing = new AbortController()

  async function connect(): Promise<Producer> {
    // Kept to few retries, since a new producer gets over more than a patient one.
    const options = {
      ...{ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false },
      createPartitioner: Partitioners.DefaultPartitioner,
    }
    const made = createClient(settings, logger).producer({ ...options, retry: { retries: 5 } })
    await made.connect()
    return made
  }

  async function drop(): Promise<void> {
    const old = producer
    producer = undefined
    await old?.then((one) => one.disconnect()).catch(() => {})
  }

  async function sendAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = takeBatch()
      await sendBatch(batch)
    }
    sending = undefined
  }

  function takeBatch(): Waiting[] {
    let bytes = 0
    const fits = waiting.findIndex((one) => {
      bytes += one.bytes
      return bytes > BATCH_BYTES
    })
    return waiting.splice(0, fits === -1 ? waiting.length : Math.max(fits, 1))
  }

  async function sendBatch(batch: readonly Waiting[]): Promise<void> {
    for (let tried = 0; !closing.signal.aborted; tried++) {
      try {
        if (tried > 0) await provide([...new Set(batch.map(({ message }) => message.topic))])
        producer ??= connect()
        await (await producer).sendBatch({ acks: -1, topicMessages: byTopic(batch) })
        for (const { resolve } of batch) resolve()
        return
      } catch (error) {
        await drop()
        if (isHopeless(error)) return oneByOne(batch, error)
        logger.warn({ err: error, messages: batch.length }, 'messages could not be sent to Kafka, will be sent again')
        await pass(AGAIN_MS, undefined, { signal: closing.signal }).catch(() => {})
      }
    }
    for (const { reject } of batch) reject(new Error('closed before the messages were sent'))
  }

  /** So that what nobody takes holds up nothing else. */
  async function oneByOne(batch: readonly Waiting[], error: unknown): Promise<void> {
    if (batch.length === 1) batch[0]!.reject(error)
    else for (const one of batch) await sendBatch([one])
  }

  return {
    async send(messages) {
      if (closing.signal.aborted) throw new Error('the sender is closed')
      const sent = messages.map(
        (message) =>
          new Promise<void>((resolve, reject) => {
            waiting.push({ message, bytes: sizeOf(message), resolve, reject })
          }),
      )
      sending ??= sendAll()
      await Promise.all(sent)
    },
    async close() {
      closing.abort()
      await sending
      for (const { reject } of waiting) reject(new Error('closed before the messages were sent'))
      waiting = []
      await drop()
    },
  }
}

const sizeOf = ({ key, value, headers = {} }: Outgoing): number =>
  (key?.length ?? 0) + (value?.length ?? 0) + 100 * Object.keys(headers).length

function byTopic(batch: readonly Waiting[]) {
  const topics = Map.groupBy(batch, ({ message }) => message.topic)
  return [...topics].map(([topic, ones]) => ({
    topic,
    messages: ones.map(({ message: { topic: _, ...message } }) => message),
  }))
}

function isHopeless(error: unknown): boolean {
  for (let cause = error as { type?: string; cause?: unknown } | undefined; cause; cause = cause.cause as typeof cause)
    if (cause.type !== undefined && HOPELESS.includes(cause.type)) return true
  return false
}
