// The working directories of runs: each stays for a while after its run has ended, for whoever wants what is in it.
import { readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../ports/clock.ts'
import type { Handler } from '../../ports/handler.ts'
import type { Logger } from '../../ports/logger.ts'

const LOOK_EVERY_MS = 3_600_000
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export type WorkspaceOptions = {
  /** Holds one directory for each execution. */
  readonly workDir: string
  /** How long a directory stays after the end of its run. */
  readonly keepMs: number
  /** When the run ended; undefined while it goes on, and of one that the log does not know. */
  endedAt(executionId: string): Promise<string | undefined>
  /** Calls `remove` unless the directory is used after all. Default: always. */
  removing?(executionId: string, remove: () => Promise<void>): Promise<void>
  readonly clock: Clock
  readonly logger: Logger
}

/**
 * Removes, now and every hour, the directories of runs that ended long enough ago. An ended run needs nothing from it: no
 * event follows its last one. Nothing but directories with the name of a run is touched, and no link is followed.
 */
export function tidyWorkspaces(options: WorkspaceOptions): { stop(): Promise<void> } {
  const { clock, logger } = options
  const stopping = new AbortController()
  let looking = Promise.resolve()
  let forget = () => {}
  const look = (): void => {
    looking = removeOld(options, stopping.signal).catch((err) =>
      logger.warn({ err }, 'cannot tidy the working directories of runs; looking again in an hour'),
    )
    forget = clock.after(LOOK_EVERY_MS, look)
  }
  look()
  return {
    async stop() {
      stopping.abort()
      forget()
      await looking
    },
  }
}

/**
 * For a worker without a log, which does not hear of the end of a run: a directory has been left when no attempt uses it, since the last one
 * that did.
 */
export type WatchedUse = {
  /** The handler whose attempts count. */
  readonly handler: Handler
  /** Since when the directory of a run is left; undefined while it is not. */
  leftAt(executionId: string): Promise<string | undefined>
  /** Removes one unless an attempt uses it; one that begins meanwhile waits, and finds it gone. */
  removing(executionId: string, remove: () => Promise<void>): Promise<void>
}

export function watchUse({ name, run }: Handler, workDir: string): WatchedUse {
  const using = new Map<string, number>()
  const going = new Map<string, Promise<void>>()
  // There is none where no attempt got that far.
  const touch = (executionId: string): Promise<void> => {
    const now = new Date()
    return utimes(join(workDir, executionId), now, now).catch(() => {})
  }
  return {
    handler: {
      name,
      async run(context) {
        const { executionId } = context
        using.set(executionId, (using.get(executionId) ?? 0) + 1)
        try {
          await going.get(executionId)
          return await run(context)
        } finally {
          const left = using.get(executionId)! - 1
          if (left > 0) using.set(executionId, left)
          else using.delete(executionId)
          await touch(executionId)
        }
      },
    },
    async leftAt(executionId) {
      // So that it is not taken for old where a crash cuts the attempt short.
      if (using.has(executionId)) await touch(executionId)
      if (using.has(executionId)) return undefined
      return (await stat(join(workDir, executionId))).mtime.toISOString()
    },
    async removing(executionId, remove) {
      if (using.has(executionId)) return
      const gone = remove().finally(() => going.delete(executionId))
      going.set(executionId, gone)
      await gone
    },
  }
}

async function removeOld(options: WorkspaceOptions, stopping: AbortSignal): Promise<void> {
  const { workDir, keepMs, endedAt, removing = (_, remove) => remove(), clock, logger } = options
  for (const id of await runsIn(workDir)) {
    if (stopping.aborted) return
    const ended = await endedAt(id)
    if (ended === undefined || clock.now() - Date.parse(ended) < keepMs) continue
    const directory = join(workDir, id)
    await removing(id, () =>
      rm(directory, { recursive: true, force: true }).catch((err) =>
        logger.warn({ err, directory }, 'cannot remove the working directory of a run; trying again in an hour'),
      ),
    )
  }
}

/** A link is no directory here, whatever it leads to. */
async function runsIn(workDir: string): Promise<string[]> {
  try {
    const entries = await readdir(workDir, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory() && UUID.test(entry.name)).map(({ name }) => name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
