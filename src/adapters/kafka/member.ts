// One member of the consumer group of one topic: kafkajs's consumer, kept alive, and with commits that cannot go astray.
import type { Consumer, EachBatchPayload } from 'kafkajs'
import type { Logger } from '../../ports/logger.ts'
import { createClient, type StoredRecord } from './client.ts'
import type { KafkaSettings } from './url.ts'

type Commit = { readonly partition: number; readonly offset: string; readonly metadata?: string }

export type Member = {
  /** Fetches no more until `resume`; it stays a member. What was fetched already may still come. */
  pause(): void
  resume(): void
  /** False where nothing can be committed now, since the group is being put together anew. @throws as the broker refuses it */
  commit(offsets: readonly Commit[]): Promise<boolean>
  /** Leaves the group. */
  close(): Promise<void>
}

export type MemberOptions = {
  readonly settings: KafkaSettings
  readonly logger: Logger
  readonly group: string
  readonly topic: string
  /** After this without a heartbeat the broker gives its partitions to others. */
  readonly sessionMs: number
  /** The group was put together anew, and these partitions are its own now; each begins again with what is committed. */
  joined(partitions: readonly number[]): void
  /** Takes what was fetched, in order, and answers how many of the records; the rest comes again, and all of it where it rejects. */
  batch(partition: number, records: readonly StoredRecord[]): Promise<number>
}

const AGAIN_MS = 1_000
/**
 * A request may take so many sessions. In a group that is put together anew the broker answers only when a member that has died is taken
 * for dead; who does not wait for that leaves a dead member behind, for which the next ones wait in turn, without an end.
 */
const REQUEST_SESSIONS = 3
/** How long a fetch waits at the broker, and with it whoever closes. */
const FETCH_WAIT_MS = 250
const CLOSE_WITHIN_MS = 10_000

export function startMember({ settings, logger, group, topic, sessionMs, joined, batch }: MemberOptions): Member {
  const closing = Promise.withResolvers<void>()
  let closed = false
  let consumer: Consumer | undefined
  /** Commits as a member of the group that fetched the last batch. Consumer.commitOffsets would try again as one of the next. */
  let commitWith: EachBatchPayload['commitOffsetsIfNecessary'] | undefined

  async function eachBatch(given: EachBatchPayload): Promise<void> {
    commitWith = given.commitOffsetsIfNecessary
    if (!given.isRunning() || given.isStale()) return
    const { partition, messages } = given.batch
    const last = messages[(await batch(partition, messages as StoredRecord[])) - 1]
    if (last !== undefined) given.resolveOffset(last.offset)
  }

  async function begin(): Promise<void> {
    const made = createClient(settings, logger, REQUEST_SESSIONS * sessionMs).consumer({
      groupId: group,
      sessionTimeout: sessionMs,
      heartbeatInterval: Math.floor(sessionMs / 10),
      rebalanceTimeout: sessionMs,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      allowAutoTopicCreation: false,
      retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5, restartOnFailure: async () => !closed },
    })
    consumer = made
    made.on(made.events.GROUP_JOIN, ({ payload }) => {
      commitWith = undefined
      joined(payload.memberAssignment[topic] ?? [])
    })
    // What it does not get over by itself would leave it standing for good.
    made.on(made.events.CRASH, ({ payload }) => {
      if (!payload.restart) void live(payload.error)
    })
    await made.connect()
    await made.subscribe({ topics: [topic], fromBeginning: true })
    await made.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch })
  }

  /** Begins, again and again until it can. */
  async function live(error?: unknown): Promise<void> {
    let why = error
    while (!closed) {
      if (why !== undefined) {
        logger.warn({ topic, err: why }, 'a consumer of Kafka has ended, another one takes its place')
        commitWith = undefined
        await Promise.race([consumer?.disconnect().catch(() => {}), closing.promise])
        await Promise.race([new Promise((resolve) => setTimeout(resolve, AGAIN_MS).unref()), closing.promise])
        if (closed) return
      }
      try {
        return await begin()
      } catch (failure) {
        why = failure
      }
    }
  }

  const living = live()
  return {
    // Without a group nothing is fetched, and nothing can be paused.
    pause: () => ignoring(() => consumer?.pause([{ topic }])),
    resume: () => ignoring(() => consumer?.resume([{ topic }])),
    async commit(partitions) {
      if (commitWith === undefined || closed) return false
      await commitWith({ topics: [{ topic, partitions: [...partitions] }] })
      return true
    },
    async close() {
      closed = true
      closing.resolve()
      const { promise: late, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, CLOSE_WITHIN_MS)
      // Where no broker answers it cannot leave, and is taken for dead after a while.
      await Promise.race([living.then(() => consumer?.disconnect()).catch(() => {}), late])
      clearTimeout(timer)
    },
  }
}

function ignoring(run: () => void): void {
  try {
    run()
  } catch {
    // It runs no more, or not yet.
  }
}
