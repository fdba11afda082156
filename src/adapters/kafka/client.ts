// kafkajs as this program uses it: mended where it has to be, its words in our log.
import { createRequire } from 'node:module'
import { Kafka, type KafkaConfig, type LogEntry, logLevel, type SASLOptions } from 'kafkajs'
import type { Logger } from '../../ports/logger.ts'
import type { KafkaSettings } from './url.ts'

const load = createRequire(import.meta.url)

/** What of a queue of requests is used here; `pending` waits for its turn, `throttledUntil` is a time of the wall clock. */
export type RequestQueue = {
  readonly pending: { readonly length: number }
  throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  checkPendingRequests(): void
  scheduleCheckPendingRequests(): void
}
type RequestQueueClass = { readonly prototype: RequestQueue }

const LOOK_AGAIN_MS = 10

/**
 * As it is delivered, every idle connection looks every millisecond for requests that wait, since `-1 - now` is no delay
 * (kafkajs issues 1556 and 1751). One that waits is looked for when the throttling ends; where none does, nothing is.
 */
function mendRequestQueue(): void {
  const { prototype } = load('kafkajs/src/network/requestQueue') as RequestQueueClass
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return
    const throttledMs = this.throttledUntil - Date.now()
    const check = () => {
      this.throttleCheckTimeoutId = null
      this.checkPendingRequests()
    }
    this.throttleCheckTimeoutId = setTimeout(check, throttledMs > 0 ? throttledMs : LOOK_AGAIN_MS)
  }
}
mendRequestQueue()

/** Before it gives up one request; whoever asks tries again. */
const RETRY = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5 }

const REQUEST_MS = 10_000

const optionsOf = ({ brokers, ssl, sasl }: KafkaSettings, logger: Logger, requestMs: number): KafkaConfig => ({
  clientId: 'millrace',
  brokers: [...brokers],
  ssl,
  ...(sasl && { sasl: sasl as SASLOptions }),
  connectionTimeout: 3_000,
  requestTimeout: requestMs,
  retry: RETRY,
  logLevel: logLevel.WARN,
  logCreator: () => (entry) => say(logger, entry),
})

/** A client for one user: two consumers of a group made by the same one would take each other's offsets for their own. */
export const createClient = (settings: KafkaSettings, logger: Logger, requestMs = REQUEST_MS): Kafka =>
  new Kafka(optionsOf(settings, logger, requestMs))

/** What it says at every start. That a producer may give up is meant: a new one takes its place. */
const KNOWN = /Limiting retries for the idempotent producer/

/** Rebalances, closed connections and the like are warnings at most: what matters reaches us as an error. */
function say(logger: Logger, { log, namespace, label }: LogEntry): void {
  const { message, error, broker } = log
  if (KNOWN.test(message)) return
  logger.warn({ part: namespace, was: label, ...(error === undefined ? {} : { error }), broker }, `kafkajs: ${message}`)
}

/** A partition's records as they are stored. */
export type StoredRecord = {
  readonly offset: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: { readonly [name: string]: Buffer | undefined }
  readonly timestamp: string
}

type Fetched = { readonly partition: number; readonly messages: readonly StoredRecord[] }
type FetchBroker = {
  fetch(request: object): Promise<{ readonly responses: readonly { readonly partitions: readonly Fetched[] }[] }>
}

/** What of kafkajs's cluster is used to read without a consumer group. */
export type Cluster = {
  connect(): Promise<void>
  disconnect(): Promise<void>
  refreshMetadata(): Promise<void>
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number }[]
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Readonly<Record<string, number[]>>
  findBroker(of: { nodeId: string }): Promise<FetchBroker>
}

/** A client holds the way to make one under a symbol of its own, since kafkajs knows no reader without a group. */
export function createCluster(settings: KafkaSettings, logger: Logger): Cluster {
  const client = createClient(settings, logger)
  const symbol = Object.getOwnPropertySymbols(client).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  )!
  const create = Reflect.get(client, symbol) as (options: object) => Cluster
  return create({ metadataMaxAge: 300_000, allowAutoTopicCreation: false })
}
