/** One line that a stage wrote; `at` is ISO 8601 in UTC, `line` counts from 1 within the attempt. */
export type LogLine = {
  readonly line: number
  readonly at: string
  readonly stream: 'stdout' | 'stderr' | 'log'
  readonly text: string
}

export interface StageLogs {
  /** Takes lines of one attempt in order; over the adapter's limit per attempt the rest is dropped, with one line that says so. */
  open(executionId: string, stage: string, attempt: number): StageLogWriter
  /** At most `limit` lines after line `after`; nothing when there are none. */
  read(
    executionId: string,
    stage: string,
    attempt: number,
    options?: { after?: number; limit?: number },
  ): Promise<readonly LogLine[]>
  /** Deletes all lines of a run; nothing happens where there are none. */
  remove(executionId: string): Promise<void>
}

export interface StageLogWriter {
  write(stream: LogLine['stream'], text: string): void
  /** Resolves when every line is readable. */
  close(): Promise<void>
}
