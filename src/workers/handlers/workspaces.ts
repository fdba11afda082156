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
 * that did. @returns the handler whose attempts count, and since when the directory of a run is left; undefined while it is not
 */
export function watchUse(
  { name, run }: Handler,
  workDir: string,
): { readonly handler: Handler; leftAt(executionId: string): Promise<string | undefined> } {
  const using = new Map<string, number>()
  return {
    handler: {
      name,
      async run(context) {
        const { executionId } = context
        using.set(executionId, (using.get(executionId) ?? 0) + 1)
        try {
          return await run(context)
        } finally {
          const left = using.get(executionId)! - 1
          if (left > 0) using.set(executionId, left)
          else using.delete(executionId)
          const now = new Date()
          // There is none where the attempt did not get that far.
          await utimes(join(workDir, executionId), now, now).catch(() => {})
        }
      },
    },
    async leftAt(executionId) {
      if (using.has(executionId)) return undefined
      return (await stat(join(workDir, executionId))).mtime.toISOString()
    },
  }
}

async function removeOld(options: WorkspaceOptions, stopping: AbortSignal): Promise<void> {
  const { workDir, keepMs, endedAt, clock, logger } = options
  for (const id of await runsIn(workDir)) {
    if (stopping.aborted) return
    const ended = await endedAt(id)
    if (ended === undefined || clock.now() - Date.parse(ended) < keepMs) continue
    const directory = join(workDir, id)
    await rm(directory, { recursive: true, force: true }).catch((err) =>
      logger.warn({ err, directory }, 'cannot remove the working directory of a run; trying again in an hour'),
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
