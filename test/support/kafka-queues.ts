// Queues in Kafka for tests.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Kafka, logLevel, type Message } from 'kafkajs'
import { vi } from 'vitest'
import { createReader } from '../../src/adapters/kafka/reader.ts'
import { type KafkaSettings, parseKafkaUrl } from '../../src/adapters/kafka/url.ts'
import type { WorkQueue } from '../../src/ports/work-queue.ts'
import { quiet } from './kafka-quiet.ts'

/** Topics that nobody else has. */
export const ownTopics = (url: string, partitions: number): KafkaSettings =>
  parseKafkaUrl(`${url}?partitions=${partitions}&prefix=${randomUUID()}`)

export const clientOf = ({ brokers }: KafkaSettings): Kafka =>
  new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING })

/** Puts messages into a topic as anybody could. */
export async function put(settings: KafkaSettings, topic: string, messages: Message[]): Promise<void> {
  const producer = clientOf(settings).producer({ allowAutoTopicCreation: false })
  await producer.connect()
  await producer.send({ topic, messages })
  await producer.disconnect()
}

/** A message that is no work comes to the dead letters when whatever stands before it has come to a consumer. */
export async function arrivedAt(queue: WorkQueue, settings: KafkaSettings, topic: string): Promise<void> {
  const version = randomUUID()
  await put(settings, topic, [{ value: 'no work', partition: 0, headers: { version } }])
  const isThere = async () => (await queue.deadLetters()).some(({ reason }) => reason.includes(version))
  await vi.waitUntil(isThere, { timeout: 15_000 })
}

export type Handled = { readonly has: (id: string) => boolean }

/** Ids of work that stands before what is committed of its partition and is in neither `handled` nor the dead letters. */
export async function committedUnhandled(settings: KafkaSettings, topic: string, handled: Handled): Promise<string[]> {
  const admin = clientOf(settings).admin()
  await admin.connect()
  const [committed] = await admin.fetchOffsets({ groupId: topic, topics: [topic] })
  await admin.disconnect()
  const reader = createReader(settings, quiet)
  const missing: string[] = []
  for (const { partition, offset } of committed?.partitions ?? [])
    await reader.read(topic, partition, 0, Number(offset), (record) => {
      const id = record.headers.id?.toString()
      if (id !== undefined && !handled.has(id)) missing.push(id)
    })
  await reader.close()
  return missing
}

/** How much of a topic is not committed. */
export async function uncommitted(settings: KafkaSettings, topic: string): Promise<number> {
  const admin = clientOf(settings).admin()
  await admin.connect()
  const [committed] = await admin.fetchOffsets({ groupId: topic, topics: [topic] })
  const ends = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  const at = new Map(committed?.partitions.map(({ partition, offset }) => [partition, Math.max(0, Number(offset))]))
  return ends.reduce((sum, { partition, high }) => sum + Number(high) - (at.get(partition) ?? 0), 0)
}

/** How much of a topic the broker has no more. */
export async function forgotten(settings: KafkaSettings, topic: string): Promise<number> {
  const admin = clientOf(settings).admin()
  await admin.connect()
  const offsets = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  return offsets.reduce((sum, { low }) => sum + Number(low), 0)
}

export type ConsumingProcess = {
  /** Ids of what it was given. */
  readonly taken: ReadonlySet<string>
  readonly child: ChildProcess
  kill(): Promise<void>
}

/** A process that consumes the default queue: it does all that it takes, or holds it for ever. */
export function startConsuming(
  settings: KafkaSettings,
  does: 'finishes' | 'holds',
  sessionMs: number,
): ConsumingProcess {
  const script = join(import.meta.dirname, 'kafka', 'consume.ts')
  const args = [script, JSON.stringify(settings), does, String(sessionMs)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const taken = new Set<string>()
  createInterface(child.stdout!).on('line', (id) => taken.add(id))
  return {
    taken,
    child,
    async kill() {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}
