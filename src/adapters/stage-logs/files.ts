// Logs of stages on files, one for each attempt: <dir>/<executionId>/<stage>.<attempt>.ndjson.
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock } from '../../ports/clock.ts'
import type { LogLine, StageLogs } from '../../ports/stage-logs.ts'
import { FileLogWriter } from './file-writer.ts'
import { readLogFile } from './read-log-file.ts'

export type FileStageLogsOptions = {
  readonly dir: string
  readonly clock: Clock
  /** Hears once of a disk that fails, and again only after it worked in between. */
  warn(message: string): void
}

export function createFileStageLogs(options: FileStageLogsOptions): StageLogs {
  let failing = false
  const outcome = (error?: unknown): void => {
    if (error !== undefined && !failing) options.warn(`logs of stages are being lost: ${(error as Error).message}`)
    failing = error !== undefined
  }
  return {
    open: (executionId, stage, attempt) =>
      new FileLogWriter(pathOf(options.dir, executionId, stage, attempt), options.clock, outcome),
    async read(executionId, stage, attempt, { after = 0, limit = 1_000 } = {}) {
      const lines: LogLine[] = []
      if (limit <= 0) return lines
      for await (const line of readLogFile(pathOf(options.dir, executionId, stage, attempt), after)) {
        lines.push(line)
        if (lines.length >= limit) break
      }
      return lines
    },
    remove: (executionId) => rm(dirname(pathOf(options.dir, executionId, 'any', 1)), { recursive: true, force: true }),
  }
}

/** Names are checked where they come in; a path is built from them here, so here they are checked again. */
function pathOf(dir: string, executionId: string, stage: string, attempt: number): string {
  for (const name of [executionId, stage])
    if (!/^[A-Za-z0-9_][\w.-]{0,127}$/.test(name)) throw new RangeError('not a name of an execution or a stage')
  if (!Number.isSafeInteger(attempt) || attempt < 1) throw new RangeError('not an attempt')
  return join(dir, executionId, `${stage}.${attempt}.ndjson`)
}
