// Reads partitions from an offset on without a consumer group: for whoever wants to know what is there, and takes nothing.
import { setTimeout as pass } from 'node:timers/promises'
import type { Logger } from '../../ports/logger.ts'
import { type Cluster, createCluster, type StoredRecord } from './client.ts'
import type { KafkaSettings } from './url.ts'

const MAX_BYTES = 4_194_304
const TRIES = 5
const AGAIN_MS = 200

export type Reader = {
  /** Calls `take` with every record in `[from, to)`, in order. @throws when the brokers are out of reach */
  read(topic: string, partition: number, from: number, to: number, take: (record: StoredRecord) => void): Promise<void>
  close(): Promise<void>
}

export function createReader(settings: KafkaSettings, logger: Logger): Reader {
  let cluster: Promise<Cluster> | undefined

  const connected = (): Promise<Cluster> => {
    cluster ??= connect().catch((error) => {
      cluster = undefined
      throw error
    })
    return cluster
  }
  async function connect(): Promise<Cluster> {
    const made = createCluster(settings, logger)
    await made.connect()
    return made
  }

  async function fetchFrom(topic: string, partition: number, offset: number): Promise<readonly StoredRecord[]> {
    const known = await connected()
    await known.addMultipleTargetTopics([topic])
    const [nodeId] = Object.keys(known.findLeaderForPartitions(topic, [partition]))
    if (nodeId === undefined) throw new Error(`partition ${partition} of ${topic} has no leader`)
    const broker = await known.findBroker({ nodeId })
    const wanted = { partition, fetchOffset: String(offset), maxBytes: MAX_BYTES }
    const limits = { maxWaitTime: 100, minBytes: 1, maxBytes: MAX_BYTES, isolationLevel: 1, replicaId: -1, rackId: '' }
    const { responses } = await broker.fetch({ ...limits, topics: [{ topic, partitions: [wanted] }] })
    // A batch comes whole, also what is in it before the offset.
    return responses[0]!.partitions[0]!.messages.filter((record) => Number(record.offset) >= offset)
  }

  async function fetchAgain(topic: string, partition: number, offset: number): Promise<readonly StoredRecord[]> {
    for (let tried = 1; ; tried++) {
      try {
        return await fetchFrom(topic, partition, offset)
      } catch (error) {
        if (tried === TRIES) throw error
        await pass(AGAIN_MS * tried)
        // Its leader may be another one by now.
        await cluster?.then((known) => known.refreshMetadata()).catch(() => {})
      }
    }
  }

  return {
    async read(topic, partition, from, to, take) {
      let offset = from
      while (offset < to) {
        const records = await fetchAgain(topic, partition, offset)
        for (const record of records) if (Number(record.offset) < to) take(record)
        offset = records.length === 0 ? offset : Number(records.at(-1)!.offset) + 1
      }
    },
    async close() {
      const made = cluster
      cluster = undefined
      await made?.then((known) => known.disconnect()).catch(() => {})
    },
  }
}
