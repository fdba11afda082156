import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../../ports/clock.ts'
import type { LogLine, StageLogWriter } from '../../ports/stage-logs.ts'
import { ATTEMPT_LIMIT_BYTES, FLUSH_AFTER_MS, FLUSH_BYTES, LIMIT_NOTICE, TEXT_LIMIT } from './limits.ts'
import { completeLines, parseLine } from './read-log-file.ts'

type Pending = Omit<LogLine, 'line'>

/** Appends the lines of one attempt in batches. A disk that fails costs lines, never the stage: it is only reported. */
export class FileLogWriter implements StageLogWriter {
  readonly #path: string
  readonly #clock: Clock
  readonly #outcome: (error?: unknown) => void
  #pending: Pending[] = []
  #pendingLength = 0
  #flushing: Promise<void> | undefined
  #cancelTimer: (() => void) | undefined
  #file: FileHandle | undefined
  #fileBytes = 0
  #lastLine = 0
  /** Whether the file may end in half a line, after an append that failed. */
  #torn = false
  /** Whether nothing is taken any more: the limit was reached, or the writer was closed. */
  #shut = false

  /** `outcome` hears of every append, with the error when it failed. */
  constructor(path: string, clock: Clock, outcome: (error?: unknown) => void) {
    this.#path = path
    this.#clock = clock
    this.#outcome = outcome
  }

  write(stream: LogLine['stream'], text: string): void {
    const at = new Date(this.#clock.now()).toISOString()
    for (let start = 0; start === 0 || start < text.length; start += TEXT_LIMIT) {
      // More than the limit can't be kept anyway; the next append finds that out and says so in the log.
      if (this.#shut || this.#pendingLength > ATTEMPT_LIMIT_BYTES) return
      const piece = text.slice(start, start + TEXT_LIMIT)
      this.#pending.push({ at, stream, text: piece })
      this.#pendingLength += piece.length + 64
    }
    if (this.#pendingLength >= FLUSH_BYTES) void this.#flush()
    else this.#cancelTimer ??= this.#clock.after(FLUSH_AFTER_MS, () => void this.#flush())
  }

  async close(): Promise<void> {
    do await this.#flush()
    while (this.#pending.length > 0)
    this.#shut = true
    await this.#file?.close().catch(this.#outcome)
    this.#file = undefined
  }

  #flush(): Promise<void> {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    if (this.#pending.length > 0) this.#flushing ??= this.#drain()
    return this.#flushing ?? Promise.resolve()
  }

  async #drain(): Promise<void> {
    while (this.#pending.length > 0) {
      const batch = this.#pending
      this.#pending = []
      this.#pendingLength = 0
      try {
        await this.#append(batch)
        this.#outcome()
      } catch (error) {
        this.#torn = true
        this.#outcome(error)
      }
    }
    // In the same turn as the look at what is pending, so that no line falls in between.
    this.#flushing = undefined
  }

  async #append(batch: readonly Pending[]): Promise<void> {
    this.#file ??= await this.#reopen()
    const text = this.#encode(batch)
    if (text === '') return
    await this.#file.appendFile(this.#torn ? `\n${text}` : text)
    this.#torn = false
  }

  /** Goes on after what an earlier writer of the same attempt left. */
  async #reopen(): Promise<FileHandle> {
    await mkdir(dirname(this.#path), { recursive: true })
    const file = await open(this.#path, 'a')
    try {
      await this.#takeStock(file)
    } catch (error) {
      await file.close()
      throw error
    }
    return file
  }

  /** Half a line that a crash left is cut off: completed by the next append it would come back under a number given twice. */
  async #takeStock(file: FileHandle): Promise<void> {
    if ((await file.stat()).size === 0) return
    this.#fileBytes = 0
    for await (const bytes of completeLines(this.#path)) {
      this.#fileBytes += bytes.length + 1
      const line = parseLine(bytes)
      this.#lastLine = Math.max(this.#lastLine, line?.line ?? 0)
      this.#shut = line?.text === LIMIT_NOTICE
    }
    await file.truncate(this.#fileBytes)
  }

  #encode(batch: readonly Pending[]): string {
    let text = ''
    for (const pending of batch) {
      if (this.#shut) break
      const line = this.#encodeLine(pending)
      if (this.#fileBytes + Buffer.byteLength(line) > ATTEMPT_LIMIT_BYTES) {
        this.#shut = true
        return text + this.#encodeLine({ at: pending.at, stream: 'log', text: LIMIT_NOTICE })
      }
      text += line
      this.#fileBytes += Buffer.byteLength(line)
      this.#lastLine += 1
    }
    return text
  }

  /** The number comes first: readers skip by it. */
  #encodeLine({ at, stream, text }: Pending): string {
    return `${JSON.stringify({ line: this.#lastLine + 1, at, stream, text })}\n`
  }
}
