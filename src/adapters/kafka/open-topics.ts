import type { Logger } from '../../ports/logger.ts'
import { type Administration, createAdministration, type TopicConfig } from './administration.ts'
import { createSender, type Sender } from './sender.ts'
import type { KafkaSettings } from './url.ts'

/** What stands around a value in a message: key, headers and the batch's own head. */
const AROUND_BYTES = 65_536
const WEEK_MS = 7 * 86_400_000

/** A topic whose messages stay a week, and have values of so many bytes at most. */
export const weekly = (maxBytes: number, partitions?: number): TopicConfig => ({
  ...(partitions === undefined ? {} : { numPartitions: partitions }),
  configEntries: [
    { name: 'retention.ms', value: String(WEEK_MS) },
    { name: 'max.message.bytes', value: String(maxBytes + AROUND_BYTES) },
  ],
})

/** A sender to topics that are there, or are made. @throws when no broker can be reached */
export async function openTopics(
  { settings, logger }: { readonly settings: KafkaSettings; readonly logger: Logger },
  topics: Readonly<Record<string, TopicConfig>>,
): Promise<{ administration: Administration; sender: Sender; close(): Promise<void> }> {
  const administration = createAdministration(settings, logger)
  try {
    for (const [topic, config] of Object.entries(topics)) await administration.provide(topic, config)
  } catch (error) {
    await administration.close()
    throw error
  }
  const sender = createSender(settings, logger, administration.provideAgain)
  const close = async (): Promise<void> => {
    await sender.close()
    await administration.close()
  }
  return { administration, sender, close }
}
