import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../../ports/logger.ts'
import { type KafkaSettings, parseKafkaUrl } from './url.ts'

/** No broker answers, or none will have us. */
export class KafkaUnreachable extends Error {
  constructor({ brokers }: KafkaSettings, cause: unknown) {
    super(`Kafka at ${brokers.join(', ')} cannot be used: ${(cause as Error)?.message ?? cause}`, { cause })
    this.name = 'KafkaUnreachable'
  }
}

/** The message names what is wrong, and repeats nothing of user and password. */
export class KafkaUrlInvalid extends Error {
  constructor(reason: string) {
    super(`--queue (MILLRACE_QUEUE): ${reason}`)
    this.name = 'KafkaUrlInvalid'
  }
}

export type Patience = {
  readonly withinMs: number
  readonly logger: Logger
  readonly signal?: AbortSignal | undefined
}

const RETRY_MS = 500

/** @throws KafkaUrlInvalid */
export function kafkaSettings(url: string): KafkaSettings {
  try {
    return parseKafkaUrl(url)
  } catch (error) {
    throw new KafkaUrlInvalid((error as Error).message)
  }
}

/**
 * Opens something, again and again until it can be: brokers may start beside this program and later, and after a start of theirs
 * they answer some questions late. @throws KafkaUnreachable after `withinMs`, and when `signal` aborts
 */
export async function openOnKafka<T>(
  settings: KafkaSettings,
  { withinMs, logger, signal }: Patience,
  open: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + withinMs
  for (let tries = 1; ; tries++) {
    try {
      return await open()
    } catch (error) {
      if (performance.now() + RETRY_MS > deadline || signal?.aborted) throw new KafkaUnreachable(settings, error)
      if (tries === 1) logger.warn({ brokers: settings.brokers, withinMs, err: error }, 'waiting for Kafka')
      await delay(RETRY_MS, undefined, signal ? { signal } : {}).catch(() => {})
    }
  }
}
