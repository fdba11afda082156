// Settings → ports: the one place that knows which adapter stands behind each.
import { join } from 'node:path'
import type { Ports } from '../app.ts'
import type { Config } from '../config.ts'
import type { Leases } from '../ports/leases.ts'
import type { Logger } from '../ports/logger.ts'
import type { StageLogs } from '../ports/stage-logs.ts'
import type { WorkQueue } from '../ports/work-queue.ts'
import { createMemoryCache } from './cache/memory.ts'
import { createRedisCache } from './cache/redis.ts'
import { systemClock } from './clock.ts'
import { kafkaSettings, openOnKafka } from './kafka/await-kafka.ts'
import type { KafkaSettings } from './kafka/url.ts'
import { createMemoryLeases } from './leases/memory.ts'
import { createRedisLeases } from './leases/redis.ts'
import { openEventStore } from './open-event-store.ts'
import { connectReports, type ReportTaking, type SentReports, takeReports } from './reports/kafka.ts'
import { createFileStageLogs } from './stage-logs/files.ts'
import { connectSentLogs, type LogTaking, takeStageLogs } from './stage-logs/kafka.ts'
import { openKafkaQueue } from './work-queue/kafka.ts'
import { createMemoryQueue } from './work-queue/memory.ts'

/** What a worker needs. */
type Links = Omit<Ports, 'store' | 'archive'> & {
  /** Why leases cannot be asked for right now, as far as is known: what runs goes on, and nothing new begins. */
  leasesAway(): string | undefined
  close(): Promise<void>
}

export type Connected = Ports &
  Links & {
    /** Resolves with why the process cannot go on. */
    readonly failed: Promise<Error>
    /** Why nothing can be appended to the log right now, as far as is known. */
    refusing(): string | undefined
  }

/**
 * Opens everything that orchestration needs; the read models have a connection of their own.
 * @throws EventStoreUnreachable | LeasesUnavailable where they do not answer in time, or when `signal` aborts
 */
export async function connect(config: Config, logger: Logger, signal?: AbortSignal): Promise<Connected> {
  const links = await connectLinks(config, logger, signal)
  try {
    const logs = await openStageLogs(config, logger)
    const { store, archive, failed, refusing } = await openEventStore(config, logger, signal)
    const { cache: url } = config
    const cache = url.startsWith('memory:') ? createMemoryCache(systemClock) : createRedisCache({ url, logger })
    const close = async (): Promise<void> => {
      await logs.close?.()
      await cache.close()
      await links.close()
      await store.close()
    }
    return { ...links, logs, store, archive, cache, failed, refusing, close }
  } catch (error) {
    await links.close()
    throw error
  }
}

/** Opens what a worker needs that has no log: the queue, the leases, and the way of its reports. */
export async function connectWorker(
  config: Config,
  logger: Logger,
  signal?: AbortSignal,
): Promise<Links & SentReports> {
  const links = await connectLinks(config, logger, signal)
  try {
    const sent = await onKafka(config, logger, signal, (settings) => connectReports({ settings, logger }))
    // After the reports: once their topic is there an engine has made that of the lines, too.
    const logs = await openStageLogs(config, logger)
    const close = async (): Promise<void> => {
      await logs.close?.()
      await sent.close()
      await links.close()
    }
    return { ...links, logs, ...sent, close }
  } catch (error) {
    await links.close()
    throw error
  }
}

/** Takes the reports that workers send; nothing where the queue is this process's own, since nobody else can have taken work of it. */
export async function connectReportTaking(
  config: Config,
  logger: Logger,
  takes: Pick<ReportTaking, 'report' | 'news'>,
  signal?: AbortSignal,
): Promise<{ close(): Promise<void> } | undefined> {
  if (config.queue.startsWith('memory:')) return undefined
  return onKafka(config, logger, signal, (settings) => takeReports({ settings, logger, ...takes }))
}

/** Takes the lines that stages of other processes write; nothing where there can be none. */
export async function connectLogTaking(
  config: Config,
  logger: Logger,
  put: LogTaking['put'],
  signal?: AbortSignal,
): Promise<{ close(): Promise<void> } | undefined> {
  if (config.queue.startsWith('memory:')) return undefined
  return onKafka(config, logger, signal, (settings) => takeStageLogs({ settings, logger, put }))
}

async function connectLinks(config: Config, logger: Logger, signal?: AbortSignal): Promise<Omit<Links, 'logs'>> {
  const clock = systemClock
  const leases = await openLeases(config, logger, signal)
  try {
    const queue = await openQueue(config, logger, signal)
    const close = async (): Promise<void> => {
      await queue.close()
      await leases.close()
    }
    return { queue, leases, clock, leasesAway: () => leases.away, close }
  } catch (error) {
    await leases.close()
    throw error
  }
}

/**
 * Files of this process where its stages are all there are; else they are sent, for every process with an API to find them. An account
 * that may not write there, as one of an older installation, leaves its worker with files: work is more than its lines.
 */
async function openStageLogs(config: Config, logger: Logger): Promise<StageLogs & { close?(): Promise<void> }> {
  const clock = systemClock
  const { queue, data } = config
  if (!queue.startsWith('memory:'))
    try {
      return await connectSentLogs({ settings: kafkaSettings(queue), logger, clock })
    } catch (err) {
      logger.warn({ err }, `what stages write stays in ${join(data, 'logs')}: ${(err as Error).message}`)
    }
  return createFileStageLogs({ dir: join(data, 'logs'), clock, warn: (message) => logger.warn({}, message) })
}

async function openQueue(config: Config, logger: Logger, signal?: AbortSignal): Promise<WorkQueue> {
  if (config.queue.startsWith('memory:')) return createMemoryQueue(systemClock)
  return onKafka(config, logger, signal, (settings) => openKafkaQueue({ settings, clock: systemClock, logger }))
}

function onKafka<T>(
  { queue, databaseWaitMs: withinMs }: Config,
  logger: Logger,
  signal: AbortSignal | undefined,
  open: (settings: KafkaSettings) => Promise<T>,
): Promise<T> {
  const settings = kafkaSettings(queue)
  return openOnKafka(settings, { withinMs, logger, signal }, () => open(settings))
}

async function openLeases(
  { leases: url, leaseMs: graceMs, databaseWaitMs: withinMs }: Config,
  logger: Logger,
  signal?: AbortSignal,
): Promise<Leases & { readonly away?: string | undefined }> {
  if (url.startsWith('memory:')) return createMemoryLeases(systemClock)
  return createRedisLeases({ url, graceMs, withinMs, logger, signal })
}
