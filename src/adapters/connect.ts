// Settings → ports: the one place that knows which adapter stands behind each.
import { join } from 'node:path'
import type { Ports } from '../app.ts'
import type { Config } from '../config.ts'
import type { Logger } from '../ports/logger.ts'
import { systemClock } from './clock.ts'
import { EmbeddedEventStore } from './event-store/embedded.ts'
import { createMemoryLeases } from './leases/memory.ts'
import { createFileStageLogs } from './stage-logs/files.ts'
import { createMemoryQueue } from './work-queue/memory.ts'

export type Connected = Ports & {
  /** Resolves with why the process cannot go on. */
  readonly failed: Promise<Error>
  /** Why nothing can be appended to the log right now, as far as is known. */
  refusing(): string | undefined
  close(): Promise<void>
}

/** Where the log is, unless `--event-store` says otherwise. */
export const logFolder = (config: Pick<Config, 'eventStore' | 'data'>): string =>
  config.eventStore?.slice('embedded:'.length) || join(config.data, 'log')

/** Opens everything that orchestration needs; the read models have a connection of their own. */
export async function connect(config: Config, logger: Logger): Promise<Connected> {
  const store = await EmbeddedEventStore.open(logFolder(config))
  const clock = systemClock
  const queue = createMemoryQueue(clock)
  const leases = createMemoryLeases(clock)
  const logs = createFileStageLogs({
    dir: join(config.data, 'logs'),
    clock,
    warn: (message) => logger.warn({}, message),
  })
  return {
    store,
    queue,
    leases,
    logs,
    clock,
    failed: store.failed,
    refusing: () => store.refusing,
    async close() {
      await queue.close()
      await leases.close()
      await store.close()
    },
  }
}
