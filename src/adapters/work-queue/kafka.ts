// The work queue in Kafka: a topic for each route, a consumer group for each topic.
import type { Work } from '../../domain/execution/work.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Logger } from '../../ports/logger.ts'
import type { WorkQueue } from '../../ports/work-queue.ts'
import { createAdministration, type TopicConfig } from '../kafka/administration.ts'
import { createReader } from '../kafka/reader.ts'
import { createSender } from '../kafka/sender.ts'
import type { KafkaSettings } from '../kafka/url.ts'
import { partitionStates, removePresent } from './kafka-backlog.ts'
import { type KafkaConsumer, startConsumer } from './kafka-consumer.ts'
import { MAX_WORK_BYTES, readDeadLetter, withdrawal, workMessage } from './kafka-message.ts'
import { createStats } from './kafka-stats.ts'
import { deadLetterTopic, routeOfTopic, startOf, topicOf } from './kafka-topics.ts'

export type KafkaQueueOptions = {
  readonly settings: KafkaSettings
  readonly clock: Pick<Clock, 'now' | 'monotonicMs'>
  readonly logger: Logger
  /** After this a worker that is not heard of loses its work to others. */
  readonly sessionMs?: number
  /** How much of a route that waits a consumer holds, and after how much that is done the brokers forget it. */
  readonly maxWaiting?: number
  readonly purgeEvery?: number
}

const LIMITS = { sessionMs: 10_000, maxWaiting: 20_000, purgeEvery: 10_000 }
/** What stands around a value: key, headers and the batch's own head. */
const MAX_MESSAGE_BYTES = MAX_WORK_BYTES + 65_536
const NEWEST_DEAD = 1_000

const entry = (name: string, value: string | number) => ({ name, value: String(value) })
/** Nothing is forgotten for its age: what is done is removed by whoever has done it. */
const ofWork: TopicConfig = {
  configEntries: [entry('retention.ms', -1), entry('max.message.bytes', MAX_MESSAGE_BYTES)],
}
const ofDead: TopicConfig = { ...ofWork, numPartitions: 1 }

/** @throws when no broker can be reached */
export async function openKafkaQueue(options: KafkaQueueOptions): Promise<WorkQueue> {
  const { settings, clock, logger, ...limits } = { ...LIMITS, ...options }
  const { prefix } = settings
  const dead = deadLetterTopic(prefix)
  const administration = createAdministration(settings, logger)
  const reader = createReader(settings, logger)
  const sender = createSender(settings, logger, administration.provideAgain)
  const stats = createStats(administration, reader, clock)
  const consumers = new Set<KafkaConsumer>()
  const provided = new Map<string, string>()

  const topics = async () => (await administration.topics(startOf(prefix))).filter((topic) => topic !== dead)
  const flush = () => Promise.all([...consumers].map((consumer) => consumer.flush()))
  const provideDead = () => administration.provide(dead, ofDead)

  async function provide(route: string): Promise<void> {
    const topic = topicOf(prefix, route)
    const isNew = !provided.has(topic)
    await administration.provide(topic, ofWork)
    provided.set(topic, route)
    // Those of other processes look for themselves, every now and then.
    if (isNew) for (const consumer of consumers) void consumer.look()
  }

  await provideDead()
  await stats.begin(await topics())

  return {
    durable: true,
    async publish(work: readonly Work[]) {
      await Promise.all([...new Set(work.map(({ queue }) => queue))].map(provide))
      await sender.send(work.map((one) => workMessage(prefix, one, clock.now())))
    },
    async withdraw(ids) {
      // Which route an id was published to is not remembered over a restart; where it is not, nothing happens.
      const nowMs = clock.now()
      const sent = (await topics()).flatMap((topic) => ids.map((id) => withdrawal(topic, id, nowMs)))
      await sender.send(sent.filter((message) => message !== undefined))
      for (const consumer of consumers) consumer.withdraw(ids)
    },
    consume(queues, consuming, handle) {
      const deps = { ...limits, settings, logger, administration, send: sender.send, provide, topics }
      const consumer = startConsumer(deps, queues, consuming, handle)
      consumers.add(consumer)
      return {
        async close() {
          await consumer.close()
          consumers.delete(consumer)
        },
      }
    },
    async lacking(ids) {
      await flush()
      const lacking = new Set(ids)
      for (const topic of await topics()) {
        if (lacking.size === 0) break
        await removePresent(lacking, reader, topic, await partitionStates(administration, topic))
      }
      return ids.filter((id) => lacking.has(id))
    },
    async stats() {
      await flush()
      const routes = (await topics()).map(
        (topic) => [topic, provided.get(topic) ?? routeOfTopic(prefix, topic)] as const,
      )
      return stats.of(new Map(routes))
    },
    async deadLetters() {
      const [state] = await administration.ask((admin) => admin.fetchTopicOffsets(dead))
      const letters: { work?: Work; reason: string }[] = []
      const [low, high] = [Number(state!.low), Number(state!.high)]
      await reader.read(dead, 0, Math.max(low, high - NEWEST_DEAD), high, (record) =>
        letters.push(readDeadLetter(record)),
      )
      return letters
    },
    async close() {
      for (const consumer of consumers) await consumer.close()
      await sender.close()
      await reader.close()
      await administration.close()
    },
  }
}
