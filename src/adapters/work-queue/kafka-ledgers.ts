import { setTimeout as pass } from 'node:timers/promises'
import type { Logger } from '../../ports/logger.ts'
import type { Administration } from '../kafka/administration.ts'
import { decodeNotes, Ledger, withOwn } from '../kafka/ledger.ts'

const ASK_AGAIN_MS = 500

type Asking = { readonly administration: Administration; readonly topic: string; readonly logger: Logger }

/**
 * The ledgers of partitions that a consumer has come by: from what is committed, and what it knows itself from when it had them
 * `before`. `ends` is up to where each partition is full.
 * @param isWanted asked between tries; @throws once it is false
 */
export async function openLedgers(
  asking: Asking,
  partitions: readonly number[],
  before: ReadonlyMap<number, Ledger>,
  isWanted: () => boolean,
): Promise<{ readonly ledgers: Map<number, Ledger>; readonly ends: ReadonlyMap<number, number> }> {
  const { committed, ends } = await committedAndEnds(asking, isWanted)
  const ledgers = new Map<number, Ledger>()
  for (const partition of partitions) {
    const said = committed.find((one) => one.partition === partition)
    const low = Number(ends.find((one) => one.partition === partition)?.low ?? 0)
    const position = said === undefined || Number(said.offset) < 0 ? low : Number(said.offset)
    const notes = withOwn(decodeNotes(position, said?.metadata), before.get(partition), position)
    ledgers.set(partition, new Ledger(position, notes))
  }
  return { ledgers, ends: new Map(ends.map(({ partition, high }) => [partition, Number(high)])) }
}

async function committedAndEnds({ administration, topic, logger }: Asking, isWanted: () => boolean) {
  while (isWanted()) {
    try {
      const [fetched] = await administration.ask((admin) => admin.fetchOffsets({ groupId: topic, topics: [topic] }))
      const ends = await administration.ask((admin) => admin.fetchTopicOffsets(topic))
      if (isWanted()) return { committed: fetched?.partitions ?? [], ends }
    } catch (err) {
      logger.warn({ topic, err }, 'what is committed in Kafka cannot be read now, will be asked again')
      await pass(ASK_AGAIN_MS)
    }
  }
  throw new Error('the group was put together anew meanwhile')
}
